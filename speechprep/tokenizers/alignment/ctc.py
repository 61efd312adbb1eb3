"""Forced alignment by CTC (Graves et al. 2006): the best path of a token sequence through all frames.

The objective is that of "Connectionist Temporal Classification", section 4.1. Labels may repeat, blanks may stand
between labels and must stand between two equal labels, and every frame is used. Paths and scores equal those of
`torchaudio.functional.forced_align`, except for ties: there torchaudio can leave the best path, and this module does
not. WhisperX uses a different recurrence (`whisperx`).

Memory: the scores of one row, one stored row every `block` frames, and the back-pointers of one block. Back-pointers
are recomputed from the stored row during backtracking. A path moves by at most two states a frame, so a block needs at
most `2 * block` states for any length of text. Time is proportional to frames times tokens.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from speechprep.errors import BadInput
from speechprep.tokenizers.alignment.ctc_sweep import backtrack, sweep_loops, sweep_numpy
from speechprep.tokenizers.arrays.compiled import compiled, has_numba

BLOCK = 4096  # frames between two stored rows: 82 s at 50 Hz; back-pointers of a block take at most 32 MB

Scores = NDArray[np.float32]
Ids = NDArray[np.int32]
Indices = NDArray[np.uint32]


@dataclass(frozen=True, slots=True)
class CtcPath:
    """Alignment path of CTC. State 2k is the blank before token k, and state 2k + 1 is token k.

    Attributes:
        states: (frames,) int32 state of each frame.
        frame_scores: (frames,) float32 log-probability of the label of each frame.
        starts, ends: (tokens,) int32; token k has the frames [starts[k], ends[k]), without blanks.
        scores: (tokens,) float64 mean log-probability over the frames of each token.
    """

    states: Ids
    frame_scores: Scores
    starts: Ids
    ends: Ids
    scores: NDArray[np.float64]

    def labels(self, tokens: Sequence[int] | Ids, blank: int = 0) -> Ids:
        """(frames,) int32: the token of each frame or `blank`, as in the result of torchaudio's forced_align."""
        spoken = self.states % 2 == 1
        result = np.full(len(self.states), blank, np.int32)
        result[spoken] = np.asarray(tokens, np.int32)[self.states[spoken] // 2]
        return result


@dataclass(frozen=True, slots=True)
class EmittedToken:
    """A token of the greedy path: frames [start, end) and mean log-probability."""

    token: int
    start: int
    end: int
    score: float


def frames_needed(tokens: Sequence[int] | Ids) -> int:
    """The minimum number of frames for `tokens`: one for each, plus a blank between two equal neighbours."""
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
    """Forced alignment of `tokens` to the emissions of a CTC model: the path with the highest probability.

    Args:
        log_probs: (frames, vocabulary) float32 log-probabilities.
        tokens: (n,) ids, without `blank`.
        blank: id of the blank.
        block: frames between stored rows. It does not change the result.
        numba: use compiled loops; None: if numba is installed. It does not change the result.

    Raises:
        BadInput: `text_too_long`: fewer frames than `frames_needed(tokens)`. `align_failed`: no path has a
            probability above zero, or the emissions contain NaN.
        ValueError: a token is the blank or outside the vocabulary.
    """
    emissions = np.ascontiguousarray(log_probs, np.float32)
    ids = np.ascontiguousarray(tokens, np.int32)
    _check(emissions, ids, blank)
    fast = has_numba() if numba is None else numba
    states = _states(emissions, ids, blank, block, fast=fast)
    return _path(emissions, ids, blank, states)


def greedy_decode(labels: Ids, scores: Scores, blank: int = 0) -> list[EmittedToken]:
    """Greedy decoding of CTC emissions: the best label of each frame, with repeats merged and blanks removed.

    Args:
        labels: (frames,) most probable label of each frame.
        scores: (frames,) its log-probability.
        blank: id of the blank.
    """
    if not len(labels):
        return []
    edges = np.flatnonzero(np.diff(labels)) + 1
    starts = np.concatenate(([0], edges))
    ends = np.concatenate((edges, [len(labels)]))
    sums = np.add.reduceat(scores.astype(np.float64), starts)
    return [
        EmittedToken(int(labels[start]), int(start), int(end), float(total / (end - start)))
        for start, end, total in zip(starts, ends, sums, strict=True)
        if labels[start] != blank
    ]


def _check(emissions: Scores, ids: Ids, blank: int) -> None:
    frames, size = emissions.shape
    if len(ids) and (ids.min() < 0 or ids.max() >= size or (ids == blank).any()):
        raise ValueError(f"tokens {ids.min()} to {ids.max()}; use ids in [0, {size}) other than the blank {blank}")
    needed = frames_needed(ids)
    if needed > frames:
        raise BadInput(
            "text_too_long",
            f"the {len(ids)} characters of the transcript need at least {needed} frames, but the audio has {frames}; "
            "check that the transcript belongs to this recording",
        )
    if np.isnan(emissions).any():
        raise BadInput(
            "align_failed", "the emissions of the model contain NaN; check the audio for values that are not finite"
        )


def _states(emissions: Scores, tokens: Ids, blank: int, block: int, *, fast: bool) -> Ids:
    """(frames,) best state of each frame."""
    frames, n = len(emissions), len(tokens)
    states = np.zeros(frames, np.int32)
    if not n:
        return states
    ids = tokens.astype(np.uint32)
    sweep, trace = (compiled(sweep_loops), compiled(backtrack)) if fast else (sweep_numpy, backtrack)
    skip = np.zeros(n, np.float32)  # added to a transition without the blank between two tokens
    skip[0] = -np.inf
    skip[1:][ids[1:] == ids[:-1]] = -np.inf
    rows = [_first(emissions, ids, blank)]
    none = np.zeros((0, 0, 2), np.uint8)
    starts = list(range(0, frames - 1, block)) or [0]
    for start in starts[:-1]:
        row = sweep(emissions, ids, blank, skip, *rows[-1], start, start + block, frames, 0, n, none)
        top = max(float(row[0].max()), float(row[1].max()))
        if np.isfinite(top):  # keeps the precision over hours of audio
            row = (row[0] - np.float32(top), row[1] - np.float32(top))
        rows.append(row)
    state, stop = -1, frames - 1
    for start in reversed(starts):
        at = state // 2 if state >= 0 else n - 1  # the path ends in one of the last two states
        low, high = max(0, at - (stop - start)), min(at + 1, n)
        back = np.zeros((stop - start, high - low + 1, 2), np.uint8)
        blanks, labels = rows.pop()
        last = sweep(emissions, ids, blank, skip, blanks, labels, start, stop, frames, low, high, back)
        if state < 0:
            state = 2 * n if last[0][n] > last[1][n] else 2 * n - 1
            if last[state % 2][n] == -np.inf:
                raise BadInput(
                    "align_failed",
                    "no path of the transcript has a probability above zero; check that it belongs to this audio",
                )
        state = trace(states, back, state, start, stop, low)
        stop = start
    states[0] = state
    return states


def _first(emissions: Scores, ids: Indices, blank: int) -> tuple[Scores, Scores]:
    """Scores after the first frame: (n + 1,) of the blanks, and (n + 1,) of the tokens, shifted by one."""
    blanks = np.full(len(ids) + 1, -np.inf, np.float32)
    labels = np.full(len(ids) + 1, -np.inf, np.float32)
    blanks[0] = emissions[0, blank]
    labels[1] = emissions[0, ids[0]]
    return blanks, labels


def _path(emissions: Scores, ids: Ids, blank: int, states: Ids) -> CtcPath:
    spoken = np.flatnonzero(states % 2 == 1)
    frame_scores = emissions[:, blank].copy()
    frame_scores[spoken] = emissions[spoken, ids[states[spoken] // 2]]
    if not len(ids):
        empty = np.zeros(0, np.int32)
        return CtcPath(states, frame_scores, empty, empty, np.zeros(0))
    first = np.flatnonzero(np.diff(states[spoken], prepend=-1))
    starts = spoken[first].astype(np.int32)
    ends = spoken[np.concatenate((first[1:], [len(spoken)])) - 1].astype(np.int32) + np.int32(1)
    sums = np.add.reduceat(frame_scores[spoken].astype(np.float64), first)
    return CtcPath(states, frame_scores, starts, ends, sums / (ends - starts))
