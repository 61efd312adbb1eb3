"""The codebook: comes back as it was, and serves no other extractor."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers.strategies import JSON
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from speechprep.artifacts.codebook import Codebook
from speechprep.artifacts.timebase import FrameGrid
from speechprep.errors import SchemaMismatch, StaleArtifact

GRID = FrameGrid(16_000, 320, 400)
IDENTITY = {"name": "hubert", "model": "facebook/hubert-base-ls960", "revision": "abc", "layer": 9, "mask": (1, 2)}


class Extractor:
    """What `check` looks at."""

    def __init__(self, identity: dict[str, Any], grid: FrameGrid = GRID, dim: int = 4) -> None:
        self._identity, self.grid, self.dim = identity, grid, dim

    def identity(self) -> dict[str, Any]:
        return self._identity


def codebook(**changes: Any) -> Codebook:
    made: dict[str, Any] = {
        "centroids": np.arange(12, dtype=np.float32).reshape(3, 4),
        "extractor": {**IDENTITY, "mask": [1, 2]},
        "grid": GRID,
        "backend": {"extractor": "hubert", "options": {"layer": 9}},
        "quantizer": {"name": "faiss", "seed": 1},
        "sampling": {"max_frames": 100},
        "frames_used": 90,
        "frames_seen": 100,
        "counts": [30, 40, 20],
        "inertia": [2.0, 1.5],
        "versions": {"faiss": "1.0"},
    }
    return Codebook(**{**made, **changes})


@settings(max_examples=40)
@given(
    centroids=hnp.arrays(
        np.float32, hnp.array_shapes(min_dims=2, max_dims=2, max_side=6), elements=st.floats(-1e6, 1e6, width=32)
    ),
    extractor=st.dictionaries(st.text(), JSON, max_size=3),
    counts=st.lists(st.integers(0, 2**40), max_size=5),
    inertia=st.lists(st.floats(0, 1e9), max_size=5),
)
def test_a_codebook_comes_back_as_it_was(
    centroids: Any, extractor: Any, counts: list[int], inertia: list[float]
) -> None:
    made = codebook(centroids=centroids, extractor=extractor, counts=counts, inertia=inertia)
    with tempfile.TemporaryDirectory() as folder:
        made.save(folder)
        again = Codebook.load(folder)
    assert again.centroids.tobytes() == made.centroids.tobytes()
    assert again.metadata == made.metadata
    assert again.versions == made.versions
    assert again.fingerprint == made.fingerprint


@pytest.mark.parametrize(
    "change",
    [
        {"centroids": np.arange(12, dtype=np.float32).reshape(3, 4) + np.float32(1e-6)},
        {"centroids": np.arange(12, dtype=np.float32).reshape(4, 3)},
        {"extractor": {**IDENTITY, "layer": 6}},
        {"grid": FrameGrid(16_000, 320, 401)},
        {"sampling": {"max_frames": 101}},
        {"counts": [30, 40, 21]},
        {"frames_used": 91},
    ],
)
def test_the_fingerprint_changes_with_all_that_it_stands_for(change: dict[str, Any]) -> None:
    assert codebook(**change).fingerprint != codebook().fingerprint


def test_package_versions_are_told_but_are_not_the_codebook() -> None:
    assert codebook(versions={"faiss": "9"}).fingerprint == codebook().fingerprint


def test_the_same_model_in_another_folder_is_the_same_codebook() -> None:
    one, other = ({"extractor": "hubert", "options": {"model": f"/{disk}/hubert-base"}} for disk in ("here", "there"))
    assert codebook(backend=one).fingerprint == codebook(backend=other).fingerprint


def test_the_extractor_it_was_made_with_is_accepted() -> None:
    codebook().check(Extractor(IDENTITY))


@pytest.mark.parametrize(
    ("other", "told"),
    [
        (Extractor({**IDENTITY, "layer": 6}), "identity.layer: 9 -> 6"),
        (Extractor({**IDENTITY, "revision": "def"}), 'identity.revision: "abc" -> "def"'),
        (Extractor({"name": "mfcc"}), "identity.name"),
        (Extractor(IDENTITY, grid=FrameGrid(16_000, 160, 400)), "grid.stride: 320 -> 160"),
        (Extractor(IDENTITY, dim=5), "dim: 4 -> 5"),
    ],
)
def test_any_other_extractor_is_refused_and_both_are_named(other: Extractor, told: str) -> None:
    with pytest.raises(StaleArtifact) as caught:
        codebook().check(other)
    message = str(caught.value)
    assert told in message
    assert "'hubert' model facebook/hubert-base-ls960 revision abc layer 9" in message
    assert repr(other.identity()["name"]) in message
    assert "\n" not in message


@pytest.mark.parametrize("missing", ["centroids.npy", "codebook.json"])
def test_a_missing_file_is_named(tmp_path: Path, missing: str) -> None:
    codebook().save(tmp_path)
    (tmp_path / missing).unlink()
    with pytest.raises(StaleArtifact, match=missing):
        Codebook.load(tmp_path)


def test_centroids_of_another_codebook_are_noticed(tmp_path: Path) -> None:
    codebook().save(tmp_path)
    np.save(tmp_path / "centroids.npy", np.zeros((3, 4), np.float32))
    with pytest.raises(SchemaMismatch, match="do not belong together"):
        Codebook.load(tmp_path)


def test_an_edited_metadata_file_is_noticed(tmp_path: Path) -> None:
    codebook().save(tmp_path)
    body = json.loads((tmp_path / "codebook.json").read_text())
    body["extractor"]["layer"] = 6
    (tmp_path / "codebook.json").write_text(json.dumps(body))
    with pytest.raises(SchemaMismatch, match="do not belong together"):
        Codebook.load(tmp_path)


@pytest.mark.parametrize("damage", [b"", b"{", b"[]", b"\x93NUMPY"])
@pytest.mark.parametrize("file", ["centroids.npy", "codebook.json"])
def test_damaged_files_are_one_line_not_a_traceback(tmp_path: Path, file: str, damage: bytes) -> None:
    codebook().save(tmp_path)
    (tmp_path / file).write_bytes(damage)
    with pytest.raises(SchemaMismatch):
        Codebook.load(tmp_path)


def test_pickled_centroids_are_never_loaded(tmp_path: Path) -> None:
    codebook().save(tmp_path)
    np.save(tmp_path / "centroids.npy", np.array([{"a": 1}], object), allow_pickle=True)
    with pytest.raises(SchemaMismatch):
        Codebook.load(tmp_path)


@pytest.mark.parametrize(
    "centroids",
    [np.zeros(4, np.float32), np.zeros((2, 2)), np.full((2, 2), np.nan, np.float32), np.zeros((0, 4), np.float32)],
)
def test_centroids_that_are_none_are_refused(centroids: np.ndarray) -> None:
    with pytest.raises(SchemaMismatch, match="finite float32"):
        codebook(centroids=centroids)
