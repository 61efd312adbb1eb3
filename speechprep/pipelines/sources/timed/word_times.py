"""Check of the word times of a corpus against the duration of their utterance."""

from __future__ import annotations

import math
from typing import Any

from speechprep.errors import BadInput

WORD_OVERHANG = 0.1  # seconds of allowed overhang of a word beyond its utterance; the word is cut there
WORD_OVERLAP = 0.25  # seconds of allowed overlap of two words (hand-labelled TIMIT has 0.15)


def check_words(words: list[dict[str, Any]] | None, duration: float) -> list[dict[str, Any]] | None:
    """Word times of the corpus after a check; ends are cut at the end of the utterance.

    Raises:
        BadInput: `bad_words`: not finite, negative, ending before their start, out of order, overlapping by more than
            WORD_OVERLAP seconds, or past the end by more than WORD_OVERHANG.
    """
    last_start = last_end = -math.inf
    for i, word in enumerate(words or []):
        start, end = word["start"], word["end"]
        fault = None
        if not (math.isfinite(start) and math.isfinite(end)):
            fault = "has a time that is not a number"
        elif start < 0 or end < start:
            fault = "starts before 0 or ends before it starts"
        elif end > duration + WORD_OVERHANG or start > duration:
            fault = f"lies past the end of the audio ({duration:.3f} s)"
        elif start < last_start:
            fault = "starts before the word in front of it"
        elif last_end - start > WORD_OVERLAP:
            fault = f"overlaps the word in front of it by {last_end - start:.3f} s"
        if fault:
            raise BadInput(
                "bad_words",
                f"word {i + 1} ({word['text']!r}, {start:g} to {end:g} s) {fault}; "
                "correct the times or ignore them with --set words=ignore",
            )
        last_start, last_end = start, end
    return [{**word, "end": min(word["end"], duration)} for word in words] if words is not None else None
