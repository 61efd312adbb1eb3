"""Recursion and backtracking of CTC forced alignment over a block of frames, as compiled loops and in NumPy."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Scores = NDArray[np.float32]
Ids = NDArray[np.int32]
Indices = NDArray[np.uint32]


def sweep_loops(emissions, ids, blank, skip, blanks, labels, start, stop, frames, low, high, back):  # type: ignore[no-untyped-def]
    """Scores after frame `stop` from the scores after frame `start`, for tokens [low, high) and blanks [low, high].

    `blanks[k]` is the score of blank k, and `labels[k + 1]` the score of token k. If `back` is not empty, it receives
    the transitions:

        back[t, k - low, 0]  of blank k: 0 from the same blank, 1 from token k - 1
        back[t, k - low, 1]  of token k: 0 from the same token, 1 from blank k, 2 from token k - 1

    Tokens not yet reachable, and tokens without a path to the end, are skipped.
    """
    n = len(ids)
    with_steps = back.shape[0] > 0
    old_b, old_l = blanks.copy(), labels.copy()
    new_b, new_l = blanks.copy(), labels.copy()
    for t in range(start + 1, stop + 1):
        first = max(low, n - (frames - t))
        last = min(high, t + 1)
        at_blank = emissions[t, blank]
        row = emissions[t]
        if with_steps:
            for k in range(first, last):
                stay, step = old_b[k], old_l[k]
                way = step > stay
                new_b[k] = (step if way else stay) + at_blank
                back[t - start - 1, k - low, 0] = way
                best, code = old_l[k + 1], 0
                if stay > best:
                    best, code = stay, 1
                jump = step + skip[k]
                if jump > best:
                    best, code = jump, 2
                new_l[k + 1] = best + row[ids[k]]
                back[t - start - 1, k - low, 1] = code
        else:
            count = max(last - first, 0)  # the compiler vectorises only loops over views that start at 0
            stays, steps, token_scores = old_b[first:last], old_l[first:last], old_l[first + 1 : last + 1]
            to_b, to_l, skips, columns = (
                new_b[first:last],
                new_l[first + 1 : last + 1],
                skip[first:last],
                ids[first:last],
            )
            for i in range(count):
                stay, step, token_score = stays[i], steps[i], token_scores[i]
                to_b[i] = (step if step > stay else stay) + at_blank
                best = stay if stay > token_score else token_score
                jump = step + skips[i]
                to_l[i] = (jump if jump > best else best) + row[columns[i]]
        if last >= first:
            stay, step = old_b[last], old_l[last]
            way = step > stay
            new_b[last] = (step if way else stay) + at_blank
            if with_steps:
                back[t - start - 1, last - low, 0] = way
        old_b, new_b = new_b, old_b
        old_l, new_l = new_l, old_l
    return old_b, old_l


def sweep_numpy(
    emissions: Scores,
    ids: Indices,
    blank: int,
    skip: Scores,
    blanks: Scores,
    labels: Scores,
    start: int,
    stop: int,
    frames: int,
    low: int,
    high: int,
    back: NDArray[np.uint8],
) -> tuple[Scores, Scores]:
    """NumPy twin of `sweep_loops`, one frame at a time."""
    n = len(ids)
    old_b, old_l = blanks.copy(), labels.copy()
    new_b, new_l = blanks.copy(), labels.copy()
    for t in range(start + 1, stop + 1):
        first, last = max(low, n - (frames - t)), min(high, t + 1)
        if last < first:
            continue
        stay, step, token_score = old_b[first : last + 1], old_l[first : last + 1], old_l[first + 1 : last + 1]
        new_b[first : last + 1] = np.maximum(stay, step) + emissions[t, blank]
        best = np.maximum(token_score, stay[:-1])
        jump = step[:-1] + skip[first:last]
        new_l[first + 1 : last + 1] = np.maximum(best, jump) + emissions[t, ids[first:last]]
        if len(back):
            row = back[t - start - 1, first - low : last - low + 1]
            row[:, 0] = step > stay
            row[:-1, 1] = np.where(jump > best, 2, stay[:-1] > token_score)
        old_b, new_b = new_b, old_b
        old_l, new_l = new_l, old_l
    return old_b, old_l


def backtrack(states: Ids, back: NDArray[np.uint8], state: int, start: int, stop: int, low: int) -> int:
    """Fill in the states of the frames (start, stop]; returns the state of frame `start`."""
    for t in range(stop, start, -1):
        states[t] = state
        state -= int(back[t - start - 1, state // 2 - low, state % 2])
    return state
