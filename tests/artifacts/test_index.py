"""The vector index: finds what exact search finds, comes back from disk, and refuses what is not one."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from speechprep.artifacts.index import ITEMS_SCHEMA, VectorIndex, exact_scores, factory_for, recall, require_faiss
from speechprep.errors import ConfigError, MissingBackend, SchemaMismatch, StaleArtifact


def unit_vectors(n: int, dim: int = 16, seed: int = 0) -> np.ndarray:
    made = np.random.default_rng(seed).standard_normal((n, dim)).astype(np.float32)
    return made / np.linalg.norm(made, axis=1, keepdims=True)


def items(n: int) -> pa.Table:
    rows = [{"id": f"i{i}", "audio": None if i % 2 else f"a{i}.wav", "caption": f"sound {i}"} for i in range(n)]
    return pa.Table.from_pylist(rows, schema=ITEMS_SCHEMA)


def build(vectors: np.ndarray, factory: str = "Flat") -> VectorIndex:
    return VectorIndex.build(vectors.shape[1], lambda: np.array_split(vectors, 3), items(len(vectors)), factory)


def test_hits_are_those_of_exact_search_best_first(tmp_path: Path) -> None:
    vectors, queries = unit_vectors(200), unit_vectors(7, seed=1)
    build(vectors).save(tmp_path)
    index = VectorIndex.load(tmp_path)
    for query, hits in zip(queries, index.search(queries, 5), strict=True):
        wanted = np.argsort(-(vectors @ query), kind="stable")[:5]
        assert [hit.id for hit in hits] == [f"i{i}" for i in wanted]
        assert [hit.caption for hit in hits] == [f"sound {i}" for i in wanted]
        assert [hit.audio for hit in hits] == [None if i % 2 else f"a{i}.wav" for i in wanted]
        np.testing.assert_allclose([hit.score for hit in hits], (vectors @ query)[wanted], atol=1e-6)


def test_a_hit_unpacks_as_id_score_caption_audio() -> None:
    vectors = unit_vectors(3)
    id, score, caption, audio, *_ = build(vectors).search(vectors[:1], 1)[0][0]
    assert (id, caption, audio) == ("i0", "sound 0", "a0.wav")
    assert score == pytest.approx(1)


def test_items_of_equal_score_come_in_their_own_order() -> None:
    vectors = np.repeat(unit_vectors(1), 6, axis=0)
    assert [hit.id for hit in build(vectors).search(vectors[:1], 6)[0]] == [f"i{i}" for i in range(6)]


def test_asking_for_more_than_there_is_gives_all() -> None:
    vectors = unit_vectors(4)
    assert len(build(vectors).search(vectors[:1], 100)[0]) == 4


@pytest.mark.parametrize("factory", ["Flat", "HNSW16", "IVF4,Flat"])
def test_recall_is_measured_against_exact_search(factory: str) -> None:
    vectors, queries = unit_vectors(400), unit_vectors(20, seed=3)
    exact = exact_scores(np.array_split(vectors, 5), queries, 10)
    measured = recall(build(vectors, factory).search(queries, 10), exact)
    np.testing.assert_allclose(exact, -np.sort(-(queries @ vectors.T), axis=1)[:, :10], atol=1e-6)
    assert measured == 1.0 if factory == "Flat" else 0.2 < measured <= 1.0


def test_recall_counts_equal_vectors_as_each_other() -> None:
    vectors = np.repeat(unit_vectors(1), 30, axis=0)
    index = build(vectors)
    assert recall(index.search(vectors[:1], 10), exact_scores([vectors], vectors[:1], 10)) == 1.0


def test_the_same_vectors_give_the_same_file(tmp_path: Path) -> None:
    written = []
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        build(unit_vectors(300), "HNSW16").save(tmp_path / name)
        written.append([(tmp_path / name / file).read_bytes() for file in ("index.faiss", "items.parquet")])
    assert written[0] == written[1]


@pytest.mark.parametrize("factory", ["Flatt", "IVF9999,Flat"])
def test_a_kind_that_cannot_be_is_one_line(factory: str) -> None:
    with pytest.raises(ConfigError, match=factory.split(",")[0]) as caught:
        build(unit_vectors(50), factory)
    assert "\n" not in str(caught.value)


def test_the_kind_follows_the_number_of_vectors() -> None:
    assert [factory_for(n) for n in (0, 200_000, 200_001, 1_000_000)] == ["Flat", "Flat", "HNSW32", "HNSW32"]
    assert factory_for(4_000_000) == "IVF8192,Flat"
    assert "Flat" in type(build(unit_vectors(20), "auto").index).__name__


@pytest.mark.parametrize(("factory", "wide"), [("HNSW16", 128), ("IVF32,Flat", 2)])
def test_how_far_a_search_looks_is_kept_in_the_file(tmp_path: Path, factory: str, wide: int) -> None:
    build(unit_vectors(1300), factory).save(tmp_path)
    index = VectorIndex.load(tmp_path).index
    assert (index.hnsw.efSearch if factory.startswith("HNSW") else index.nprobe) == wide


def test_vectors_and_items_must_be_as_many() -> None:
    with pytest.raises(SchemaMismatch, match="5 vectors for 4 items"):
        VectorIndex.build(16, lambda: [unit_vectors(5)], items(4))


@pytest.mark.parametrize("file", ["index.faiss", "items.parquet"])
@pytest.mark.parametrize("damage", [None, b"", b"no index"])
def test_a_missing_or_damaged_file_says_to_build_again(tmp_path: Path, file: str, damage: bytes | None) -> None:
    build(unit_vectors(5)).save(tmp_path)
    (tmp_path / file).unlink()
    if damage is not None:
        (tmp_path / file).write_bytes(damage)
    with pytest.raises(StaleArtifact, match="build it again"):
        VectorIndex.load(tmp_path)


def test_files_of_two_indices_are_noticed(tmp_path: Path) -> None:
    build(unit_vectors(5)).save(tmp_path)
    pq.write_table(items(4), tmp_path / "items.parquet")
    with pytest.raises(StaleArtifact, match="5 vectors for 4 items"):
        VectorIndex.load(tmp_path)


def test_without_faiss_both_extras_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "faiss", None)
    with pytest.raises(MissingBackend, match=r"never both.*speechprep\[cpu\].*speechprep\[gpu\]"):
        require_faiss("search")


@pytest.mark.parametrize("factory", ["IVF32,Flat", "PCA8,IVF32,Flat"])
def test_an_index_of_cells_looks_on_until_there_are_as_many_hits_as_asked_for(factory: str) -> None:
    vectors = unit_vectors(400)
    index = build(vectors, factory)
    for k in (1, 10, 100, 400):
        assert [len(hits) for hits in index.search(vectors[:5], k)] == [k] * 5
    first = [[hit.id for hit in hits] for hits in index.search(vectors[:5], 3)]
    index.search(vectors[:5], 400)
    assert [[hit.id for hit in hits] for hits in index.search(vectors[:5], 3)] == first  # the width is as before
