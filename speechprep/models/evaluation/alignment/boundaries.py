"""Errors of word boundaries against a reference.

The words of both sides are paired by their text, as spoken: case, punctuation and figures do not count. Words written
as one word on one side and as several on the other ("waterproof", "water proof") are measured together, at their first
onset and their last offset. Labels for unknown words in the reference are left out.

Errors are aligned minus reference, in milliseconds. The word-boundary error of a word is (|onset| + |offset|) / 2.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

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
        inside: (m,) for each border with an interval, if the reference is in it.
        width: (m,) lengths of these intervals, ms.
    """

    onset: F64
    offset: F64
    words: int
    not_found: int
    extra: int = 0
    unknown: int = 0
    interpolated: int = 0
    inside: NDArray[np.bool_] = field(default_factory=lambda: np.zeros(0, np.bool_))
    width: F64 = field(default_factory=lambda: np.zeros(0))

    @property
    def boundary(self) -> F64:
        """(n,) word-boundary errors, ms."""
        return (np.abs(self.onset) + np.abs(self.offset)) / 2


@dataclass(frozen=True)
class AlignedWords:
    """Words of one utterance by the aligner.

    Attributes:
        words: with times.
        interpolated: words without a time of their own.
        kept: verdict of the run.
        intervals: (lowest start, highest start, lowest end, highest end) of each word in seconds; empty without any.
    """

    words: Sequence[Timed] = ()
    interpolated: int = 0
    kept: bool = True
    intervals: Sequence[tuple[float, float, float, float] | None] = ()


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

    def values(self, name: str) -> Any:
        """Values of `onset`, `offset` or `boundary` of all measured words, or `inside` or `width` of all borders."""
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
    borders = [border for pair in pairs for border in _borders(reference, aligned, pair)]
    return UtteranceErrors(
        onset=_milliseconds(onset),
        offset=_milliseconds(offset),
        words=len(reference) - unknown,
        not_found=lost - unknown,
        extra=extra,
        unknown=unknown,
        interpolated=aligned.interpolated,
        inside=np.array([low <= true <= high for true, low, high in borders], np.bool_),
        width=_milliseconds([high - low for _, low, high in borders]),
    )


def _borders(
    reference: Sequence[Timed], aligned: AlignedWords, pair: tuple[Sequence[int], Sequence[int]]
) -> Iterator[tuple[float, float, float]]:
    """(true time, lowest, highest) of the borders of a pair of words, in seconds; none without intervals."""
    if not aligned.intervals:
        return
    first, last = (aligned.intervals[number] for number in (pair[1][0], pair[1][-1]))
    if first is not None and last is not None:
        yield reference[pair[0][0]].start, first[0], first[1]
        yield reference[pair[0][-1]].end, last[2], last[3]


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
