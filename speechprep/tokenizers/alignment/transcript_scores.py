"""Scores of one transcript: character error rate, repetition loops, weakest passage, share of aligned words.

Pure functions of texts and word scores. A score has the same meaning for five words and for two hours of speech:
quantities that grow with the length are measured in pieces, and the worst piece counts. `plausibility` compares the
word times with the audio.
"""

from __future__ import annotations

import zlib
from collections.abc import Hashable, Iterator, Sequence

import numpy as np

LOCAL_WORDS = 8  # words of a passage with a mean score
PIECE_WORDS = 120  # words of a piece in the search for loops: 30 s of quick speech, the window of Whisper
GRAM_WORDS = 3  # words of an n-gram


def edit_distance(reference: Sequence[Hashable], hypothesis: Sequence[Hashable]) -> int:
    """Edit distance: the fewest insertions, deletions and substitutions between two sequences, exact.

    A column of the table is two integers with one bit for each symbol of `reference` (Myers 1999, in the form of Hyyrö
    2003). Two texts of 100,000 characters take seconds, and the memory is proportional to the texts.
    """
    if not reference:
        return len(hypothesis)
    places: dict[Hashable, int] = {}
    for i, symbol in enumerate(reference):
        places[symbol] = places.get(symbol, 0) | 1 << i
    full = (1 << len(reference)) - 1
    last = 1 << (len(reference) - 1)
    up, down, distance = full, 0, len(reference)  # bits of the rows with a rise or a fall by one
    for symbol in hypothesis:
        same = places.get(symbol, 0) | down
        diagonal = (((same & up) + up) ^ up) | same
        right_up = down | (full & ~(diagonal | up))
        right_down = up & diagonal
        distance += bool(right_up & last) - bool(right_down & last)
        right_up = (right_up << 1) | 1
        up = ((right_down << 1) | ~(diagonal | right_up)) & full
        down = right_up & diagonal & full
    return distance


def character_error_rate(reference: str, hypothesis: str) -> float:
    """Character error rate: edit distance divided by the characters of the reference; 0 if both are empty.

    An empty reference counts as one character, so the rate is always finite.
    """
    if reference == hypothesis:
        return 0.0
    return edit_distance(reference, hypothesis) / max(len(reference), 1)


def zlib_ratio(text: str) -> float:
    """Bytes of a text divided by bytes of its zlib compression, as in Whisper."""
    data = text.encode()
    return len(data) / len(zlib.compress(data))


def compression_ratio(words: Sequence[str]) -> float | None:
    """Bytes of the text divided by bytes of its zlib compression, as in Whisper; None without words.

    Whisper computes it for at most 30 s of speech and treats a ratio above 2.4 as a loop. A longer text has a higher
    ratio even without a loop. The result is therefore the highest ratio of half-overlapping pieces of `PIECE_WORDS`
    words.
    """
    return max((zlib_ratio(" ".join(piece)) for piece in _pieces(words)), default=None)


def repeated_share(words: Sequence[str], n: int = GRAM_WORDS) -> float | None:
    """Share of repeated n-grams of words, from 0 to 1: the highest share of all pieces; None without words.

    An n-gram is repeated if it occurred earlier in the same piece of `PIECE_WORDS` words. A long repetition of one word
    has a share near 1, normal speech a low one. Case and outer punctuation are ignored.
    """
    plain = [word.lower().strip(".,;:!?\"'()-") for word in words]
    shares = []
    for piece in _pieces(plain):
        grams = [tuple(piece[i : i + n]) for i in range(len(piece) - n + 1)]
        shares.append(1 - len(set(grams)) / len(grams) if grams else 0.0)
    return max(shares, default=None)


def _pieces(words: Sequence[str]) -> Iterator[Sequence[str]]:
    """Half-overlapping pieces of `PIECE_WORDS` words; a shorter text is one piece."""
    for start in range(0, len(words), PIECE_WORDS // 2):
        yield words[start : start + PIECE_WORDS]
        if start + PIECE_WORDS >= len(words):
            return


def local_score(scores: Sequence[float | None], size: int = LOCAL_WORDS) -> float | None:
    """Lowest mean of `size` neighbouring word scores, or of all scores if there are fewer; None without scores.

    It shows passages with a difference between speech and text. In a long utterance, the mean of all scores hardly
    changes. Words without a score are ignored.
    """
    values = np.array([score for score in scores if score is not None], np.float64)
    if not len(values):
        return None
    size = min(size, len(values))
    total = np.concatenate(([0.0], np.cumsum(values)))
    return float(np.min(total[size:] - total[:-size]) / size)


def aligned_share(timings: Sequence[str]) -> float | None:
    """Share of words with a time from the audio or the corpus, not interpolated; None without words."""
    if not timings:
        return None
    return sum(timing != "interpolated" for timing in timings) / len(timings)
