"""Splits of recordings for the stage `clips`: from the corpus, or drawn by a hash of the recording."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from speechprep.errors import BadInput
from speechprep.tokenizers.arrays.keyed_random import Draws, record_keys

Row = dict[str, Any]


class Splits:
    """Splits of recordings: from the corpus, or drawn by a hash of the recording.

    Args:
        seed: of the run.
        shares: split -> share, for recordings without a split in the corpus.
    """

    def __init__(self, seed: int, shares: dict[str, float]) -> None:
        self._seed, self._names = seed, list(shares)
        self._limits = np.cumsum(list(shares.values())) / sum(shares.values())
        self._of_corpus: dict[str, str] = {}
        self._conflicts: dict[str, str] = {}

    def add(self, rows: Iterable[Row]) -> None:
        """Rows of `utterances`, all of them before the first `find`."""
        for row in rows:
            recording, split = recording_of(row), row["split"]
            earlier = self._of_corpus.setdefault(recording, split) if split is not None else None
            if earlier != split:
                first, second = sorted([str(earlier), split])
                self._conflicts.setdefault(recording, f"{first!r} and {second!r}")

    def find(self, row: Row) -> str:
        """Split of the recording of an utterance.

        Raises:
            BadInput: `recording_in_two_splits`.
        """
        recording = recording_of(row)
        if recording in self._conflicts:
            raise BadInput(
                "recording_in_two_splits",
                f"the audio file of {row['id']!r} has utterances in the splits {self._conflicts[recording]}; give them "
                "one split",
            )
        if recording in self._of_corpus:
            return self._of_corpus[recording]
        zero = np.zeros(1, np.int64)
        draw = Draws(record_keys(self._seed, "clips.split", [recording])).uniform(0, zero, zero)
        return self._names[int(np.searchsorted(self._limits[:-1], draw[0], side="right"))]


def recording_of(row: Row) -> str:
    """Recording of an utterance: the sha256 of its audio file; without a hash its URI, else the id."""
    recording: str = row["audio_sha256"] or row["audio"] or row["id"]
    return recording
