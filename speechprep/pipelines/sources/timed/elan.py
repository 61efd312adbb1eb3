"""EAF files of ELAN through pympi: tiers with times; tiers of translations and notes have none."""

from __future__ import annotations

import tempfile
import warnings
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np

from speechprep.errors import BadInput
from speechprep.pipelines.sources.timed.tiers import Tier, timed
from speechprep.pipelines.sources.timed.transcript import Timed

_FAULTS = (
    LookupError,
    ElementTree.ParseError,
    ValueError,
    KeyError,
    IndexError,
    TypeError,
    AttributeError,
    OverflowError,
)


def read(text: str, form: str = "eaf") -> Timed:
    """The tiers of an EAF file; the speaker is the participant of the tier, else its name.

    Raises:
        BadInput: `bad_transcript`.
    """
    from pympi import Elan

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "a.eaf"  # pympi reads by name only
        path.write_text(text, "utf-8", "surrogateescape")
        try:
            ElementTree.parse(path)  # noqa: S314 - entities are limited by expat; pympi reports damage as Exception
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                file = Elan.Eaf(str(path))
            return timed(_tiers(file))
        except _FAULTS as error:
            reason = f"{type(error).__name__} {error}".strip()[:200]
            message = f"the EAF file cannot be read: {reason}; save it again with ELAN"
            raise BadInput("bad_transcript", message) from None


def _tiers(file: Any) -> list[Tier]:
    times = _times(file.timeslots)
    tiers = []
    for name, (aligned, _, attributes, _) in file.tiers.items():
        intervals = [(text or "", times[start], times[end]) for start, end, text, _ in aligned.values()]
        if intervals:
            tiers.append(Tier(name, attributes.get("PARTICIPANT") or None, sorted(intervals, key=lambda i: i[1])))
    return tiers


def _times(slots: dict[str, int | None]) -> dict[str, float]:
    """Seconds of each time slot; a slot without a time is placed evenly between its neighbours, as ELAN draws it."""
    known = [(at, value) for at, value in enumerate(slots.values()) if value is not None]
    if not known:
        return {}
    filled = np.interp(np.arange(len(slots)), [at for at, _ in known], [value for _, value in known])
    return {name: float(value) / 1000 for name, value in zip(slots, filled, strict=True)}
