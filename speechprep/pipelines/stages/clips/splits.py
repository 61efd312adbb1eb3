"""Splits of recordings for the stage `clips`: from the corpus, or drawn by a hash of the recording."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from speechprep.errors import BadInput
from speechprep.pipelines.splits import drawn_split, recording_of

Row = dict[str, Any]


class Splits:
    """Splits of recordings: from the corpus, or drawn by a hash of the recording.

    Args:
        seed: of the run.
        shares: split -> share, for recordings without a split in the corpus.
    """

    def __init__(self, seed: int, shares: dict[str, float]) -> None:
        self._seed, self._shares = seed, shares
        self._of_corpus: dict[str, str] = {}
        self._conflicts: dict[str, set[str]] = {}

    def add(self, rows: Iterable[Row]) -> None:
        """Rows of `utterances`, all of them before the first `find`."""
        for row in rows:
            recording, split = recording_of(row), row["split"]
            if split is not None and self._of_corpus.setdefault(recording, split) != split:
                self._conflicts.setdefault(recording, {self._of_corpus[recording]}).add(split)

    def find(self, row: Row) -> str:
        """Split of the recording of an utterance.

        Raises:
            BadInput: `recording_in_two_splits`.
        """
        recording = recording_of(row)
        if recording in self._conflicts:
            named = " and ".join(map(repr, sorted(self._conflicts[recording])))
            message = f"the audio file of {row['id']!r} has utterances in the splits {named}; give them one split"
            raise BadInput("recording_in_two_splits", message)
        if recording in self._of_corpus:
            return self._of_corpus[recording]
        return drawn_split(self._seed, recording, self._shares)
