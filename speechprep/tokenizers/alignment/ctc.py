"""Exact CTC forced alignment: the best path through all frames that says a token sequence.

The objective is that of CTC (Graves et al. 2006, "Connectionist Temporal Classification", section 4.1): labels may
repeat, blanks may stand between them and must stand between two equal ones, every frame is used. Paths and scores are
those of `torchaudio.functional.forced_align`, except where two ways are exactly as good: there torchaudio can leave
the best path, this does not. It is not what WhisperX does: that recurrence is in `trellis`.

Memory: scores of one row, one row kept every `block` frames, and back-pointers for one block at a time, which are made
again from the kept row when the path is traced. A path moves by at most two states a frame, so a block needs no more
than `2 * block` states, whatever the length of the text. Time is in proportion to frames times tokens.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from speechprep.errors import BadInput
from speechprep.tokenizers.arrays.compiled import compiled, has_numba

BLOCK = 4096  # frames between two kept rows: 82 s at 50 Hz; back-pointers of a block are at most 32 MB

Scores = NDArray[np.float32]
Ids = NDArray[np.int32]
Indices = NDArray[np.uint32]


@dataclass(frozen=True, slots=True)
class CtcPath:
    """A path. State 2k is the blank before token k, state 2k + 1 is token k.

    Attributes:
        states: (frames,) int32.
        frame_scores: (frames,) float32, log-probability of the label of each frame.
        starts, ends: (tokens,) int32; token k is said in frames [start, end), blanks not included.
        scores: (tokens,) float64, mean log-probability over these frames.
    """

    states: Ids
    frame_scores: Scores
    starts: Ids
    ends: Ids
    scores: NDArray[np.float64]

    def labels(self, tokens: Sequence[int] | Ids, blank: int = 0) -> Ids:
        """(frames,) the token of each frame or `blank`, as torchaudio's forced_align gives them."""
        said = self.states % 2 == 1
        result = np.full(len(self.states), blank, np.int32)
        result[said] = np.asarray(tokens, np.int32)[self.states[said] // 2]
        return result


@dataclass(frozen=True, slots=True)
class Emitted:
    """A token of the greedy path: frames [start, end), mean log-probability."""

    token: int
    start: int
    end: int
    score: float


def frames_needed(tokens: Sequence[int] | Ids) -> int:
    """The fewest frames that can say `tokens`: one each, and a blank between two equal neighbours."""
    ids = np.asarray(tokens, np.int32)
    return len(ids) + int(np.count_nonzero(ids[1:] == ids[:-1]))


def ctc_align(
    log_probs: Scores,
    tokens: Sequence[int] | Ids,
    blank: int = 0,
    *,
    block: int = BLOCK,
    numba: bool | None = None,
) -> CtcPath:
    """The best path of a CTC model that says `tokens`.

    Args:
        log_probs: (frames, vocabulary) float32.
        tokens: (n,) ids, none of them `blank`.
        block: frames between kept rows.
        numba: whether to run in machine code; by default where numba is installed. The result is the same.

    Raises:
        BadInput: `text_too_long`: fewer frames than `frames_needed(tokens)`; `align_failed`: no path has a
            probability above zero, or the model gave NaN.
    """
    emissions = np.ascontiguousarray(log_probs, np.float32)
    ids = np.ascontiguousarray(tokens, np.int32)
    _check(emissions, ids, blank)
    fast = has_numba() if numba is None else numba
    states = _states(emissions, ids, blank, block, fast=fast)
    return _path(emissions, ids, blank, states)


def greedy(labels: Ids, scores: Scores, blank: int = 0) -> list[Emitted]:
    """What a CTC model says by itself: the best label of each frame, repeats merged, blanks dropped.

    Args:
        labels: (frames,) the most probable label. scores: (frames,) its log-probability.
    """
    if not len(labels):
        return []
    edges = np.flatnonzero(np.diff(labels)) + 1
    starts = np.concatenate(([0], edges))
    ends = np.concatenate((edges, [len(labels)]))
    sums = np.add.reduceat(scores.astype(np.float64), starts)
    return [
        Emitted(int(labels[start]), int(start), int(end), float(total / (end - start)))
        for start, end, total in zip(starts, ends, sums, strict=True)
        if labels[start] != blank
    ]


def _check(emissions: Scores, ids: Ids, blank: int) -> None:
    frames, size = emissions.shape
    if len(ids) and (ids.min() < 0 or ids.max() >= size or (ids == blank).any()):
        raise ValueError(f"tokens must be in [0, {size}) and not the blank {blank}, got {ids.min()} to {ids.max()}")
    needed = frames_needed(ids)
    if needed > frames:
        raise BadInput(
            "text_too_long",
            f"the {len(ids)} characters of the transcript take at least {needed} frames, the audio has {frames}: "
            "does it belong to this recording?",
        )
    if np.isnan(emissions).any():
        raise BadInput("align_failed", "the model gives NaN for this audio: is the audio finite?")


def _states(emissions: Scores, tokens: Ids, blank: int, block: int, *, fast: bool) -> Ids:
    """The best state of each frame."""
    frames, n = len(emissions), len(tokens)
    states = np.zeros(frames, np.int32)
    if not n:
        return states
    ids = tokens.astype(np.uint32)
    sweep, trace = (compiled(_sweep), compiled(_trace)) if fast else (_sweep_numpy, _trace)
    skip = np.zeros(n, np.float32)  # added to a way that leaves out the blank between two tokens
    skip[0] = -np.inf
    skip[1:][ids[1:] == ids[:-1]] = -np.inf
    rows = [_first(emissions, ids, blank)]
    none = np.zeros((0, 0, 2), np.uint8)
    starts = list(range(0, frames - 1, block)) or [0]
    for start in starts[:-1]:
        row = sweep(emissions, ids, blank, skip, *rows[-1], start, start + block, frames, 0, n, none)
        top = max(float(row[0].max()), float(row[1].max()))
        if np.isfinite(top):  # so that hours of audio cost no precision
            row = (row[0] - np.float32(top), row[1] - np.float32(top))
        rows.append(row)
    state, stop = -1, frames - 1
    for start in reversed(starts):
        at = state // 2 if state >= 0 else n - 1  # the end is one of the last two states
        low, high = max(0, at - (stop - start)), min(at + 1, n)
        back = np.zeros((stop - start, high - low + 1, 2), np.uint8)
        blanks, labels = rows.pop()
        last = sweep(emissions, ids, blank, skip, blanks, labels, start, stop, frames, low, high, back)
        if state < 0:
            state = 2 * n if last[0][n] > last[1][n] else 2 * n - 1
            if last[state % 2][n] == -np.inf:
                raise BadInput("align_failed", "the model gives no way to say the transcript in this audio")
        state = trace(states, back, state, start, stop, low)
        stop = start
    states[0] = state
    return states


def _first(emissions: Scores, ids: Indices, blank: int) -> tuple[Scores, Scores]:
    """Scores after the first frame: (n + 1,) of the blanks, and of the tokens with nothing before the first."""
    blanks = np.full(len(ids) + 1, -np.inf, np.float32)
    labels = np.full(len(ids) + 1, -np.inf, np.float32)
    blanks[0] = emissions[0, blank]
    labels[1] = emissions[0, ids[0]]
    return blanks, labels


def _sweep(emissions, ids, blank, skip, blanks, labels, start, stop, frames, low, high, back):  # type: ignore[no-untyped-def]
    """Scores after frame `stop` from those after frame `start`, for tokens [low, high) and blanks [low, high].

    `blanks[k]` is the score of blank k, `labels[k + 1]` of token k. Where `back` is not empty, the ways taken go there:
    back[t, k - low] = (of blank k: 0 stayed, 1 from token k - 1; of token k: 0 stayed, 1 from blank k, 2 from token
    k - 1). Tokens that cannot be reached yet, and those from which the end cannot be, are left out.
    """
    n = len(ids)
    trace = back.shape[0] > 0
    old_b, old_l = blanks.copy(), labels.copy()
    new_b, new_l = blanks.copy(), labels.copy()
    for t in range(start + 1, stop + 1):
        first = max(low, n - (frames - t))
        last = min(high, t + 1)
        at_blank = emissions[t, blank]
        row = emissions[t]
        if trace:
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
            count = max(last - first, 0)  # views from zero: the compiler makes vector code of no other
            stays, steps, owns = old_b[first:last], old_l[first:last], old_l[first + 1 : last + 1]
            to_b, to_l, skips, which = new_b[first:last], new_l[first + 1 : last + 1], skip[first:last], ids[first:last]
            for i in range(count):
                stay, step, own = stays[i], steps[i], owns[i]
                to_b[i] = (step if step > stay else stay) + at_blank
                best = stay if stay > own else own
                jump = step + skips[i]
                to_l[i] = (jump if jump > best else best) + row[which[i]]
        if last >= first:
            stay, step = old_b[last], old_l[last]
            way = step > stay
            new_b[last] = (step if way else stay) + at_blank
            if trace:
                back[t - start - 1, last - low, 0] = way
        old_b, new_b = new_b, old_b
        old_l, new_l = new_l, old_l
    return old_b, old_l


def _sweep_numpy(
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
    """`_sweep` by rows."""
    n = len(ids)
    old_b, old_l = blanks.copy(), labels.copy()
    new_b, new_l = blanks.copy(), labels.copy()
    for t in range(start + 1, stop + 1):
        first, last = max(low, n - (frames - t)), min(high, t + 1)
        if last < first:
            continue
        stay, step, own = old_b[first : last + 1], old_l[first : last + 1], old_l[first + 1 : last + 1]
        new_b[first : last + 1] = np.maximum(stay, step) + emissions[t, blank]
        best = np.maximum(own, stay[:-1])
        jump = step[:-1] + skip[first:last]
        new_l[first + 1 : last + 1] = np.maximum(best, jump) + emissions[t, ids[first:last]]
        if len(back):
            row = back[t - start - 1, first - low : last - low + 1]
            row[:, 0] = step > stay
            row[:-1, 1] = np.where(jump > best, 2, stay[:-1] > own)
        old_b, new_b = new_b, old_b
        old_l, new_l = new_l, old_l
    return old_b, old_l


def _trace(states: Ids, back: NDArray[np.uint8], state: int, start: int, stop: int, low: int) -> int:
    """Fill in the states of frames (start, stop]; the state of frame `start`."""
    for t in range(stop, start, -1):
        states[t] = state
        state -= int(back[t - start - 1, state // 2 - low, state % 2])
    return state


def _path(emissions: Scores, ids: Ids, blank: int, states: Ids) -> CtcPath:
    said = np.flatnonzero(states % 2 == 1)
    frame_scores = emissions[:, blank].copy()
    frame_scores[said] = emissions[said, ids[states[said] // 2]]
    if not len(ids):
        nothing = np.zeros(0, np.int32)
        return CtcPath(states, frame_scores, nothing, nothing, np.zeros(0))
    first = np.flatnonzero(np.diff(states[said], prepend=-1))
    starts = said[first].astype(np.int32)
    ends = said[np.concatenate((first[1:], [len(said)])) - 1].astype(np.int32) + np.int32(1)
    sums = np.add.reduceat(frame_scores[said].astype(np.float64), first)
    return CtcPath(states, frame_scores, starts, ends, sums / (ends - starts))
