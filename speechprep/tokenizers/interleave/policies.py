"""Which words of an utterance are spoken and which written: the rules of the field, for a whole batch at once.

A policy is a function (draws, word_offsets, options) -> (words,) bool, True where the word is given as units; add one
by adding it to `POLICIES`. All randomness is addressed by utterance and index (see `draws`), so an utterance's labels
do not depend on its neighbours, on order or on the number of workers.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from speechprep.errors import ConfigError
from speechprep.tokenizers.arrays.keyed_random import Draws
from speechprep.tokenizers.arrays.ragged import Ints

Labels = NDArray[np.bool_]
MAX_ROUNDS = 256  # of `poisson`: draws for one utterance before it is left as it is


@dataclass(frozen=True, slots=True)
class LengthRule:
    """A distribution of span lengths in words, as the table of its cumulative probabilities from `least` up."""

    least: int
    cumulative: tuple[float, ...]

    @classmethod
    def parse(cls, text: str) -> LengthRule:
        """`poisson:5` (Poisson of mean 5, plus 1), `fixed:3`, or `range:10-30` (uniform, both ends included).

        Raises:
            ConfigError: not one of these forms, or a span that could be empty.
        """
        name, _, value = text.partition(":")
        try:
            if name == "poisson":
                return cls.poisson(float(value), plus=1)
            if name == "fixed":
                return cls.uniform(int(value), int(value))
            if name == "range":
                low, _, high = value.partition("-")
                return cls.uniform(int(low), int(high))
        except ValueError as error:
            raise ConfigError(f"span length {text!r}: {error}") from None
        raise ConfigError(f"span length {text!r}; it must be poisson:MEAN, fixed:WORDS or range:LOW-HIGH")

    @classmethod
    def poisson(cls, mean: float, plus: int = 0) -> LengthRule:
        """Poisson of mean `mean`, plus `plus`; the tail beyond 2**-53 is cut off."""
        if not 0 <= mean <= 1000:
            raise ConfigError(f"span length: a Poisson mean must be within 0 and 1000, not {mean:g}")
        most = math.ceil(mean + 12 * math.sqrt(mean) + 20)
        log_mean = math.log(mean) if mean else -math.inf
        terms = [math.exp(k * log_mean - mean - math.lgamma(k + 1)) if k else math.exp(-mean) for k in range(most)]
        return cls(plus, tuple(np.cumsum(terms).tolist()))

    @classmethod
    def uniform(cls, low: int, high: int) -> LengthRule:
        """`low`..`high`, both included."""
        if not 1 <= low <= high:
            raise ConfigError(f"span length: needs 1 <= low <= high, not {low} and {high}")
        return cls(low, tuple((i + 1) / (high - low + 1) for i in range(high - low + 1)))

    def quantile(self, uniform: NDArray[np.float64]) -> Ints:
        """Lengths for uniform numbers, by inversion of the cumulative distribution."""
        return self.least + np.searchsorted(self.cumulative[:-1], uniform, side="right")


@dataclass(frozen=True, slots=True)
class PolicyOptions:
    """What the policies can be told.

    Attributes:
        text_words, speech_words: span lengths of `ast`.
        p_speech: chance that a word is spoken, for `word`.
        mean, share: mean span length and share of words to be spoken, for `poisson`.
    """

    text_words: LengthRule
    speech_words: LengthRule
    p_speech: float = 0.5
    mean: float = 10.0
    share: float = 0.3


def alternate(draws: Draws, word_offsets: Ints, text: LengthRule, speech: LengthRule) -> Labels:
    """Spans of the two modalities in turn, the first modality at random (AST of SUTLM, arXiv 2310.08715)."""
    counts = np.diff(word_offsets)
    total = int(word_offsets[-1])
    if not total:
        return np.zeros(0, bool)
    rows = np.arange(len(counts))
    speech_first = draws.uniform(0, rows, np.zeros(len(counts), np.int64)) < 0.5
    row = np.repeat(rows, counts)
    index = np.arange(total) - word_offsets[row]
    # Length of span number `index` of each utterance: as many as it has words, for no span is shorter than one.
    uniform = draws.uniform(1, row, index)
    lengths = text.quantile(uniform)
    if speech != text:
        lengths = np.where(speech_first[row] ^ (index % 2 == 1), speech.quantile(uniform), lengths)
    before = np.cumsum(lengths) - lengths
    begin = before - before[word_offsets[row]]
    marks = np.zeros(total, np.int64)
    marks[(word_offsets[row] + begin)[begin < counts[row]]] = 1
    span = np.cumsum(marks)
    span -= span[word_offsets[row]]
    spoken: Labels = speech_first[row] ^ (span % 2 == 1)
    return spoken


def ast(draws: Draws, word_offsets: Ints, options: PolicyOptions) -> Labels:
    """Alternating spans, of lengths Poisson + 1 unless told otherwise."""
    return alternate(draws, word_offsets, options.text_words, options.speech_words)


def spirit(draws: Draws, word_offsets: Ints, options: PolicyOptions) -> Labels:
    """Alternating spans of 10-30 words of text and 5-15 words of speech (SPIRIT-LM, arXiv 2402.05755)."""
    return alternate(draws, word_offsets, LengthRule.uniform(10, 30), LengthRule.uniform(5, 15))


def word(draws: Draws, word_offsets: Ints, options: PolicyOptions) -> Labels:
    """Each word by itself, spoken with probability `p_speech` (slamkit's "random")."""
    row = np.repeat(np.arange(len(word_offsets) - 1), np.diff(word_offsets))
    return draws.uniform(0, row, np.arange(len(row)) - word_offsets[row]) < options.p_speech


def poisson(draws: Draws, word_offsets: Ints, options: PolicyOptions) -> Labels:
    """Spans of Poisson length at free places until `share` of the words is spoken (slamkit's "poisson").

    As there, a start is drawn among the words that may still start a span, a span that would overlap one already
    chosen is drawn again, and neither the words of a span nor the one after it may start another. Unlike there, an
    utterance is left as it is after `MAX_ROUNDS` draws: a single free word before a chosen span would otherwise be
    drawn for a very long time.
    """
    counts = np.diff(word_offsets)
    lengths = LengthRule.poisson(options.mean)
    spoken = np.zeros(int(word_offsets[-1]), bool)
    free = np.ones(int(word_offsets[-1]), bool)
    wanted = np.ceil(counts * options.share).astype(np.int64)
    chosen = np.zeros(len(counts), np.int64)
    rows = np.flatnonzero(wanted > 0)
    for turn in range(MAX_ROUNDS):
        if not len(rows):
            break
        nth = np.concatenate([[0], np.cumsum(free)])
        first, last = word_offsets[:-1][rows], word_offsets[1:][rows]
        eligible = nth[last] - nth[first]
        pick = (draws.uniform(0, rows, np.full(len(rows), turn)) * eligible).astype(np.int64)
        start = np.searchsorted(nth, nth[first] + pick, side="right") - 1  # the word that is free number `pick`
        stop = np.minimum(start + lengths.quantile(draws.uniform(1, rows, np.full(len(rows), turn))), last)
        taken = np.concatenate([[0], np.cumsum(spoken)])
        fits = taken[stop] == taken[start]
        for row, a, b, end in zip(rows[fits], start[fits], stop[fits], last[fits], strict=True):
            spoken[a:b] = True
            chosen[row] += b - a
            free[a : min(b + 1, end)] = False
        left = np.concatenate([[0], np.cumsum(free)])
        rows = rows[(chosen[rows] < wanted[rows]) & (left[last] > left[first])]
    return spoken


POLICIES: dict[str, Callable[[Draws, Ints, PolicyOptions], Labels]] = {
    "ast": ast,
    "word": word,
    "poisson": poisson,
    "spirit": spirit,
}
