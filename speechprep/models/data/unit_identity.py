"""Identity of the units in folders of rows: codebook and frame grid. Sizes of codebooks prove nothing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from speechprep.artifacts import manifest, storage
from speechprep.errors import StaleArtifact


@dataclass(frozen=True)
class UnitIdentity:
    """Codebook and frame grid of units.

    Attributes:
        codebook: content fingerprint; "" if unknown.
        grid: frame grid, the fields of `FrameGrid`; None if unknown.
    """

    codebook: str = ""
    grid: dict[str, Any] | None = None

    @classmethod
    def of(cls, folder: str) -> UnitIdentity:
        """Identity of the units in a folder of `tokens` or `packed`.

        Older folders have no codebook in their manifest. It is then that of the `units` beside the folder.
        """
        extra = manifest.read(folder).extra
        if extra.get("codebook"):
            return cls(extra["codebook"], extra.get("grid"))
        units = manifest.find(storage.join(storage.parent(folder), "units"))
        return cls("" if units is None else str(units.extra.get("codebook") or ""), extra.get("grid"))


def check_same_units(folders: Sequence[str]) -> UnitIdentity:
    """The common identity of the units of folders of rows; unknown fields agree with all.

    Raises:
        StaleArtifact: two folders have units of different codebooks or frame grids; the message names both.
    """
    known: dict[str, tuple[str, Any]] = {}
    for folder in dict.fromkeys(folders):
        identity = UnitIdentity.of(folder)
        for name, value in (("codebook", identity.codebook), ("grid", identity.grid)):
            if not value:
                continue
            first, expected = known.setdefault(name, (folder, value))
            if value != expected:
                if name == "codebook":
                    sides = f"codebook {str(expected)[:12]}, the units of {folder} {str(value)[:12]}"
                else:
                    sides = f"the frame grid {expected}, the units of {folder} {value}"
                raise StaleArtifact(
                    f"the units of {first} have {sides}; make the units of all runs with one codebook and extractor"
                )
    return UnitIdentity(known.get("codebook", ("", ""))[1], known.get("grid", ("", None))[1])
