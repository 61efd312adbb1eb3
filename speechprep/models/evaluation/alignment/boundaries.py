"""Errors of word boundaries against a reference.

The words of both sides are paired by their text, as spoken: case, punctuation and figures do not count. Words written
as one word on one side and as several on the other ("waterproof", "water proof") are measured together, at their first
onset and their last offset. Labels for unknown words in the reference are left out.

Errors are aligned minus reference, in milliseconds. The word-boundary error of a word is (|onset| + |offset|) / 2.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from speechprep.models.evaluation.alignment.references import UNKNOWN
from speechprep.models.evaluation.alignment.textgrid import Timed
from speechprep.tokenizers.english.word_pairs import word_groups

F64 = NDArray[np.float64]


@dataclass(frozen=True)
class UtteranceErrors:
    """Errors of the words of one utterance.

    Attributes:
        onset, offset: (n,) aligned minus reference of each measured word, ms.
        words: words of the reference, without labels for unknown words.
        not_found: words of the reference without a partner in the alignment.
        extra: aligned words without a partner in the reference, unknown words included.
        unknown: labels for unknown words in the reference.
        interpolated: aligned words without a time of their own.
    """

    onset: F64
    offset: F64
    words: int
    not_found: int
    extra: int = 0
    unknown: int = 0
    interpolated: int = 0

    @property
    def boundary(self) -> F64:
        """(n,) word-boundary errors, ms."""
        return (np.abs(self.onset) + np.abs(self.offset)) / 2


@dataclass(frozen=True)
class AlignedWords:
    """Words of one utterance by the aligner; `interpolated`: those without a time of their own."""

    words: Sequence[Timed] = ()
    interpolated: int = 0
    kept: bool = True


@dataclass
class LevelErrors:
    """Errors of all utterances at one level of noise.

    Attributes:
        utterances: id -> errors, for each utterance of the reference, in sorted order.
        snr: signal-to-noise ratio in dB; None for the audio without added noise.
        missing: utterances of the reference without a row; all their words are not found.
        not_kept: utterances with `kept` false; they are measured too.
    """

    utterances: dict[str, UtteranceErrors]
    snr: float | None = None
    missing: list[str] = field(default_factory=list)
    not_kept: int = 0

    def total(self, name: str) -> int:
        """Sum of a count over the utterances."""
        return sum(getattr(errors, name) for errors in self.utterances.values())

    def values(self, name: str) -> F64:
        """Values of `onset`, `offset` or `boundary` of all measured words."""
        parts = [getattr(errors, name) for errors in self.utterances.values()]
        return np.concatenate(parts) if parts else np.zeros(0)


def utterance_errors(reference: Sequence[Timed], aligned: AlignedWords) -> UtteranceErrors:
    """Errors of the aligned words of one utterance.

    Args:
        reference: its words, in the order of time.
        aligned: the aligned words, in order.
    """
    unknown = sum(word.text.lower() in UNKNOWN for word in reference)
    pairs, lost, extra = word_groups([w.text for w in reference], [w.text for w in aligned.words], UNKNOWN)
    onset = [aligned.words[pair[1][0]].start - reference[pair[0][0]].start for pair in pairs]
    offset = [aligned.words[pair[1][-1]].end - reference[pair[0][-1]].end for pair in pairs]
    return UtteranceErrors(
        onset=_milliseconds(onset),
        offset=_milliseconds(offset),
        words=len(reference) - unknown,
        not_found=lost - unknown,
        extra=extra,
        unknown=unknown,
        interpolated=aligned.interpolated,
    )


def _milliseconds(seconds: Sequence[float]) -> F64:
    """Rounded to a nanosecond, so that 0.02 s is within 20 ms."""
    return np.round(np.array(seconds, np.float64) * 1000.0, 6)


def level_errors(
    references: Mapping[str, Sequence[Timed]], aligned: Mapping[str, AlignedWords], snr: float | None = None
) -> LevelErrors:
    """Errors of all utterances of the reference.

    Args:
        references: utterance id -> words.
        aligned: utterance id -> aligned words.
        snr: of the added noise, dB.
    """
    ids = sorted(references)
    return LevelErrors(
        {id: utterance_errors(references[id], aligned.get(id, AlignedWords())) for id in ids},
        snr,
        [id for id in ids if id not in aligned],
        sum(not aligned[id].kept for id in ids if id in aligned),
    )
