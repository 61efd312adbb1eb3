"""TextGrid files of Praat through praatio: long, short and JSON form.

praatio reads a file that was cut off without an error, so the numbers of tiers and intervals are compared with those
that the file states.
"""

from __future__ import annotations

import re
from typing import Any

from speechprep.errors import BadInput
from speechprep.pipelines.sources.timed.tiers import Tier, timed
from speechprep.pipelines.sources.timed.transcript import Timed

_NUMBER = r"[-+.\deE]+"
_SIZES = re.compile(  # number of entries of a tier, in the long and in the short format
    rf'"(?:IntervalTier|TextTier)"\s+(?:name = )?"(?:[^"]|"")*"\s+(?:xmin = )?{_NUMBER}\s+(?:xmax = )?{_NUMBER}\s+'
    r"(?:(?:intervals|points): size = )?(\d+)"
)
_TIERS = re.compile(r"<exists>\s+(?:size = )?(\d+)")
_FAULTS = (ValueError, IndexError, KeyError, TypeError, AttributeError, RecursionError)


def read(text: str, form: str = "textgrid") -> Timed:
    """The interval tiers of a TextGrid.

    Raises:
        BadInput: `bad_transcript`.
    """
    from praatio.utilities import errors, textgrid_io

    try:
        grid = textgrid_io.parseTextgridStr(text.replace("\r\n", "\n"), includeEmptyIntervals=True)
        _check_complete(text, grid["tiers"])
        tiers = [
            Tier(
                str(tier["name"]),
                None,
                [(str(label), float(start), float(end)) for start, end, label in tier["entries"] if label.strip()],
            )
            for tier in grid["tiers"]
            if tier["class"] == "IntervalTier"
        ]
    except (errors.PraatioException, *_FAULTS) as error:
        fault = f"{type(error).__name__} {error}".strip()
        raise BadInput("bad_transcript", f"the TextGrid cannot be read: {fault}; save it again with Praat") from None
    return timed(tiers)


def _check_complete(text: str, tiers: list[dict[str, Any]]) -> None:
    """Compare the entries of each tier with their stated number; the JSON form needs no check.

    Raises:
        ValueError: fewer or more than stated.
    """
    stated = _TIERS.search(text)
    if stated is None:
        return
    sizes, read = [int(size) for size in _SIZES.findall(text)], [len(tier["entries"]) for tier in tiers]
    if int(stated[1]) != len(tiers) or sizes != read:
        raise ValueError(f"it states {sum(sizes)} entries in {stated[1]} tiers, {sum(read)} in {len(tiers)} are there")
