"""A run folder with utterances, units and a codebook, written without stages."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from speechprep.artifacts import manifest
from speechprep.artifacts.codebook import Codebook
from speechprep.artifacts.manifest import Manifest, Shard
from speechprep.artifacts.schemas import UTTERANCES, units_schema
from speechprep.artifacts.shards import ShardWriter, shard_name
from speechprep.artifacts.timebase import FrameGrid

GRID = FrameGrid(1000, 10, 10)  # frames of 10 ms; centres at 5, 15, 25 ms ...


def write(folder: Path, kind: str, schema: pa.Schema, rows: list[dict[str, Any]], shards: int, **extra: Any) -> None:
    made = []
    folder.mkdir(parents=True)
    for shard in range(shards):
        name = shard_name(shard, shards)
        with ShardWriter(str(folder / name), schema) as writer:
            writer.write(rows[shard::shards])
        made.append(Shard(name, "key", writer.sha256, writer.size, writer.rows, 1.0))
    manifest.write(str(folder), Manifest(kind, "f" * 64, "c" * 64, {}, made, {}, [], {}, extra))


@pytest.fixture
def make_run(tmp_path: Path) -> Callable[..., Path]:
    """make_run({id: (speaker, units)}, name="run", shards=1, k=8, subword=None, **facts) -> folder.

    `facts` are further facts of the codebook. `subword` is the number of tokens a second.
    """

    def make(
        spoken: dict[str, tuple[str | None, list[int]]],
        name: str = "run",
        shards: int = 1,
        k: int = 8,
        subword: float | None = None,
        **facts: Any,
    ) -> Path:
        folder = tmp_path / name
        centroids = np.random.default_rng(k).standard_normal((k, 4)).astype(np.float32)
        codebook = Codebook(centroids, {"name": "toy", "layer": 3}, GRID)
        (folder / "codebook").mkdir(parents=True)
        codebook.save(folder / "codebook")
        made = Manifest("codebook", "f" * 64, "c" * 64, {}, [], {}, [], {}, {**codebook.facts(), **facts})
        manifest.write(str(folder / "codebook"), made)
        empty = dict.fromkeys(UTTERANCES.names)
        rows = [{**empty, "id": id, "speaker": speaker} for id, (speaker, _) in spoken.items()]
        write(folder / "utterances", "utterances", UTTERANCES, rows, shards)
        rows = [{"id": id, "units": units, "codebook": codebook.fingerprint} for id, (_, units) in spoken.items()]
        of_codebook = {"codebook": codebook.fingerprint, "k": k, "grid": GRID.as_dict()}
        write(folder / "units", "units", units_schema(k), rows, shards, **of_codebook)
        if subword is not None:
            compression = {"speech": {"tokens_per_second": subword}}
            facts = {"codebook": codebook.fingerprint, "coverage": {"compression": compression}}
            (folder / "subword").mkdir()
            manifest.write(str(folder / "subword"), Manifest("subword", "f" * 64, "c" * 64, {}, [], {}, [], {}, facts))
        return folder

    return make


@pytest.fixture
def phone_table() -> Callable[..., dict[str, Any]]:
    """phone_table({id: [(start, end, label), ...]}) -> labels by id, as `read_labels` has them."""

    def make(rows: dict[str, list[tuple[float, float, str]]]) -> dict[str, Any]:
        return {
            id: (id, np.array([r[0] for r in spans]), np.array([r[1] for r in spans]), [r[2] for r in spans])
            for id, spans in rows.items()
        }

    return make
