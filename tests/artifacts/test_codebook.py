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


class Later(Extractor):
    """An extractor whose earlier version has the identity of the codebook."""

    def __init__(self, **changes: Any) -> None:
        super().__init__({**IDENTITY, "version": 2}, **changes)

    def earlier_identities(self) -> list[dict[str, Any]]:
        return [IDENTITY]


def test_an_earlier_identity_is_accepted_but_not_other_frames() -> None:
    codebook().check(Later())
    for changes, told in (({"dim": 5}, "dim: 4 -> 5"), ({"grid": FrameGrid(16_000, 160, 400)}, "grid.stride")):
        with pytest.raises(StaleArtifact, match=told) as caught:
            codebook().check(Later(**changes))
        assert "identity." not in str(caught.value)
    with pytest.raises(StaleArtifact, match=r"identity\.layer"):
        codebook(extractor={**IDENTITY, "layer": 6}).check(Later())


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


# -- centred and standardised frames -----------------------------------------------------------------------------------

MEANS = np.arange(20, dtype=np.float32).reshape(5, 4)
SCALE = np.array([1, 2, 3, 4], np.float32)


@pytest.mark.parametrize(("means", "scale"), [(MEANS, SCALE), (MEANS, None), (None, SCALE)])
def test_means_and_scale_come_back_and_are_part_of_the_fingerprint(tmp_path: Path, means: Any, scale: Any) -> None:
    made = codebook(means=means, scale=scale, normalisation={"center": "position"})
    made.save(tmp_path)
    again = Codebook.load(tmp_path)
    assert again.fingerprint == made.fingerprint
    for array, file, wanted in ((again.means, "position_means.npy", means), (again.scale, "scale.npy", scale)):
        assert (tmp_path / file).exists() == (wanted is not None)
        assert (array is None) == (wanted is None)
        if wanted is not None:
            assert array.tobytes() == wanted.tobytes()
            assert np.load(tmp_path / file).dtype.str == "<f4"
    others = [codebook(), codebook(means=MEANS + 1, scale=scale, normalisation={"center": "position"})]
    others.append(codebook(means=means, scale=SCALE + 1, normalisation={"center": "position"}))
    others.append(codebook(means=means, scale=scale, normalisation={"center": "none"}))
    assert made.fingerprint not in {other.fingerprint for other in others}


def test_a_plain_codebook_has_the_format_fingerprint_and_files_of_before(tmp_path: Path) -> None:
    made = codebook(normalisation={}, quality={"shift": {"kept": {"3": 0.9}}})
    assert made.fingerprint == codebook().fingerprint, "the quality is not part of it"
    made.save(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["centroids.npy", "codebook.json"]
    body = json.loads((tmp_path / "codebook.json").read_text())
    assert body["format"] == 2
    assert "normalisation" not in body
    assert Codebook.load(tmp_path).quality == made.quality
    codebook(means=MEANS).save(tmp_path)
    assert json.loads((tmp_path / "codebook.json").read_text())["format"] == 3


def test_missing_foreign_and_misshapen_means_are_refused(tmp_path: Path) -> None:
    codebook(means=MEANS).save(tmp_path)
    (tmp_path / "position_means.npy").unlink()
    with pytest.raises(SchemaMismatch, match="do not belong together"):
        Codebook.load(tmp_path)
    np.save(tmp_path / "position_means.npy", MEANS + 1)
    with pytest.raises(SchemaMismatch, match=r"position_means\.npy and codebook.json do not belong together"):
        Codebook.load(tmp_path)
    np.save(tmp_path / "position_means.npy", MEANS[:, :3])
    with pytest.raises(SchemaMismatch, match=r"position_means\.npy must be finite float32 of 4 values"):
        Codebook.load(tmp_path)
    with pytest.raises(SchemaMismatch, match=r"scale\.npy"):
        codebook(scale=np.array([1, 2, np.inf, 4], np.float32))


def test_a_codebook_of_a_part_of_the_window_has_a_longest_audio() -> None:
    assert codebook().covered_frames is None
    record = {"center": "position", "window_frames": 1500, "covered_frames": 1500}
    assert codebook(means=MEANS, normalisation=record).covered_frames is None
    assert codebook(means=MEANS, normalisation={**record, "covered_frames": 800}).covered_frames == 800
