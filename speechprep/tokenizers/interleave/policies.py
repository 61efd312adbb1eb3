"""Interleaving policies: the choice of spoken and written words of each utterance, for a whole batch at once.

A policy is a function (draws, word_offsets, options) -> (words,) bool, True for a word given as units. To add a policy,
add it to `POLICIES`. Random numbers are addressed by utterance and index (`arrays.keyed_random`). The labels of an
utterance are therefore independent of other utterances, their order and the number of workers.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from speechprep.errors import ConfigError
from speechprep.tokenizers.arrays.keyed_random import Draws
from speechprep.tokenizers.arrays.ragged import Ints

Labels = NDArray[np.bool_]
MAX_ROUNDS = 256  # largest number of draws of policy `poisson` for one utterance


@dataclass(frozen=True, slots=True)
class LengthRule:
    """Distribution of span lengths in words: cumulative probabilities of the lengths `least`, `least` + 1, ..."""

    least: int
    cumulative: tuple[float, ...]

    @classmethod
    def parse(cls, text: str) -> LengthRule:
        """`poisson:5` (Poisson with mean 5, plus 1), `fixed:3`, or `range:10-30` (uniform, ends included).

        Raises:
            ConfigError: a different form, or a span length below 1.
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
            raise ConfigError(
                f"span length {text!r}: {error}; use poisson:MEAN, fixed:WORDS or range:LOW-HIGH"
            ) from None
        raise ConfigError(f"span length {text!r} has no known form; use poisson:MEAN, fixed:WORDS or range:LOW-HIGH")

    @classmethod
    def poisson(cls, mean: float, plus: int = 0) -> LengthRule:
        """Poisson distribution with mean `mean`, plus `plus`. The tail of probability below 2**-53 is cut off."""
        if not 0 <= mean <= 1000:
            raise ConfigError(f"span length: Poisson mean {mean:g}; use a mean from 0 to 1000")
        most = math.ceil(mean + 12 * math.sqrt(mean) + 20)
        log_mean = math.log(mean) if mean else -math.inf
        terms = [math.exp(k * log_mean - mean - math.lgamma(k + 1)) if k else math.exp(-mean) for k in range(most)]
        return cls(plus, tuple(np.cumsum(terms).tolist()))

    @classmethod
    def uniform(cls, low: int, high: int) -> LengthRule:
        """Uniform distribution over `low`..`high`, both included."""
        if not 1 <= low <= high:
            raise ConfigError(f"span length: range {low} to {high}; use 1 <= low <= high")
        return cls(low, tuple((i + 1) / (high - low + 1) for i in range(high - low + 1)))

    def quantile(self, uniform: NDArray[np.float64]) -> Ints:
        """(n,) lengths for uniform numbers (n,), by inversion of the cumulative distribution."""
        return self.least + np.searchsorted(self.cumulative[:-1], uniform, side="right")


@dataclass(frozen=True, slots=True)
class PolicyOptions:
    """Options of the policies.

    Attributes:
        text_words, speech_words: span lengths of `ast`.
        p_speech: probability of a spoken word, for `word`.
        mean, share: mean length of a spoken span, and share of spoken words, for `poisson`.
    """

    text_words: LengthRule = field(default_factory=lambda: LengthRule.parse("poisson:5"))
    speech_words: LengthRule = field(default_factory=lambda: LengthRule.parse("poisson:5"))
    p_speech: float = 0.5
    mean: float = 10.0
    share: float = 0.3


def alternate(draws: Draws, word_offsets: Ints, text: LengthRule, speech: LengthRule) -> Labels:
    """Alternating spans of the two modalities, starting with a random one (AST of SUTLM, arXiv 2310.08715)."""
    counts = np.diff(word_offsets)
    total = int(word_offsets[-1])
    if not total:
        return np.zeros(0, bool)
    rows = np.arange(len(counts))
    speech_first = draws.uniform(0, rows, np.zeros(len(counts), np.int64)) < 0.5
    row = np.repeat(rows, counts)
    index = np.arange(total) - word_offsets[row]
    # Length of span number `index` of each utterance. One draw a word is enough: no span is shorter than one word.
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
    """Alternating spans with the lengths `text_words` and `speech_words`."""
    return alternate(draws, word_offsets, options.text_words, options.speech_words)


def spirit(draws: Draws, word_offsets: Ints, options: PolicyOptions) -> Labels:
    """Alternating spans of 10-30 words of text and 5-15 words of speech (SPIRIT-LM, arXiv 2402.05755)."""
    return alternate(draws, word_offsets, LengthRule.uniform(10, 30), LengthRule.uniform(5, 15))


def word(draws: Draws, word_offsets: Ints, options: PolicyOptions) -> Labels:
    """Independent words, each spoken with probability `p_speech` (policy "random" of slamkit)."""
    row = np.repeat(np.arange(len(word_offsets) - 1), np.diff(word_offsets))
    return draws.uniform(0, row, np.arange(len(row)) - word_offsets[row]) < options.p_speech


def poisson(draws: Draws, word_offsets: Ints, options: PolicyOptions) -> Labels:
    """Spans of Poisson length at random positions until `share` of the words is spoken (policy "poisson" of slamkit).

    As in slamkit, a start is drawn among the words still allowed to start a span. A span with an overlap is drawn
    again. The words of a span and the next word may not start another span. Unlike slamkit, drawing ends after
    `MAX_ROUNDS` rounds. Otherwise a single free word before a span could be drawn for a very long time.
    """
    counts = np.diff(word_offsets)
    lengths = LengthRule.poisson(options.mean)
    spoken = np.zeros(int(word_offsets[-1]), bool)
    free = np.ones(int(word_offsets[-1]), bool)
    target = np.ceil(counts * options.share).astype(np.int64)
    speech_count = np.zeros(len(counts), np.int64)
    rows = np.flatnonzero(target > 0)
    for turn in range(MAX_ROUNDS):
        if not len(rows):
            break
        nth = np.concatenate([[0], np.cumsum(free)])
        first, last = word_offsets[:-1][rows], word_offsets[1:][rows]
        eligible = nth[last] - nth[first]
        pick = (draws.uniform(0, rows, np.full(len(rows), turn)) * eligible).astype(np.int64)
        start = np.searchsorted(nth, nth[first] + pick, side="right") - 1  # free word number `pick`
        stop = np.minimum(start + lengths.quantile(draws.uniform(1, rows, np.full(len(rows), turn))), last)
        taken = np.concatenate([[0], np.cumsum(spoken)])
        fits = taken[stop] == taken[start]
        for row, a, b, end in zip(rows[fits], start[fits], stop[fits], last[fits], strict=True):
            spoken[a:b] = True
            speech_count[row] += b - a
            free[a : min(b + 1, end)] = False
        left = np.concatenate([[0], np.cumsum(free)])
        rows = rows[(speech_count[rows] < target[rows]) & (left[last] > left[first])]
    return spoken


POLICIES: dict[str, Callable[[Draws, Ints, PolicyOptions], Labels]] = {
    "ast": ast,
    "word": word,
    "poisson": poisson,
    "spirit": spirit,
}
