"""Scores of one transcript: character error rate, hallucination loops, the weakest passage, the share timed by sound.

Pure functions of texts and word scores. Each score means the same in a transcript of five words and of two hours:
what grows with the length by itself is measured in pieces, and the worst piece counts. What the audio has to say about
the word times is in `trust`.
"""

from __future__ import annotations

import zlib
from collections.abc import Hashable, Iterator, Sequence

import numpy as np

LOCAL_WORDS = 8  # of a passage whose mean score is looked at
PIECE_WORDS = 120  # of a piece for the loops: half a minute of quick speech, the length Whisper decodes at once
GRAM_WORDS = 3


def edit_distance(reference: Sequence[Hashable], hypothesis: Sequence[Hashable]) -> int:
    """The fewest insertions, deletions and substitutions that turn one sequence into the other, exact.

    A column of the table is two integers of as many bits as `reference` has symbols (Myers 1999, in the form of Hyyrö
    2003), so two texts of 100,000 characters take seconds, and the memory is that of the texts.
    """
    if not reference:
        return len(hypothesis)
    places: dict[Hashable, int] = {}
    for i, symbol in enumerate(reference):
        places[symbol] = places.get(symbol, 0) | 1 << i
    full = (1 << len(reference)) - 1
    last = 1 << (len(reference) - 1)
    up, down, distance = full, 0, len(reference)  # where the column rises or falls by one
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
    """Edit distance in characters divided by the characters of the reference; 0 where both are empty.

    An empty reference counts as one character, so that the rate of any hypothesis stays finite.
    """
    if reference == hypothesis:
        return 0.0
    return edit_distance(reference, hypothesis) / max(len(reference), 1)


def compression_ratio(words: Sequence[str]) -> float | None:
    """Bytes of the text over bytes of its zlib compression, as Whisper's `compression_ratio`; None for no words.

    Whisper takes it of at most 30 s of speech and calls more than 2.4 a loop; a longer text compresses better by
    itself, so here the highest ratio of its pieces of `PIECE_WORDS` words, each half over the one before, is taken.
    """
    ratios = []
    for piece in _pieces(words):
        data = " ".join(piece).encode()
        ratios.append(len(data) / len(zlib.compress(data)))
    return max(ratios, default=None)


def repeated_share(words: Sequence[str], n: int = GRAM_WORDS) -> float | None:
    """The share of n-grams of words that stood before in the same piece, 0 to 1; None for no words.

    The highest share of the pieces of `PIECE_WORDS` words. A word said k times in a row gives nearly 1, running speech
    little. Case and outer punctuation do not count.
    """
    plain = [word.lower().strip(".,;:!?\"'()-") for word in words]
    shares = []
    for piece in _pieces(plain):
        grams = [tuple(piece[i : i + n]) for i in range(len(piece) - n + 1)]
        shares.append(1 - len(set(grams)) / len(grams) if grams else 0.0)
    return max(shares, default=None)


def _pieces(words: Sequence[str]) -> Iterator[Sequence[str]]:
    """Half overlapping pieces; a text of no more than one piece is one."""
    for start in range(0, len(words), PIECE_WORDS // 2):
        yield words[start : start + PIECE_WORDS]
        if start + PIECE_WORDS >= len(words):
            return


def local_score(scores: Sequence[float | None], size: int = LOCAL_WORDS) -> float | None:
    """The lowest mean of `size` neighbouring scores (of all, where there are fewer); None where there is none.

    A passage that was not said, or was said and not written, shows here and hardly in the mean of a long utterance.
    Words without a score are passed over.
    """
    known = np.array([score for score in scores if score is not None], np.float64)
    if not len(known):
        return None
    size = min(size, len(known))
    total = np.concatenate(([0.0], np.cumsum(known)))
    return float(np.min(total[size:] - total[:-size]) / size)


def aligned_share(timings: Sequence[str]) -> float | None:
    """The share of words whose time was found in the audio or given by the corpus; None for no words."""
    if not timings:
        return None
    return sum(timing != "interpolated" for timing in timings) / len(timings)
