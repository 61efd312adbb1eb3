"""vectors: the rows of pooled as memory-mapped arrays in the order of the ids, whatever the shards."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from helpers import manifest_edits
from helpers import rowmaking as made

import speechprep
from speechprep.artifacts import manifest
from speechprep.artifacts.schemas import POOLED
from speechprep.artifacts.shards import sha256_file
from speechprep.artifacts.vectors import Vectors
from speechprep.errors import BadInput, ConfigError, StaleArtifact
from speechprep.pipelines.inspect.verify import verify
from speechprep.pipelines.stages.vectors import STAGE

DIM = 3
FACTS = {"dim": DIM, "mean": [0.5] * DIM, "std": [2.0] * DIM, "extractor": {"name": "toy"}}
IDS = ["b", "a-2", "Ü", "a-10", "c", "日", "", "🎧", "\uffff"]


def rows(scale: float = 1.0) -> list[dict]:
    rng = np.random.default_rng(0)
    vectors = [(rng.standard_normal(DIM) * scale).astype(np.float32).tolist() for _ in range(2 * len(IDS))]
    return [
        {"id": id, "mean": vectors[2 * i], "mean_all": vectors[2 * i + 1], "n_valid": i} for i, id in enumerate(IDS)
    ]


@pytest.fixture
def pooled(tmp_path: Path) -> Callable[..., Path]:
    def write(name: str, parts: list[list[dict]]) -> Path:
        return made.write_dataset(tmp_path / name / "pooled", "pooled", POOLED, parts, FACTS)

    return write


def test_rows_are_found_by_id_and_are_the_vectors_of_pooled(pooled: Callable, run_stage: Callable) -> None:
    source = pooled("run", [rows()[:4], [], rows()[4:]])
    folder = run_stage(STAGE, {}, {"pooled": source}, out=source.parent / "vectors")
    vectors = speechprep.vectors(source.parent)
    assert vectors.ids.to_pylist() == sorted(IDS)
    assert isinstance(vectors.mean, np.memmap)
    assert isinstance(vectors.mean_all, np.memmap)
    assert vectors.mean.dtype == np.float32
    for row, at in zip(rows(), vectors.rows(IDS), strict=True):
        assert vectors.mean[at].tolist() == row["mean"]
        assert vectors.mean_all[at].tolist() == row["mean_all"]
        assert vectors.n_valid[at] == row["n_valid"]
    assert (vectors.centre.tolist(), vectors.scale.tolist()) == (FACTS["mean"], FACTS["std"])
    assert vectors.facts["extractor"] == FACTS["extractor"]
    with pytest.raises(BadInput, match="1 ids have no vector, for example 'zz'"):
        vectors.rows(["b", "zz"])
    assert not verify(str(source.parent / "vectors")).problems
    assert len(Vectors.load(folder)) == len(IDS)


@pytest.mark.parametrize(("cut", "seed"), [(0, 1), (1, 2), (4, 3), (len(IDS), 4)])
def test_shards_and_order_change_no_byte(
    cut: int, seed: int, run_stage: Callable, tmp_path_factory: pytest.TempPathFactory
) -> None:
    def files(parts: list[list[dict]]) -> dict[str, bytes]:
        place = tmp_path_factory.mktemp("vectors")
        source = made.write_dataset(place / "pooled", "pooled", POOLED, parts, FACTS)
        folder = run_stage(STAGE, {}, {"pooled": source}, out=place / "vectors")
        return {p.name: p.read_bytes() for p in sorted(folder.iterdir()) if p.name != manifest.NAME}

    order = np.random.default_rng(seed).permutation(len(IDS))
    shuffled = [rows()[i] for i in order]
    assert files([shuffled[:cut], shuffled[cut:]]) == files([rows()])


def test_float16_takes_half_of_the_disk_and_refuses_larger_values(pooled: Callable, run_stage: Callable) -> None:
    source = pooled("run", [rows()])
    folder = run_stage(STAGE, {"dtype": "float16"}, {"pooled": source}, out=source.parent / "vectors")
    vectors = Vectors.load(folder)
    assert vectors.mean.dtype == np.float16
    np.testing.assert_allclose(vectors.mean[vectors.rows(IDS)], [row["mean"] for row in rows()], rtol=1e-3)
    assert not verify(str(folder)).problems
    large = pooled("large", [rows(1e6)])
    with pytest.raises(ConfigError, match="choose float32"):
        run_stage(STAGE, {"dtype": "float16"}, {"pooled": large}, out=large.parent / "vectors")


def test_no_rows_at_all_give_empty_arrays(pooled: Callable, run_stage: Callable) -> None:
    source = pooled("run", [[]])
    vectors = Vectors.load(run_stage(STAGE, {}, {"pooled": source}, out=source.parent / "vectors"))
    assert (len(vectors), vectors.mean.shape) == (0, (0, DIM))


def test_vectors_of_another_length_are_refused(pooled: Callable, run_stage: Callable) -> None:
    source = pooled("run", [[*rows(), {**rows()[0], "id": "x", "mean": [1.0]}]])
    with pytest.raises(StaleArtifact, match="has not 3 values in mean"):
        run_stage(STAGE, {}, {"pooled": source}, out=source.parent / "vectors")


def test_another_folder_is_named(pooled: Callable) -> None:
    source = pooled("run", [rows()])
    with pytest.raises(StaleArtifact, match="is of kind 'pooled'"):
        Vectors.load(source)
    with pytest.raises(StaleArtifact, match="has no 'vectors'"):
        speechprep.vectors(source.parent)


def test_verify_names_a_changed_array(pooled: Callable, run_stage: Callable) -> None:
    source = pooled("run", [rows()])
    folder = run_stage(STAGE, {}, {"pooled": source}, out=source.parent / "vectors")
    array = np.load(folder / "mean.npy")
    array[2, 1] += 1
    np.save(folder / "mean.npy", array)
    stored = json.loads((folder / manifest.NAME).read_text())
    for shard in stored["shards"]:
        if shard["name"] == "mean.npy":
            shard["sha256"] = sha256_file(folder / "mean.npy")
    stored["content"] = manifest.digest([shard["sha256"] for shard in stored["shards"]])
    manifest_edits.write(folder / manifest.NAME, stored)
    assert ["mean.npy has other vectors than pooled" in p.what for p in verify(str(folder)).problems] == [True]
