"""Trellis rows and backtracking of WhisperX over a block of frames, as compiled loops and in NumPy."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Scores = NDArray[np.float32]


def sweep_loops(emissions, ids, blank, edge, row, start, stop, low, high, last, steps):  # type: ignore[no-untyped-def]
    """The trellis row after `stop` frames from the row after `start` frames, for tokens [low, high).

    `row[j + 1]` belongs to token j. If `last` is not empty, it receives the last column. If `steps` is not empty,
    steps[t, j - low] is set to 1 if token j was entered at frame start + t.
    """
    old, new = row.copy(), row.copy()
    with_steps = steps.shape[0] > 0
    keep = last.shape[0] > 0
    for t in range(start, stop):
        top = min(high, t + 1)
        at_blank = emissions[t, blank]
        emission = emissions[t]
        old[0] = edge[t]
        count = max(top - low, 0)  # the compiler vectorises only loops over views that start at 0
        token_scores, previous_scores, to, columns = (
            old[low + 1 : top + 1],
            old[low:top],
            new[low + 1 : top + 1],
            ids[low:top],
        )
        if with_steps:
            out = steps[t - start]
            for i in range(count):
                stayed = token_scores[i] + at_blank
                changed = previous_scores[i] + emission[columns[i]]
                out[i] = changed > stayed
                to[i] = changed if changed > stayed else stayed
        else:
            for i in range(count):
                stayed = token_scores[i] + at_blank
                changed = previous_scores[i] + emission[columns[i]]
                to[i] = changed if changed > stayed else stayed
        old, new = new, old
        if keep:
            last[t + 1] = old[-1]
    return old


def sweep_numpy(
    emissions: Scores,
    ids: NDArray[np.uint32],
    blank: int,
    edge: Scores,
    row: Scores,
    start: int,
    stop: int,
    low: int,
    high: int,
    last: Scores,
    steps: NDArray[np.uint8],
) -> Scores:
    """NumPy twin of `sweep_loops`, one frame at a time."""
    old, new = row.copy(), row.copy()
    for t in range(start, stop):
        top = min(high, t + 1)
        old[0] = edge[t]
        if top > low:
            stayed = old[low + 1 : top + 1] + emissions[t, blank]
            changed = old[low:top] + emissions[t, ids[low:top]]
            np.maximum(stayed, changed, out=new[low + 1 : top + 1])
            if len(steps):
                np.greater(changed, stayed, out=steps[t - start, : top - low], casting="unsafe")
        old, new = new, old
        if len(last):
            last[t + 1] = old[-1]
    return old


def backtrack(steps, start, stop, low, at, starts):  # type: ignore[no-untyped-def]
    """Follow the steps back from token `at - 1` at frame `stop - 1`; returns the next token, 0 after the first one."""
    for t in range(stop - 1, start - 1, -1):
        if steps[t - start, at - 1 - low]:
            at -= 1
            starts[at] = t
            if at == 0:
                break
    return at
