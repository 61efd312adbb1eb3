"""Centroids from published files: scikit-learn k-means models of `joblib.dump`, and `.npy` matrices.

fairseq, textless and mHuBERT publish the former (`km.bin`, `..._L11_km1000.bin`), Seamless the latter. Both are read
without executing their content (`safe_pickle`; NumPy without pickle), compressed or plain.
"""

from __future__ import annotations

import bz2
import gzip
import hashlib
import io
import lzma
import math
import posixpath
import zlib
from collections.abc import Callable
from typing import IO, Any, cast

import numpy as np
from numpy.typing import NDArray

from speechprep.artifacts import storage
from speechprep.errors import ConfigError, first_line
from speechprep.pipelines.stages.import_codebook import safe_pickle
from speechprep.pipelines.stages.import_codebook.pickle_values import Damaged, Global, Record, Skipped

NPY = b"\x93NUMPY"
MODELS = ("KMeans", "MiniBatchKMeans")  # of sklearn.cluster: the unit is the nearest centroid
_BLOCK = 1 << 20
MAX_UNUSED = 0.1  # of the centroids zero or duplicate, as the option max_unused of `cluster`
# First bytes of unreadable formats, with the remedy.
_OTHERS = {
    b"ZF": "a file of joblib before 0.10; load and dump it once with a newer joblib",
    b"\x04\x22\x4d\x18": "packed with LZ4; dump it again without compression",
    b"PK\x03\x04": "a zip (a torch checkpoint or .npz); save its centroids by numpy.save",
    b"Ix": "a FAISS index; save its centroids by numpy.save",
    b"version https://git-lfs": "a git LFS pointer, not the file itself; run: git lfs pull",
}


class _Inflated(io.RawIOBase):
    """A zlib stream as a file for forward reading."""

    def __init__(self, packed: IO[bytes]) -> None:
        self._packed, self._inflate = packed, zlib.decompressobj()

    def readable(self) -> bool:
        """Yes."""
        return True

    def readinto(self, buffer: Any) -> int:
        """The next bytes.

        Raises:
            EOFError: the packed stream breaks off.
        """
        unpacked = b""
        while not unpacked and not self._inflate.eof:
            packed = self._inflate.unconsumed_tail or self._packed.read(_BLOCK)
            if not packed:
                raise EOFError("the compressed stream breaks off")
            unpacked = self._inflate.decompress(packed, len(buffer))
        buffer[: len(unpacked)] = unpacked
        return len(unpacked)


# How joblib packs, by the first bytes.
_PACKED: dict[bytes, tuple[str, Callable[[IO[bytes]], IO[bytes]]]] = {
    b"\x78": ("zlib", lambda file: cast("IO[bytes]", io.BufferedReader(_Inflated(file), _BLOCK))),
    b"\x1f\x8b": ("gzip", lambda file: cast("IO[bytes]", gzip.GzipFile(fileobj=file))),
    b"BZh": ("bz2", lambda file: cast("IO[bytes]", bz2.BZ2File(file))),
    b"\xfd7zXZ": ("xz", lambda file: cast("IO[bytes]", lzma.LZMAFile(file))),  # noqa: SIM115 - the file beneath is
    b"\x5d\x00": ("lzma", lambda file: cast("IO[bytes]", lzma.LZMAFile(file))),  # noqa: SIM115
}


def read_centroids(uri: str) -> tuple[NDArray[np.float32], dict[str, Any]]:
    """The (k, dim) float32 centroids of a file, and their origin for the codebook metadata.

    Centroids stored in float64 are rounded to float32; the origin then has `dtype: float64`.

    Raises:
        ConfigError: an absent or damaged file, a file of another kind, or a file without usable centroids.
    """
    name = posixpath.basename(uri.rstrip("/"))
    try:
        with storage.open(uri) as file:
            digest = hashlib.sha256()
            while block := file.read(_BLOCK):
                digest.update(block)
            file.seek(0)
            head = file.read(32)
            file.seek(0)
            matrix, metadata = _npy(file) if head.startswith(NPY) else _pickled(file, head)
    except Damaged as error:
        raise ConfigError(f"{name} cannot be read as a codebook: {error}") from None
    except OSError as error:
        raise ConfigError(f"cannot read the codebook {uri}: {error.strerror or error}") from None
    origin = {"file": name, "sha256": digest.hexdigest(), **metadata, "dtype": matrix.dtype.newbyteorder("=").name}
    return _checked(matrix, name), origin


def _npy(file: IO[bytes]) -> tuple[NDArray[Any], dict[str, Any]]:
    """A matrix written by `numpy.save`."""
    try:
        version = np.lib.format.read_magic(file)
        header = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        shape, fortran, dtype = header(file)
    except ValueError as error:
        raise Damaged(f"its header is damaged ({first_line(error)[:120]})") from None
    if dtype.hasobject:
        raise Damaged("it holds an array of Python objects, which is never loaded; save the centroids as float32")
    if dtype.kind != "f" or len(shape) != 2:
        raise Damaged(f"it holds {dtype} of shape {shape}; centroids are a matrix of floats, a row for each unit")
    start, size = file.tell(), math.prod(shape) * dtype.itemsize
    if file.seek(0, io.SEEK_END) - start < size:
        raise Damaged(f"it breaks off: {shape} {dtype} needs {size:,} bytes, {file.tell() - start:,} are there")
    file.seek(start)
    matrix = np.frombuffer(file.read(size), dtype).reshape(shape, order="F" if fortran else "C")
    return matrix, {"format": "npy"}


def _pickled(file: IO[bytes], head: bytes) -> tuple[NDArray[Any], dict[str, Any]]:
    """The centroids of a scikit-learn model, or a bare matrix."""
    for first, what in _OTHERS.items():
        if head.startswith(first):
            raise Damaged(f"it is {what}")
    packing, unpack = next((way for first, way in _PACKED.items() if head.startswith(first)), (None, None))
    try:
        value = safe_pickle.load(unpack(file) if unpack else file)
    except (zlib.error, lzma.LZMAError) as error:
        raise Damaged(f"its {packing} packing is damaged ({error})") from None
    metadata: dict[str, Any] = {"format": "joblib", **({"packing": packing} if packing else {})}
    if isinstance(value, np.ndarray):
        return value, metadata
    if isinstance(value, Skipped):
        raise Damaged(f"it holds {value.dtype} of shape {value.shape}; centroids are a matrix of floats")
    model = value.what if isinstance(value, Record) else None
    if not isinstance(model, Global) or not model.module.startswith("sklearn.cluster") or model.name not in MODELS:
        raise Damaged(f"it holds {_kind(value)}, not a k-means model of scikit-learn; nothing of it was run")
    state = value.state if isinstance(value.state, dict) else {}
    centroids = state.get("cluster_centers_")
    if not isinstance(centroids, np.ndarray):
        stored = f"{centroids.dtype} of shape {centroids.shape}" if isinstance(centroids, Skipped) else "none"
        raise Damaged(
            f"its {model.name} has no matrix of floats as cluster_centers_ ({stored}); fit the model and dump it again"
        )
    sklearn_version = state.get("_sklearn_version")
    metadata["model"] = str(model)
    metadata |= {"sklearn": sklearn_version[:40]} if isinstance(sklearn_version, str) else {}
    return centroids, metadata


def _kind(value: Any) -> str:
    """Description of a value, safe to print."""
    if isinstance(value, Record):
        value = value.what
    return ascii(str(value)[:120]) if isinstance(value, Global) else type(value).__name__


def _checked(matrix: NDArray[Any], name: str) -> NDArray[np.float32]:
    """The centroids as float32, after a check.

    Raises:
        ConfigError: no unit, or values outside of finite float32.
    """
    if not matrix.size:
        raise ConfigError(f"{name}: centroids of shape {matrix.shape}: the file has no unit; give another file")
    with np.errstate(over="ignore"):  # shows as an infinity
        centroids = np.ascontiguousarray(matrix, np.float32)
    bad = int((~np.isfinite(centroids)).any(axis=1).sum())
    if bad:
        raise ConfigError(
            f"{name}: {bad} of {len(centroids)} centroids hold NaN or infinity; the file is damaged, get it again"
        )
    zero = ~centroids.any(axis=1)
    duplicate = np.ones(len(centroids), bool)
    duplicate[np.unique(centroids, axis=0, return_index=True)[1]] = False
    unused = int((zero | duplicate).sum())
    if unused > MAX_UNUSED * len(centroids):
        raise ConfigError(
            f"{name}: {int(zero.sum())} of {len(centroids)} centroids are zero and {int((duplicate & ~zero).sum())} "
            f"equal another centroid, at most {MAX_UNUSED:.0%} are allowed; the codebook has collapsed, get another one"
        )
    return centroids
