"""Codebook files of other projects: bit-equal centroids for every writer; all other files are one-line errors."""

from __future__ import annotations

import bz2
import gzip
import hashlib
import lzma
import pickle
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from speechprep.errors import ConfigError
from speechprep.pipelines.stages.import_codebook.codebook_files import read_centroids

K, DIM = 7, 12


@pytest.fixture(scope="module")
def points() -> np.ndarray:
    return np.random.default_rng(0).standard_normal((400, DIM)).astype(np.float32)


def fitted(points: np.ndarray, kind: str = "MiniBatchKMeans") -> Any:
    import sklearn.cluster

    return getattr(sklearn.cluster, kind)(K, n_init=1, random_state=0).fit(points)


@pytest.mark.parametrize("kind", ["MiniBatchKMeans", "KMeans"])
@pytest.mark.parametrize("protocol", [None, 2, 4])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_centroids_of_a_joblib_dump_are_those_of_the_model(
    tmp_path: Path, points: np.ndarray, kind: str, protocol: int | None, dtype: type
) -> None:
    model = fitted(points.astype(dtype), kind)
    joblib.dump(model, tmp_path / "km.bin", protocol=protocol)
    found, origin = read_centroids(str(tmp_path / "km.bin"))
    assert found.dtype == np.float32
    assert found.tobytes() == np.ascontiguousarray(model.cluster_centers_, np.float32).tobytes()
    import sklearn

    assert origin == {
        "file": "km.bin",
        "sha256": hashlib.sha256((tmp_path / "km.bin").read_bytes()).hexdigest(),
        "format": "joblib",
        "model": f"sklearn.cluster._kmeans.{kind}",
        "sklearn": sklearn.__version__,
        "dtype": np.dtype(dtype).name,
    }


@pytest.mark.parametrize("method", ["zlib", "gzip", "bz2", "lzma", "xz"])
@pytest.mark.parametrize("level", [1, 6, 9])
def test_every_packing_that_joblib_has_is_unpacked(tmp_path: Path, points: np.ndarray, method: str, level: int) -> None:
    model = fitted(points)
    joblib.dump(model, tmp_path / "km.bin", compress=(method, level))
    found, origin = read_centroids(str(tmp_path / "km.bin"))
    assert found.tobytes() == model.cluster_centers_.tobytes()
    assert origin["packing"] == method


def test_a_plain_pickle_and_a_dumped_matrix_are_read_too(tmp_path: Path, points: np.ndarray) -> None:
    model = fitted(points)
    (tmp_path / "a.pkl").write_bytes(pickle.dumps(model))
    joblib.dump(model.cluster_centers_, tmp_path / "b.bin")
    for name in ("a.pkl", "b.bin"):
        assert read_centroids(str(tmp_path / name))[0].tobytes() == model.cluster_centers_.tobytes()


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("dtype", ["<f4", ">f4", "<f8", "<f2"])
def test_npy_matrices_are_read_in_any_layout(tmp_path: Path, points: np.ndarray, order: str, dtype: str) -> None:
    wanted = np.asarray(points[:K], dtype, order=order)  # type: ignore[call-overload]
    np.save(tmp_path / "kmeans.npy", wanted)
    found, origin = read_centroids(str(tmp_path / "kmeans.npy"))
    assert found.tobytes() == np.ascontiguousarray(wanted, np.float32).tobytes()
    assert origin["format"] == "npy"
    assert origin["dtype"] == np.dtype(dtype).newbyteorder("=").name


def test_a_url_is_read_as_a_path_is(points: np.ndarray) -> None:
    import fsspec

    with fsspec.open("memory://books/kmeans.npy", "wb") as file:
        np.save(file, points[:K])
    found, origin = read_centroids("memory://books/kmeans.npy")
    assert np.array_equal(found, points[:K])
    assert origin["file"] == "kmeans.npy"


class Hostile:
    """Unpickled, it would make a file."""

    mark = ""

    def __reduce__(self) -> tuple[Any, ...]:
        import os

        return os.system, (f"touch {self.mark}",)


def test_a_hostile_file_is_refused_and_does_not_run(tmp_path: Path, points: np.ndarray) -> None:
    mark = tmp_path / "it-ran"
    Hostile.mark = str(mark)
    joblib.dump(Hostile(), tmp_path / "km.bin")
    with pytest.raises(ConfigError, match=r"system.*nothing of it was run") as told:
        read_centroids(str(tmp_path / "km.bin"))
    assert "\n" not in str(told.value)
    model = fitted(points)
    model.random_state = Hostile()  # beside good centroids
    joblib.dump(model, tmp_path / "km.bin")
    assert read_centroids(str(tmp_path / "km.bin"))[0].tobytes() == model.cluster_centers_.tobytes()
    assert not mark.exists()


def broken(model: Any, centroids: Any) -> Any:
    model.cluster_centers_ = centroids
    return model


BAD: dict[str, tuple[Callable[[np.ndarray], Any], str]] = {
    "never fitted": (lambda x: __import__("sklearn.cluster").cluster.KMeans(5), "fit the model and dump it again"),
    "objects": (lambda x: broken(fitted(x), np.full((K, DIM), None, object)), "object of shape"),
    "integers": (lambda x: broken(fitted(x), np.ones((K, DIM), np.int32)), "int32 of shape"),
    "a vector": (lambda x: broken(fitted(x), np.ones(DIM, np.float32)), r"\(12,\)"),
    "no units": (lambda x: broken(fitted(x), np.ones((0, DIM), np.float32)), "no unit"),
    "NaN": (lambda x: broken(fitted(x), np.where(np.eye(K, DIM) > 0, np.nan, 1.0)), "7 of 7 centroids hold NaN"),
    "too large": (lambda x: broken(fitted(x), np.full((K, DIM), 1e300)), "NaN or infinity"),
    "another model": (lambda x: __import__("sklearn.cluster").cluster.Birch(), "sklearn.cluster._birch.Birch"),
    "a dictionary": (lambda x: {"centroids": x}, "dict, not a k-means model"),
    "a vector alone": (lambda x: x[0], r"float32 of shape \(12,\)"),
}


@pytest.mark.parametrize("name", BAD)
def test_what_is_no_codebook_is_one_line(tmp_path: Path, points: np.ndarray, name: str) -> None:
    make, says = BAD[name]
    joblib.dump(make(points), tmp_path / "km.bin")
    with pytest.raises(ConfigError, match=says) as told:
        read_centroids(str(tmp_path / "km.bin"))
    assert "km.bin" in str(told.value)
    assert "\n" not in str(told.value)


@pytest.mark.parametrize(
    ("array", "says"),
    [
        (np.full((3, 2), None, object), "Python objects"),
        (np.ones((3, 2), np.int64), "int64 of shape"),
        (np.ones((3, 2, 1), np.float32), r"\(3, 2, 1\)"),
        (np.ones((0, 2), np.float32), "no unit"),
        (np.full((3, 2), np.nan, np.float32), "3 of 3 centroids"),
    ],
)
def test_npy_files_that_are_no_codebook_are_one_line(tmp_path: Path, array: np.ndarray, says: str) -> None:
    np.save(tmp_path / "c.npy", array, allow_pickle=True)
    with pytest.raises(ConfigError, match=says):
        read_centroids(str(tmp_path / "c.npy"))


@pytest.mark.parametrize(
    ("head", "says"),
    [
        (b"ZF0x12", "before 0.10"),
        (b"\x04\x22\x4d\x18xx", "LZ4"),
        (b"PK\x03\x04xx", "torch checkpoint"),
        (b"IxFIxx", "FAISS"),
        (b"version https://git-lfs.github.com/spec/v1\n", "git lfs pull"),
        (b"", "exhausted"),
        (b"<html>404</html>", "opcode b'<' unknown"),
    ],
)
def test_other_files_are_told_by_what_they_are(tmp_path: Path, head: bytes, says: str) -> None:
    (tmp_path / "km.bin").write_bytes(head)
    with pytest.raises(ConfigError, match=says):
        read_centroids(str(tmp_path / "km.bin"))


def test_a_file_that_is_not_there_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot read the codebook"):
        read_centroids(str(tmp_path / "none.bin"))
    with pytest.raises(ConfigError, match="cannot read the codebook"):
        read_centroids(str(tmp_path))


PACK: dict[str, Callable[[bytes], bytes]] = {
    "plain": lambda b: b, "zlib": zlib.compress, "gzip": gzip.compress, "bz2": bz2.compress, "xz": lzma.compress,
}  # fmt: skip


@pytest.mark.parametrize("packing", PACK)
def test_a_file_cut_off_anywhere_is_one_error(tmp_path: Path, points: np.ndarray, packing: str) -> None:
    joblib.dump(fitted(points), tmp_path / "whole.bin")
    whole = PACK[packing]((tmp_path / "whole.bin").read_bytes())
    cut = tmp_path / "cut.bin"
    step = 1 if packing == "plain" else 7
    for length in range(0, len(whole), step):
        cut.write_bytes(whole[:length])
        with pytest.raises(ConfigError):
            read_centroids(str(cut))


def test_an_npy_cut_off_anywhere_is_one_error(tmp_path: Path, points: np.ndarray) -> None:
    np.save(tmp_path / "whole.npy", points[:K])
    whole = (tmp_path / "whole.npy").read_bytes()
    for length in range(len(whole)):
        (tmp_path / "cut.npy").write_bytes(whole[:length])
        with pytest.raises(ConfigError):
            read_centroids(str(tmp_path / "cut.npy"))


@settings(max_examples=300)
@given(st.data())
def test_damage_anywhere_is_one_error_or_other_centroids(tmp_path_factory: Any, data: st.DataObject) -> None:
    folder = tmp_path_factory.getbasetemp()
    whole = bytearray(_dump(folder))
    for _ in range(data.draw(st.integers(1, 4))):
        whole[data.draw(st.integers(0, len(whole) - 1))] = data.draw(st.integers(0, 255))
    (folder / "damaged.bin").write_bytes(bytes(whole))
    try:
        found, _ = read_centroids(str(folder / "damaged.bin"))
    except ConfigError:
        return
    assert np.isfinite(found).all()


def _dump(folder: Path) -> bytes:
    path = folder / "sound.bin"
    if not path.exists():
        joblib.dump(fitted(np.random.default_rng(0).standard_normal((400, DIM)).astype(np.float32)), path)
    return path.read_bytes()


@pytest.mark.parametrize(
    ("matrix", "told"),
    [
        (np.zeros((20, 3)), "20 of 20 centroids are zero"),
        (np.concatenate([np.zeros((3, 3)), np.eye(3), -np.eye(3)]), "3 of 9 centroids are zero and 0 equal"),
        (np.concatenate([np.eye(3), np.eye(3)]), "0 of 6 centroids are zero and 3 equal"),
        (np.concatenate([np.zeros((1, 9)), np.eye(9)]), None),  # a tenth, as in `cluster`
    ],
)
def test_a_collapsed_codebook_is_refused(tmp_path: Path, matrix: np.ndarray, told: str | None) -> None:
    np.save(tmp_path / "km.npy", matrix.astype(np.float32))
    if told is None:
        assert len(read_centroids(str(tmp_path / "km.npy"))[0]) == len(matrix)
    else:
        with pytest.raises(ConfigError, match=told):
            read_centroids(str(tmp_path / "km.npy"))
