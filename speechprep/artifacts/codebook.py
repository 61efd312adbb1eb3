"""A codebook: the centroids of a unit vocabulary, with the metadata of their extractor.

    centroids.npy       (k, dim) float32
    position_means.npy  (window frames, dim) float32, only if the frames are centred
    scale.npy           (dim,) float32, only if the frames are standardised
    codebook.json       the passport: extractor, frame grid, sampling, frames used of frames seen, counts, inertia

Units have a meaning only with the extractor of the clustered frames: `Codebook.check` refuses any other.
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
from speechprep.errors import BadInput, SchemaMismatch, StaleArtifact

CENTROIDS = "centroids.npy"
PASSPORT = "codebook.json"
ARRAYS = {"means": "position_means.npy", "scale": "scale.npy"}  # attribute -> file
FORMAT = 2
NORMALISED = 3  # format of a codebook with one of `ARRAYS`


@dataclass(frozen=True)
class Codebook:
    """See the module's text.

    Attributes:
        centroids: (k, dim) float32, finite.
        extractor: `identity()` of the extractor: model and revision, layer, normalisation, every parameter.
        grid: its frames; `grid.sample_rate` is the rate it hears.
        backend: name and options of the extractor: `{"extractor": name, "options": {...}}`; not part of the
            fingerprint.
        quantizer: `identity()` of the quantizer, with its seed.
        sampling: the sampling plan: share of frames, seed, balance, silence quota, input.
        frames_used, frames_seen: frames used by k-means, and frames in the sample.
        counts: frames of each unit in the sample.
        inertia: mean squared distance at each iteration.
        versions: of the packages; not part of the fingerprint.
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
        found = self.centroids
        for name, array in self._arrays().items():
            shape = (len(array), self.dim) if name == "means" else (self.dim,)
            if array.dtype != np.float32 or array.shape != shape or not np.isfinite(array).all():
                raise SchemaMismatch(
                    f"{ARRAYS[name]} must be finite float32 of {self.dim} values a row, this is {array.dtype} of "
                    f"{array.shape}; run cluster again"
                )
        if found.ndim != 2 or found.dtype != np.float32 or not found.size or not np.isfinite(found).all():
            raise SchemaMismatch(
                f"centroids must be finite float32 of shape (k, dim), these are {found.dtype} of {found.shape}"
            )

    @property
    def k(self) -> int:
        """Number of units."""
        return int(self.centroids.shape[0])

    @property
    def dim(self) -> int:
        """Values of a frame."""
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
    def passport(self) -> dict[str, Any]:
        """All but the arrays, as JSON values."""
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
        """sha256 of the bytes of the arrays (little-endian) and the passport, but not of where the model lies.

        `backend` holds the paths of model files; `extractor` identifies their weights.
        """
        h = hashlib.sha256(np.ascontiguousarray(self.centroids, "<f4").tobytes())
        h.update(canonical({name: value for name, value in self.passport.items() if name != "backend"}).encode())
        for name, array in self._arrays().items():
            h.update(name.encode() + np.ascontiguousarray(array, "<f4").tobytes())
        return h.hexdigest()

    def check(self, extractor: Any) -> None:
        """The codebook must have been made from the frames of this extractor.

        Args:
            extractor: anything with `identity()`, `grid` and `dim`.

        Raises:
            StaleArtifact: another extractor; the message names both and the differences.
        """
        mine = {"identity": self.extractor, "grid": self.grid.as_dict(), "dim": self.dim}
        other = {"identity": extractor.identity(), "grid": extractor.grid.as_dict(), "dim": extractor.dim}
        # Through JSON, as the passport went: tuples are lists there.
        found = differences(json.loads(canonical(mine)), json.loads(canonical(other)))
        if found:
            raise StaleArtifact(
                f"this codebook was made from frames of {_title(self.extractor)} and cannot be used with "
                f"{_title(other['identity'])}: {'; '.join(found)}. "
                "Choose the extractor of the codebook, or run cluster again"
            )

    def save(self, folder: str | Path) -> None:
        """Write the files into an existing folder."""
        for file, array in {CENTROIDS: self.centroids, **{ARRAYS[n]: a for n, a in self._arrays().items()}}.items():
            np.save(Path(folder) / file, np.ascontiguousarray(array, "<f4"), allow_pickle=False)
        body = {**self.passport, "fingerprint": self.fingerprint, "versions": self.versions}
        body |= {name: getattr(self, name) for name in ("origin", "quality") if getattr(self, name)}
        text = json.dumps(body, indent=1, sort_keys=True, ensure_ascii=False, allow_nan=False)
        (Path(folder) / PASSPORT).write_text(text + "\n", encoding="utf-8")

    @classmethod
    def load(cls, folder: str | Path) -> Codebook:
        """Read a folder written by `save`.

        Raises:
            StaleArtifact: a file is missing.
            SchemaMismatch: the files are damaged, of another format, or do not belong together.
        """
        try:
            body = json.loads((Path(folder) / PASSPORT).read_text(encoding="utf-8"))
            centroids = np.load(Path(folder) / CENTROIDS, allow_pickle=False)
            files = {name: Path(folder) / file for name, file in ARRAYS.items() if (Path(folder) / file).exists()}
            arrays = {name: np.load(file, allow_pickle=False) for name, file in files.items()}
        except FileNotFoundError as error:
            raise StaleArtifact(f"{folder} is not a codebook: {Path(error.filename).name} is missing") from None
        except (ValueError, EOFError) as error:
            raise SchemaMismatch(f"{folder}: the codebook cannot be read ({error}); run cluster again") from None
        if not isinstance(body, dict) or body.get("format") not in (FORMAT, NORMALISED):
            raise SchemaMismatch(
                f"{folder}: not a codebook of format {FORMAT} or {NORMALISED}; run cluster again, or update speechprep"
            )
        claimed = body.pop("fingerprint", None)
        grid = FrameGrid(**body.pop("grid"))
        for name in ("format", "k", "dim"):
            body.pop(name, None)
        arrays = {name: array.astype(np.float32, copy=False) for name, array in arrays.items()}
        found = cls(centroids=centroids.astype(np.float32, copy=False), grid=grid, **arrays, **body)
        if found.fingerprint != claimed:
            names = ", ".join([CENTROIDS, *(ARRAYS[name] for name in arrays)])
            raise SchemaMismatch(f"{folder}: {names} and {PASSPORT} do not belong together; run cluster again")
        return found

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


def _title(identity: dict[str, Any]) -> str:
    """An extractor in a few words: its name, model and layer."""
    told = [f"{key} {identity[key]}" for key in ("model", "revision", "layer") if identity.get(key) is not None]
    return " ".join([repr(identity.get("name", "?")), *told])
