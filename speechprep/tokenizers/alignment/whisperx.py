"""Forced alignment of WhisperX: equal words, times and scores from the same emissions, without its full table.

It reproduces `whisperx.align` of version 3.8 (m-bain/whisperX, alignment.py): the trellis of an old torchaudio
tutorial, its backtracking, and the mapping from characters to words. It differs from CTC (`ctc`) in three points. A
token is extended by blanks only, a path may end before the last frame, and a character lasts until the start of the
next one. The two are not interchangeable.

Only one row of the trellis is in memory, plus one stored row every `block` frames. Backtracking recomputes the steps of
a block from its stored row. The path moves by at most one token a frame.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from speechprep.tokenizers.alignment.whisperx_sweep import backtrack, sweep_loops, sweep_numpy
from speechprep.tokenizers.arrays.compiled import compiled, has_numba

BLOCK = 4096  # frames between two stored rows

Scores = NDArray[np.float32]
Ids = NDArray[np.int32]


@dataclass(frozen=True, slots=True)
class TimedWord:
    """A word of a segment with its times in seconds. None if WhisperX has no time or no score for it."""

    text: str
    start: float | None
    end: float | None
    score: float | None


@dataclass(frozen=True, slots=True)
class TokenTimes:
    """Frames [starts[k], ends[k]) of token k (tokens,), and its mean probability along the path (tokens,)."""

    starts: Ids
    ends: Ids
    scores: NDArray[np.float64]


def token_times(
    log_probs: Scores,
    tokens: Sequence[int] | Ids,
    blank: int = 0,
    *,
    block: int = BLOCK,
    numba: bool | None = None,
) -> TokenTimes | None:
    """`get_trellis`, `backtrack` and `merge_repeats` of WhisperX; None if its backtracking fails.

    Args:
        log_probs: (frames, vocabulary) float32 log-probabilities, finite.
        tokens: (n,) ids, n >= 1.
        blank: id of the blank.
        block: frames between stored rows. It does not change the result.
        numba: use compiled loops; None: if numba is installed. It does not change the result.
    """
    emissions = np.ascontiguousarray(log_probs, np.float32)
    ids = np.ascontiguousarray(tokens, np.uint32)
    fast = has_numba() if numba is None else numba
    sweep: Callable[..., Any] = compiled(sweep_loops) if fast else sweep_numpy
    trace: Callable[..., Any] = compiled(backtrack) if fast else backtrack
    frames, n = len(emissions), len(ids)
    edge = np.zeros(frames + 1, np.float32)  # the column before the first token
    edge[1:] = np.cumsum(emissions[:, blank], dtype=np.float64)
    edge[-n:] = np.inf
    row = np.full(n + 1, -np.inf, np.float32)
    last = np.full(frames + 1, -np.inf, np.float32)
    rows, none = [], np.zeros((0, 0), np.uint8)
    for start in range(0, frames, block):
        row[0] = edge[start]
        rows.append(row)
        row = sweep(emissions, ids, blank, edge, row, start, min(start + block, frames), 0, n, last, none)
    end = int(np.argmax(last))
    starts = np.zeros(n, np.int32)
    at, stop = n, end
    for start in range((end - 1) // block * block, -1, -block):
        low = max(0, at - (stop - start))
        steps = np.zeros((stop - start, at - low), np.uint8)
        sweep(emissions, ids, blank, edge, rows[start // block], start, stop, low, at, last[:0], steps)
        at = trace(steps, start, stop, low, at, starts)
        if at == 0:
            return _scored(emissions, ids, blank, starts, end)
        stop = start
    return None


def _scored(emissions: Scores, ids: NDArray[np.uint32], blank: int, starts: Ids, end: int) -> TokenTimes:
    """Scores: the probability of a token at its first frame, and of the blank until the next token."""
    ends = np.append(starts[1:], np.int32(end))
    along = emissions[starts[0] : end, blank].copy()
    along[starts - starts[0]] = emissions[starts, ids]
    probabilities = np.exp(along.astype(np.float64)).astype(np.float32)
    sums = np.bincount(np.repeat(np.arange(len(ids)), ends - starts), weights=probabilities)
    return TokenTimes(starts, ends, sums / (ends - starts))


def align_segment(
    log_probs: Scores,
    text: str,
    dictionary: Mapping[str, int],
    start: float,
    end: float,
    *,
    spaces: bool = True,
    sentences: Sequence[tuple[int, int]] | None = None,
    numba: bool | None = None,
) -> list[TimedWord] | None:
    """Word alignment of one segment: the `word_segments` of `whisperx.align`.

    Args:
        log_probs: (frames, vocabulary) float32 log-probabilities of the audio between `start` and `end`.
        text: text of the segment with single spaces between words.
        dictionary: lower-case character -> id. The id of `<pad>` or `[pad]` is the blank, otherwise 0.
        start, end: times of the segment, seconds.
        spaces: False for Japanese and Chinese: each character is a word.
        sentences: character spans [first, last] from the sentence splitter of WhisperX; None: one sentence. They have
            an effect only on words without a time and on sentences without a space between them.
        numba: see `token_times`.

    Returns:
        The words; None if there is nothing to align or backtracking fails. WhisperX then returns no words.
    """
    clean, places = _clean(text, dictionary, spaces=spaces)
    if not clean:
        return None
    blank = 0
    for char, code in dictionary.items():
        if char in ("[pad]", "<pad>"):
            blank = code
    emissions, ids = _with_wildcard(log_probs, clean, dictionary, blank)
    path = token_times(emissions, ids, blank, numba=numba)
    if path is None:
        return None
    ratio = (end - start) / len(emissions)
    times: list[tuple[float, float, float] | None] = [None] * len(text)
    columns = zip(places, path.starts.tolist(), path.ends.tolist(), path.scores.tolist(), strict=False)
    for place, first, last, score in columns:
        times[place] = (round(first * ratio + start, 3), round(last * ratio + start, 3), round(score, 3))
    words: list[TimedWord] = []
    numbers = _word_numbers(text, spaces=spaces)
    for first, last in sentences or [(0, len(text))]:
        words += _filled(_words(text, numbers, times, first, min(last + 1, len(text))))
    return words


def _clean(text: str, dictionary: Mapping[str, int], *, spaces: bool) -> tuple[str, list[int]]:
    """The characters to align, and the position of each in the text."""
    first = len(text) - len(text.lstrip())
    last = len(text.rstrip())
    chars, places = [], []
    for place in range(first, last):
        char = text[place].lower()
        if spaces and char == " ":
            char = "|"
        if char in dictionary or char not in (" ", "|"):
            chars.append(char)
            places.append(place)
    return "".join(chars), places


def _with_wildcard(log_probs: Scores, clean: str, dictionary: Mapping[str, int], blank: int) -> tuple[Scores, Ids]:
    """Emissions and ids. Characters outside the dictionary share a column: the best score except the blank."""
    size = log_probs.shape[1]
    ids = np.array([dictionary.get(char, size) for char in clean], np.int32)
    if (ids == size).any():
        wildcard = np.delete(log_probs, blank, axis=1).max(axis=1, keepdims=True)
        log_probs = np.concatenate((log_probs, wildcard), axis=1)
    return log_probs, ids


def _word_numbers(text: str, *, spaces: bool) -> list[int]:
    """Word number of each character; a space belongs to the next word."""
    if not spaces:
        return list(range(len(text)))
    numbers, number = [], 0
    for place in range(len(text)):
        numbers.append(number)
        number += text[place + 1 : place + 2] == " "
    return numbers


def _words(
    text: str, numbers: list[int], times: list[tuple[float, float, float] | None], first: int, last: int
) -> list[TimedWord]:
    """The words of text[first:last] with times and scores."""
    words = []
    place = first
    while place < last:
        begin, number = place, numbers[place]
        while place < last and numbers[place] == number:
            place += 1
        word = text[begin:place].strip()
        if not word:
            continue
        chars = [i for i in range(begin, place) if text[i] != " "]
        timed = [time for i in chars if (time := times[i]) is not None]
        if timed:
            scores = [0.0 if times[i] is None else times[i][2] for i in chars]  # type: ignore[index]
            mean = float(np.add.reduce(scores) if len(scores) > 7 else sum(scores)) / len(timed)
            score = round(mean * 1000) / 1000  # the rounding of numpy.round
            words.append(TimedWord(word, min(t[0] for t in timed), max(t[1] for t in timed), score))
        else:
            words.append(TimedWord(word, None, None, None))
    return words


def _filled(words: list[TimedWord]) -> list[TimedWord]:
    """Words with missing times filled in from the nearest word with a time, the earlier one of two equally near."""
    timed = [i for i, word in enumerate(words) if word.start is not None]
    if not timed or len(timed) == len(words):
        return words
    nearest = [min(timed, key=lambda k: (abs(k - i), k)) for i in range(len(words))]
    return [
        word if word.start is not None else TimedWord(word.text, words[k].start, words[k].end, None)
        for word, k in zip(words, nearest, strict=True)
    ]
