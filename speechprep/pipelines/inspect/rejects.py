"""Rejected records of a run folder, or of one dataset or artifact, in the order of stages, shards and ids."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from speechprep.artifacts import manifest, shards, storage
from speechprep.artifacts.run import rejects_folder
from speechprep.errors import StaleArtifact
from speechprep.registry import names

_ROWS = 4096


def read_rejects(folder: str) -> Iterator[dict[str, Any]]:
    """Rows of `rejects`: id, stage, code, message, audio, retry.

    An unfinished stage counts too: its rejects are there as soon as their shards are committed.

    Raises:
        StaleArtifact: no folder of speechprep.
    """
    inner = [storage.join(folder, name) for name in storage.folders(folder)]
    folders = [folder, *inner] if manifest.find(folder) is None else [folder]
    if all(manifest.find(uri) is None and not storage.is_dir(rejects_folder(uri)) for uri in folders):
        raise StaleArtifact(f"{folder}: no dataset, artifact or run of speechprep; name a run folder")
    for uri in sorted(folders, key=_place):
        parts = shards.shard_names(list(storage.sizes(rejects_folder(uri))))
        for part in parts:
            for batch in shards.read_batches(storage.join(rejects_folder(uri), part), None, _ROWS):
                yield from batch.to_pylist()


def _place(folder: str) -> tuple[int, str]:
    """Sort key: the place of the folder's stage in the chain."""
    complete = manifest.find(folder)
    stages = list(names("stages"))
    stage = complete.made_of.get("stage") if complete else None
    return (stages.index(stage) if stage in stages else len(stages), folder)
