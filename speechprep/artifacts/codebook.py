"""A codebook: the centroids of a unit vocabulary, with the metadata of their extractor.

    centroids.npy       (k, dim) float32
    position_means.npy  (window frames, dim) float32, only if the frames are centred
    scale.npy           (dim,) float32, only if the frames are standardised
    codebook.json       codebook metadata: extractor, frame grid, sampling, numbers of frames, counts, inertia

Units have a meaning only with the extractor of the clustered frames: `Codebook.check` refuses all other extractors.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from speechprep.artifacts.manifest import canonical, differences
from speechprep.artifacts.timebase import FrameGrid
from speechprep.errors import BadInput, SchemaMismatch, StaleArtifact, first_line

CENTROIDS = "centroids.npy"
METADATA = "codebook.json"
ARRAYS = {"means": "position_means.npy", "scale": "scale.npy"}  # attribute -> file
FORMAT = 2
NORMALISED = 3  # format of a codebook with one of `ARRAYS`


@dataclass(frozen=True)
class Codebook:
    """Centroids of a unit vocabulary, with the codebook metadata.

    Attributes:
        centroids: (k, dim) float32, finite.
        extractor: `identity()` of the extractor: model and revision, layer, normalisation, every parameter.
        grid: frame grid of the extractor.
        backend: name and options of the extractor: `{"extractor": name, "options": {...}}`; not part of the
            fingerprint.
        quantizer: `identity()` of the quantizer, with its seed.
        sampling: the sampling plan: share of frames, seed, balance, silence quota, input.
        frames_used, frames_seen: frames used by k-means, and frames in the sample.
        counts: frames of each unit in the sample.
        inertia: mean squared distance at each iteration.
        versions: versions of the packages; not part of the fingerprint.
        origin: file, sha256 and format of imported centroids; not part of the fingerprint.
        means: (window frames, dim) float32, mean of each frame number in the window of the model; a frame is centred
            by it before the search for its unit. None: no centring.
        scale: (dim,) float32, factor of each dimension after centring. None: no scaling.
        normalisation: options and counts behind `means` and `scale`.
        quality: shift test and position PNMI; not part of the fingerprint.
    """

    centroids: NDArray[np.float32]
    extractor: dict[str, Any]
    grid: FrameGrid
    backend: dict[str, Any] = field(default_factory=dict)
    quantizer: dict[str, Any] = field(default_factory=dict)
    sampling: dict[str, Any] = field(default_factory=dict)
    frames_used: int = 0
    frames_seen: int = 0
    counts: list[int] = field(default_factory=list)
    inertia: list[float] = field(default_factory=list)
    versions: dict[str, str] = field(default_factory=dict)
    origin: dict[str, Any] = field(default_factory=dict)
    means: NDArray[np.float32] | None = None
    scale: NDArray[np.float32] | None = None
    normalisation: dict[str, Any] = field(default_factory=dict)
    quality: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name, array in self._arrays().items():
            shape = (len(array), self.dim) if name == "means" else (self.dim,)
            if array.dtype != np.float32 or array.shape != shape or not np.isfinite(array).all():
                raise SchemaMismatch(
                    f"{ARRAYS[name]} must be finite float32 of {self.dim} values a row, this is {array.dtype} of "
                    f"{array.shape}; run cluster again"
                )
        centroids = self.centroids
        is_matrix = centroids.ndim == 2 and centroids.dtype == np.float32 and centroids.size > 0
        if not is_matrix or not np.isfinite(centroids).all():
            raise SchemaMismatch(
                f"centroids must be finite float32 of shape (k, dim), these are {centroids.dtype} of "
                f"{centroids.shape}; run cluster again"
            )

    @property
    def k(self) -> int:
        """Number of units."""
        return int(self.centroids.shape[0])

    @property
    def dim(self) -> int:
        """Dimension of a frame."""
        return int(self.centroids.shape[1])

    def _arrays(self) -> dict[str, NDArray[np.float32]]:
        """The arrays of `ARRAYS` in this codebook."""
        found = {name: getattr(self, name) for name in ARRAYS}
        return {name: array for name, array in found.items() if array is not None}

    @property
    def covered_frames(self) -> int | None:
        """Longest audio in frames, if the frames are centred on a part of the window only; else None."""
        covered, window = (self.normalisation.get(name) for name in ("covered_frames", "window_frames"))
        return None if covered is None or covered == window else int(covered)

    def check_length(self, n_frames: int) -> None:
        """Check the length of an utterance against the window of the centring.

        Raises:
            BadInput: `audio_too_long` for more than `covered_frames`.
        """
        longest = self.covered_frames
        if longest is not None and n_frames > longest:
            raise BadInput(
                "audio_too_long",
                f"{n_frames} frames, but the codebook is centred on the first {longest} of a window; raise "
                "center_window of cluster",
            )

    @property
    def metadata(self) -> dict[str, Any]:
        """Codebook metadata as JSON values: everything besides the arrays."""
        names = ("extractor", "backend", "quantizer", "sampling", "frames_used", "frames_seen", "counts", "inertia")
        return {
            "format": NORMALISED if self._arrays() else FORMAT,
            "k": self.k,
            "dim": self.dim,
            "grid": self.grid.as_dict(),
            **{name: getattr(self, name) for name in names},
            **({"normalisation": self.normalisation} if self._arrays() else {}),
        }

    @property
    def fingerprint(self) -> str:
        """sha256 of the bytes of the arrays (little-endian) and the metadata without `backend`.

        `backend` holds the paths of model files; `extractor` identifies their weights.
        """
        h = hashlib.sha256(np.ascontiguousarray(self.centroids, "<f4").tobytes())
        h.update(canonical({name: value for name, value in self.metadata.items() if name != "backend"}).encode())
        for name, array in self._arrays().items():
            h.update(name.encode() + np.ascontiguousarray(array, "<f4").tobytes())
        return h.hexdigest()

    def check(self, extractor: Any) -> None:
        """Refuse an extractor other than that of the codebook.

        Args:
            extractor: anything with `identity()`, `grid` and `dim`. With `earlier_identities()`, a codebook of one of
                those is accepted too.

        Raises:
            StaleArtifact: another extractor; the message names both and the differences.
        """
        expected = {"identity": self.extractor, "grid": self.grid.as_dict(), "dim": self.dim}
        actual = {"identity": extractor.identity(), "grid": extractor.grid.as_dict(), "dim": extractor.dim}
        # Through JSON, as in the file: tuples become lists.
        changes = differences(json.loads(canonical(expected)), json.loads(canonical(actual)))
        earlier = [json.loads(canonical(identity)) for identity in getattr(extractor, "earlier_identities", list)()]
        if earlier and json.loads(canonical(self.extractor)) in earlier:
            changes = [change for change in changes if not change.startswith("identity.")]
        if changes:
            raise StaleArtifact(
                f"this codebook was made from frames of {_title(self.extractor)} and cannot be used with "
                f"{_title(actual['identity'])}: {'; '.join(changes)}. "
                "Choose the extractor of the codebook, or run cluster again"
            )

    def save(self, folder: str | Path) -> None:
        """Write the files into an existing folder."""
        for file, array in {CENTROIDS: self.centroids, **{ARRAYS[n]: a for n, a in self._arrays().items()}}.items():
            np.save(Path(folder) / file, np.ascontiguousarray(array, "<f4"), allow_pickle=False)
        body = {**self.metadata, "fingerprint": self.fingerprint, "versions": self.versions}
        body |= {name: getattr(self, name) for name in ("origin", "quality") if getattr(self, name)}
        text = json.dumps(body, indent=1, sort_keys=True, ensure_ascii=False, allow_nan=False)
        (Path(folder) / METADATA).write_text(text + "\n", encoding="utf-8")

    @classmethod
    def load(cls, folder: str | Path) -> Codebook:
        """Read a folder written by `save`.

        Raises:
            StaleArtifact: a file is missing.
            SchemaMismatch: the files are damaged, of another format, or do not belong together.
        """
        try:
            body = json.loads((Path(folder) / METADATA).read_text(encoding="utf-8"))
            centroids = np.load(Path(folder) / CENTROIDS, allow_pickle=False)
            files = {name: Path(folder) / file for name, file in ARRAYS.items() if (Path(folder) / file).exists()}
            arrays = {name: np.load(file, allow_pickle=False) for name, file in files.items()}
        except FileNotFoundError as error:
            raise StaleArtifact(f"{folder} is not a codebook: {Path(error.filename).name} is missing") from None
        except (ValueError, EOFError, RecursionError, MemoryError, OverflowError) as error:
            raise _unreadable(folder, error) from None
        if not isinstance(body, dict) or body.get("format") not in (FORMAT, NORMALISED):
            raise SchemaMismatch(
                f"{folder}: not a codebook of format {FORMAT} or {NORMALISED}; run cluster again, or update speechprep"
            )
        claimed = body.pop("fingerprint", None)
        for name in ("format", "k", "dim"):
            body.pop(name, None)
        try:
            grid = FrameGrid(**body.pop("grid"))
            arrays = {name: array.astype(np.float32, copy=False) for name, array in arrays.items()}
            codebook = cls(centroids=centroids.astype(np.float32, copy=False), grid=grid, **arrays, **body)
            fingerprint = codebook.fingerprint
        except (TypeError, LookupError, ValueError, AttributeError, RecursionError) as error:
            if isinstance(error, SchemaMismatch):
                raise
            raise _unreadable(folder, error) from None
        if fingerprint != claimed:
            names = ", ".join([CENTROIDS, *(ARRAYS[name] for name in arrays)])
            raise SchemaMismatch(f"{folder}: {names} and {METADATA} do not belong together; run cluster again")
        return codebook

    def facts(self) -> dict[str, Any]:
        """Entries of the manifest for the stages after `cluster`."""
        return {
            "codebook": self.fingerprint,
            "k": self.k,
            "dim": self.dim,
            "grid": self.grid.as_dict(),
            "extractor": self.extractor,
            "backend": self.backend,
        }


def _unreadable(folder: str | Path, error: BaseException) -> SchemaMismatch:
    """The error for damaged files, in one line."""
    return SchemaMismatch(f"{folder}: the codebook cannot be read ({first_line(error)[:200]}); run cluster again")


def _title(identity: dict[str, Any]) -> str:
    """An extractor in a few words: its name, model and layer."""
    keys = ("model", "revision", "weights", "layer")
    parts = [f"{key} {identity[key]}" for key in keys if identity.get(key) is not None]
    return " ".join([repr(identity.get("name", "?")), *parts])
