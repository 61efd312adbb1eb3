"""Changes of an output folder from unfinished to complete.

Flushes to the disk keep these changes in order, so that a power loss leaves an unfinished or a complete folder:

1. the manifest is removed, and `_state/` exists, before the first shard is replaced (`begin`);
2. the names of all files are on the disk before the manifest has its name (`flush_names`);
3. the manifest is on the disk before `_state/` is removed (`settle`).
"""

from __future__ import annotations

from pathlib import PurePosixPath

from speechprep.artifacts import manifest, storage
from speechprep.artifacts.manifest import Shard
from speechprep.artifacts.run import REJECTS, move_to_layout
from speechprep.artifacts.shards import shard_names
from speechprep.pipelines.engine.plan import Prepared
from speechprep.pipelines.engine.recovery.folder import write_plan
from speechprep.pipelines.engine.task import STATE, write_record


def begin(prepared: Prepared) -> None:
    """Mark the folder as incomplete: kept shards get commit records, and the manifest is removed."""
    step = prepared.step
    created = _created(step.folder)
    write_plan(step.folder, prepared.made_of)
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
