"""Artifact `boundaries`: offsets of word boundaries for an aligner, fitted on labelled words, in `boundaries.json`."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from speechprep.artifacts import storage
from speechprep.artifacts.manifest import canonical
from speechprep.errors import ConfigError
from speechprep.tokenizers.alignment.boundary_offsets import ANY, BoundaryOffset

FILE = "boundaries.json"
FORMAT = 1


@dataclass(frozen=True)
class Boundaries:
    """Fitted offsets, with their origin.

    Attributes:
        offsets: kind of border -> correction; one is `ANY`.
        aligner: identity of the aligner of the labelled words; the offsets hold for its times.
        licence: licence of the labels, as given by the user.
        labels: sha256 of the labels and their numbers of utterances, words and speakers.
        evaluation: errors on speakers that were not used for fitting; empty with one speaker.
    """

    offsets: Mapping[str, BoundaryOffset]
    aligner: dict[str, Any]
    licence: str
    labels: dict[str, Any] = field(default_factory=dict)
    evaluation: dict[str, float] = field(default_factory=dict)

    @property
    def fingerprint(self) -> str:
        """sha256 of the offsets and the aligner."""
        return hashlib.sha256(canonical({"offsets": self._values(), "aligner": self.aligner}).encode()).hexdigest()

    def _values(self) -> dict[str, dict[str, float]]:
        return {kind: offset._asdict() for kind, offset in sorted(self.offsets.items())}

    def save(self, folder: str) -> None:
        """Write `boundaries.json`."""
        body = {"format": FORMAT, "fingerprint": self.fingerprint, **asdict(self), "offsets": self._values()}
        text = json.dumps(body, indent=1, sort_keys=True, ensure_ascii=False, allow_nan=False)
        storage.write_bytes(storage.join(folder, FILE), (text + "\n").encode())

    @classmethod
    def load(cls, folder: str) -> Boundaries:
        """Read a folder written by `save`.

        Raises:
            ConfigError: it is missing, damaged, or of another format.
        """
        try:
            body = json.loads(storage.read_bytes(storage.join(folder, FILE)))
            if body["format"] != FORMAT:
                raise ValueError(f"format {body['format']!r} instead of {FORMAT}")
            names = ("aligner", "licence", "labels", "evaluation")
            offsets = {kind: BoundaryOffset(**values) for kind, values in body["offsets"].items()}
            found = cls(offsets, *(body[name] for name in names))
            if ANY not in offsets or not all(math.isfinite(offset.seconds) for offset in offsets.values()):
                raise ValueError(f"an offset is not finite, or {ANY!r} is missing")
            if found.fingerprint != body["fingerprint"]:
                raise ValueError("the offsets do not match the fingerprint")
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
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
