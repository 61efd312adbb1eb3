"""Artifact `boundaries`: corrections of word boundaries for an aligner, fitted on labelled words.

boundaries.json  offsets by kind, licence and origin of the labels, errors on other speakers
refiner.npy      (networks, n) float32, weights of the refiner, if there is one
"""

from __future__ import annotations

import hashlib
import io
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from speechprep.artifacts import storage
from speechprep.artifacts.manifest import canonical
from speechprep.errors import ConfigError
from speechprep.tokenizers.alignment import border_network
from speechprep.tokenizers.alignment.boundary_offsets import ANY, BoundaryOffset
from speechprep.tokenizers.alignment.boundary_refiner import NETWORKS, Refiner

FILE = "boundaries.json"
WEIGHTS = "refiner.npy"
FORMAT = 1
REFINED = 2  # format with a refiner


@dataclass(frozen=True)
class Boundaries:
    """Fitted offsets or a fitted refiner, with their origin.

    Attributes:
        offsets: kind of border -> correction; one is `ANY`.
        aligner: identity of the aligner of the labelled words; the offsets hold for its times.
        licence: licence of the labels, as given by the user.
        labels: sha256 of the labels and their numbers of utterances, words and speakers.
        evaluation: errors on speakers that were not used for fitting; empty with one speaker.
        refiner: used instead of the offsets; None: the offsets are used.
    """

    offsets: Mapping[str, BoundaryOffset]
    aligner: dict[str, Any]
    licence: str
    labels: dict[str, Any] = field(default_factory=dict)
    evaluation: dict[str, Any] = field(default_factory=dict)
    refiner: Refiner | None = None

    @property
    def fingerprint(self) -> str:
        """sha256 of the offsets, the aligner and the refiner."""
        body = {"offsets": self._values(), "aligner": self.aligner, **self._refiner()}
        return hashlib.sha256(canonical(body).encode()).hexdigest()

    def _refiner(self) -> dict[str, Any]:
        """Facts of the refiner as JSON values."""
        if self.refiner is None:
            return {}
        return {
            "refiner": {
                "sha256": hashlib.sha256(_packed(self.refiner).tobytes()).hexdigest(),
                "version": border_network.VERSION,
                "widening": self.refiner.widening,
            }
        }

    def _values(self) -> dict[str, dict[str, float]]:
        return {kind: offset._asdict() for kind, offset in sorted(self.offsets.items())}

    def save(self, folder: str) -> None:
        """Write the files."""
        names = ("aligner", "licence", "labels", "evaluation")
        body = {
            "format": FORMAT if self.refiner is None else REFINED,
            "fingerprint": self.fingerprint,
            "offsets": self._values(),
            **{name: getattr(self, name) for name in names},
            **self._refiner(),
        }
        text = json.dumps(body, indent=1, sort_keys=True, ensure_ascii=False, allow_nan=False)
        if self.refiner is not None:
            file = io.BytesIO()
            np.save(file, _packed(self.refiner), allow_pickle=False)
            storage.write_bytes(storage.join(folder, WEIGHTS), file.getvalue())
        storage.write_bytes(storage.join(folder, FILE), (text + "\n").encode())

    @classmethod
    def load(cls, folder: str) -> Boundaries:
        """Read a folder written by `save`.

        Raises:
            ConfigError: it is missing, damaged, or of another format.
        """
        try:
            body = json.loads(storage.read_bytes(storage.join(folder, FILE)))
            if body["format"] not in (FORMAT, REFINED):
                raise ValueError(f"format {body['format']!r} instead of {FORMAT} or {REFINED}")
            names = ("aligner", "licence", "labels", "evaluation")
            offsets = {kind: BoundaryOffset(**values) for kind, values in body["offsets"].items()}
            refiner = _read_refiner(folder, body["refiner"]) if body["format"] == REFINED else None
            found = cls(offsets, **{name: body[name] for name in names}, refiner=refiner)
            if ANY not in offsets or not all(math.isfinite(offset.seconds) for offset in offsets.values()):
                raise ValueError(f"an offset is not finite, or {ANY!r} is missing")
            if found.fingerprint != body["fingerprint"]:
                raise ValueError("the contents do not match the fingerprint")
        except (OSError, ValueError, KeyError, TypeError, AttributeError, EOFError, MemoryError) as error:
            raise ConfigError(
                f"boundaries = {folder!r} cannot be read ({error!r}); fit it with: speechprep fit boundaries"
            ) from None
        return found

    def check(self, aligner: Mapping[str, Any]) -> None:
        """Check that the offsets hold for an aligner.

        Args:
            aligner: its identity.

        Raises:
            ConfigError: a value in both identities differs. The message names the first one.
        """
        present = json.loads(canonical(dict(aligner)))
        for name, value in self.aligner.items():
            if present.get(name) != value:
                raise ConfigError(
                    f"these boundaries were fitted with {name} = {value!r}, this aligner has {present.get(name)!r}; "
                    "fit them again with: speechprep fit boundaries"
                )


def _read_refiner(folder: str, facts: Mapping[str, Any]) -> Refiner:
    """The refiner of an artifact.

    Raises:
        ValueError: another version, or other weights than finite float32 of the right number.
    """
    if facts["version"] != border_network.VERSION:
        raise ValueError(f"refiner version {facts['version']!r} instead of {border_network.VERSION}")
    values = np.load(io.BytesIO(storage.read_bytes(storage.join(folder, WEIGHTS))), allow_pickle=False)
    shape = (NETWORKS, border_network.SIZE)
    if values.shape != shape or values.dtype != np.float32 or not np.isfinite(values).all():
        raise ValueError(f"{WEIGHTS} has {values.dtype} of {values.shape}, or a value is not finite")
    widening = float(facts["widening"])
    if not math.isfinite(widening):
        raise ValueError(f"widening {widening!r} is not finite")
    return Refiner(tuple(border_network.unpacked(row) for row in values), widening)


def _packed(refiner: Refiner) -> NDArray[np.float32]:
    """(networks, n) weights, little-endian."""
    return np.stack([border_network.packed(weights) for weights in refiner.networks]).astype("<f4")
