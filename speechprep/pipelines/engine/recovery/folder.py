"""State of an output folder: whose it is, and its changes from unfinished to complete.

Flushes to the disk keep these changes in order, so that a power loss leaves an unfinished or a complete folder:

1. the manifest is removed, and `_state/` exists, before the first shard is replaced (`begin`);
2. the names of all files are on the disk before the manifest has its name (`flush_names`);
3. the manifest is on the disk before `_state/` is removed (`settle`).
"""

from __future__ import annotations

import json
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

from speechprep.artifacts import manifest, storage
from speechprep.artifacts.manifest import Manifest, Shard, differences, digest
from speechprep.artifacts.run import EARLIER_REJECTS, REJECTS, move_to_layout, remove_earlier_files
from speechprep.artifacts.shards import shard_names
from speechprep.errors import ConfigError, StaleArtifact
from speechprep.pipelines.engine.recovery.lock import is_lock
from speechprep.pipelines.engine.task import STATE, WORK, write_record

if TYPE_CHECKING:
    from speechprep.pipelines.engine.plan import Prepared

PLAN = "plan.json"  # in STATE: body of the fingerprint of an unfinished folder


def check_folder(folder: str, made_of: dict[str, Any], *, rebuild: bool) -> None:
    """Check that a folder is empty, or was begun with this body of the fingerprint.

    Args:
        folder: output folder of a step.
        made_of: body of the fingerprint.
        rebuild: remove the files of another fingerprint.

    Raises:
        StaleArtifact: the folder has another fingerprint; the message names the differences.
        ConfigError: the folder holds files of another tool.
    """
    complete = manifest.find_intact(folder)
    earlier = complete.made_of if complete is not None else _read_plan(folder)
    if earlier is None:
        if not _is_free(folder, rebuild=rebuild):
            raise ConfigError(
                f"{folder} holds files that speechprep did not make: it has no {manifest.NAME}; choose another "
                "--out, or --rebuild if an earlier run made its shards"
            )
    elif digest(earlier) != digest(made_of):
        if not rebuild:
            changed = "; ".join(differences(earlier, made_of)[:4])
            raise StaleArtifact(
                f"{folder} was made with other options or inputs ({changed}); replace it with --rebuild, or "
                "choose another --out"
            )
        _remove_output(folder, complete, made_of)


def _is_free(folder: str, *, rebuild: bool) -> bool:
    """True if a folder without a readable plan is empty, was begun by speechprep, or has shards only, to be rebuilt."""
    if storage.is_dir(storage.join(folder, STATE)) or any(map(storage.exists, manifest.places(folder))):
        return True  # the plan or the manifest is damaged; the folder is redone
    files = {name for name in storage.sizes(folder) if not is_lock(name) and storage.TEMPORARY not in name}
    if rebuild:
        files = {name for name in files if not is_output(name)}
    return not files and not set(storage.folders(folder)) - {STATE, WORK, REJECTS, EARLIER_REJECTS}


def _read_plan(folder: str) -> dict[str, Any] | None:
    """Body of the fingerprint of an unfinished folder; None if the file is absent or damaged."""
    try:
        body = json.loads(storage.read_bytes(storage.join(folder, STATE, PLAN)))
        if "stage" in body:  # of an earlier version
            body = {"made_of": body, "fingerprint": digest(body)}
        made_of = body["made_of"]
        return made_of if isinstance(made_of, dict) and digest(made_of) == body["fingerprint"] else None
    except FileNotFoundError:
        return None
    except (ValueError, LookupError, TypeError, RecursionError):  # torn by a power loss, or edited
        return None


def _write_plan(folder: str, made_of: dict[str, Any]) -> None:
    body = {"fingerprint": digest(made_of), "made_of": made_of}
    storage.write_bytes(storage.join(folder, STATE, PLAN), manifest.canonical(body).encode())


def _remove_output(folder: str, complete: Manifest | None, made_of: dict[str, Any]) -> None:
    """Remove the files of speechprep from a folder; other files stay.

    The new plan is written first: if this process is killed, the same command continues.
    """
    _write_plan(folder, made_of)
    storage.flush_folders(folder, storage.join(folder, STATE))
    names = [s.name for s in complete.shards] if complete else shard_names(list(storage.sizes(folder)))
    states = [f"{STATE}/{name}" for name in storage.sizes(storage.join(folder, STATE)) if name != PLAN]
    for name in [manifest.NAME, REJECTS, *names, *states, WORK]:
        storage.remove(storage.join(folder, name))
    remove_earlier_files(folder)


def begin(prepared: Prepared) -> None:
    """Mark the folder as incomplete: kept shards get commit records, and the manifest is removed."""
    step = prepared.step
    created = _created(step.folder)
    _write_plan(step.folder, prepared.made_of)
    complete = manifest.find_intact(step.folder)
    if complete is not None:
        facts = complete.extra if step.stage.schema is None else {}
        for task in prepared.tasks:
            if task.shard in prepared.committed:
                write_record(task, prepared.committed[task.shard], facts)
    storage.remove(storage.join(step.folder, manifest.NAME))
    move_to_layout(step.folder)
    storage.flush_folders(step.folder, *created)


def _created(folder: str) -> list[str]:
    """The folders that will hold the name of a new folder: the parents of the absent ones."""
    if not storage.is_local(folder):
        return []
    path = storage.local_path(storage.absolute(folder))
    return [str(at.parent) for at in (path, *path.parents) if not at.exists()]


def flush_names(folder: str, shards: list[Shard]) -> None:
    """Flush the names of all files of a folder to the disk. Their contents were flushed before they had a name."""
    inner = [storage.join(folder, name) for name in _inner_folders(shards)]
    storage.flush_folders(folder, storage.join(folder, REJECTS), *inner)


def _inner_folders(shards: list[Shard]) -> list[str]:
    """The folders of files below a folder, for example of an artifact."""
    return sorted({str(parent) for shard in shards for parent in PurePosixPath(shard.name).parents} - {"."})


def settle(folder: str) -> None:
    """Flush the manifest of a complete folder to the disk, then remove the state of its computation.

    A manifest that was torn before counts as absent, and the state is still there.
    """
    storage.flush_files(storage.join(folder, manifest.NAME))
    storage.flush_folders(folder, storage.parent(folder))
    storage.remove(storage.join(folder, STATE))


def has_leftovers(folder: str) -> bool:
    """True if a run of a folder was killed: its state, lock or temporary files are there."""
    files = [*storage.sizes(folder), *storage.sizes(storage.join(folder, REJECTS))]
    folders = storage.folders(folder)
    return STATE in folders or WORK in folders or any(is_lock(f) or storage.TEMPORARY in f for f in files)


def is_output(name: str) -> bool:
    """True for the name of a shard, of a shard of rejects or of a temporary file, with or without its folder."""
    return bool(shard_names([name.rpartition("/")[2]])) or storage.TEMPORARY in name


def stale_files(prepared: Prepared, shards: list[Shard]) -> list[str]:
    """Files of an earlier state of the folder, absent from its manifest: shards, rejects, temporary files."""
    folder = prepared.step.folder
    names = {s.name for s in shards}
    with_rejects = {
        task.rejects_name for task in prepared.tasks if any(s.rejects for s in prepared.committed.get(task.shard, []))
    }
    stale = [f for f in shard_names(list(storage.sizes(folder))) if f not in names]
    for inner in ["", *_inner_folders(shards)]:
        here = storage.sizes(storage.join(folder, inner) if inner else folder)
        stale += [f"{inner}/{f}".lstrip("/") for f in here if storage.TEMPORARY in f]
    rejects = [f"{REJECTS}/{f}" for f in storage.sizes(storage.join(folder, REJECTS))]
    return stale + [f for f in rejects if f not in with_rejects]
