"""TextGrid files of Praat through praatio: long, short and JSON form."""

from __future__ import annotations

from speechprep.errors import BadInput
from speechprep.pipelines.sources.timed.tiers import Tier, timed
from speechprep.pipelines.sources.timed.transcript import Timed

_FAULTS = (ValueError, IndexError, KeyError, TypeError, AttributeError, RecursionError)


def read(text: str, form: str = "textgrid") -> Timed:
    """The interval tiers of a TextGrid.

    Raises:
        BadInput: `bad_transcript`.
    """
    from praatio.utilities import errors, textgrid_io

    try:
        grid = textgrid_io.parseTextgridStr(text.replace("\r\n", "\n"), includeEmptyIntervals=False)
        tiers = [
            Tier(
                str(tier["name"]),
                None,
                [(str(label), float(start), float(end)) for start, end, label in tier["entries"]],
            )
            for tier in grid["tiers"]
            if tier["class"] == "IntervalTier"
        ]
    except (
        errors.PraatioException,
        ValueError,
        IndexError,
        KeyError,
        TypeError,
        AttributeError,
        RecursionError,
    ) as error:
        fault = f"{type(error).__name__} {error}".strip()
        raise BadInput("bad_transcript", f"the TextGrid cannot be read: {fault}; save it again with Praat") from None
    return timed(tiers)
