"""State of an output folder: whose it is, and the plan of an unfinished one."""

from __future__ import annotations

import json
from typing import Any

from speechprep.artifacts import manifest, storage
from speechprep.artifacts.manifest import Manifest, differences, digest
from speechprep.artifacts.run import EARLIER_REJECTS, REJECTS, remove_earlier_files
from speechprep.artifacts.shards import shard_names
from speechprep.errors import ConfigError, StaleArtifact
from speechprep.pipelines.engine.recovery.lock import is_lock
from speechprep.pipelines.engine.task import STATE, WORK

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


def write_plan(folder: str, made_of: dict[str, Any]) -> None:
    """Store the body of the fingerprint of an unfinished folder."""
    body = {"fingerprint": digest(made_of), "made_of": made_of}
    storage.write_bytes(storage.join(folder, STATE, PLAN), manifest.canonical(body).encode())


def _remove_output(folder: str, complete: Manifest | None, made_of: dict[str, Any]) -> None:
    """Remove the files of speechprep from a folder; other files stay.

    The new plan is written first: if this process is killed, the same command continues.
    """
    write_plan(folder, made_of)
    storage.flush_folders(folder, storage.join(folder, STATE))
    names = [s.name for s in complete.shards] if complete else shard_names(list(storage.sizes(folder)))
    states = [f"{STATE}/{name}" for name in storage.sizes(storage.join(folder, STATE)) if name != PLAN]
    for name in [manifest.NAME, REJECTS, *names, *states, WORK]:
        storage.remove(storage.join(folder, name))
    remove_earlier_files(folder)


def has_leftovers(folder: str) -> bool:
    """True if a run of a folder was killed: its state, lock or temporary files are there."""
    files = [*storage.sizes(folder), *storage.sizes(storage.join(folder, REJECTS))]
    folders = storage.folders(folder)
    return STATE in folders or WORK in folders or any(is_lock(f) or storage.TEMPORARY in f for f in files)


def is_output(name: str) -> bool:
    """True for the name of a shard, of a shard of rejects or of a temporary file, with or without its folder."""
    return bool(shard_names([name.rpartition("/")[2]])) or storage.TEMPORARY in name
