"""A small network that gives each frame near a word border its probability of being the true border.

The score of a candidate is a network with one hidden layer on the spectrum around the candidate, the kind of the border
and the distance from the border as aligned. The probabilities are the softmax of the scores over the candidates. All
candidates share the weights, so some hundred labelled words are enough.

Training: cross-entropy with a target of exp(-|distance| / `SOFTNESS`), Adam with decoupled weight decay (Loshchilov and
Hutter, "Decoupled weight decay regularization", ICLR 2019) and a cosine schedule. The result depends on the borders,
their order and the seed. Its last bits depend on the BLAS library.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from speechprep.tokenizers.alignment.border_inputs import BANDS, F32, FACTS, MARGIN, REACH, STEP
from speechprep.tokenizers.arrays.keyed_random import generator

VERSION = 1  # raise it if the same weights give other times; `border_inputs` counts too
CANDIDATES = 2 * REACH + 1
# First and last frame of each mean of the spectrum, relative to the candidate: short near it, long further away.
CONTEXT = ((-20, -13), (-12, -7), (-6, -4), (-3, -2), (-1, -1), (0, 0), (1, 2), (3, 5), (6, 11), (12, 19))
HIDDEN = 40
SHAPES = (
    (len(CONTEXT) * BANDS, HIDDEN),
    (FACTS, HIDDEN),
    (3, HIDDEN),
    (HIDDEN,),
    (HIDDEN,),
    (CANDIDATES,),
    (FACTS, 3),
)  # of the weights: spectrum, facts, distance, bias, score, bias of each candidate, distance by facts
SPREADS = ((len(CONTEXT) * BANDS) ** -0.5, 0.2, 0.1, 0.0, 0.1 * HIDDEN**-0.5, 0.0, 0.02)  # of the first weights

BATCH = 64  # borders
RATE, WARM_UP, DECAY = 4e-3, 100, 2e-2
MOMENTS = (0.9, 0.99)
DROPOUT = 0.2  # fraction of hidden units
TILT = 0.05  # standard deviation of the random level of each band, as scaled
SOFTNESS = 0.006  # seconds

DISTANCE = np.arange(-REACH, REACH + 1)
_PLACE = np.stack([DISTANCE / 10, np.abs(DISTANCE) / 10, (DISTANCE / 10) ** 2], 1).astype(np.float32)

Weights = tuple[F32, ...]


def windows(strips: F32) -> F32:
    """(n, CANDIDATES, contexts * bands) means of the spectrum around each candidate.

    Args:
        strips: (n, 2 (REACH + MARGIN) + 1, BANDS).
    """
    sums = np.zeros((len(strips), strips.shape[1] + 1, BANDS), np.float32)
    np.cumsum(strips, axis=1, out=sums[:, 1:])
    means = np.empty((len(strips), CANDIDATES, len(CONTEXT), BANDS), np.float32)
    for number, (start, stop) in enumerate(CONTEXT):
        first, after = MARGIN + start, MARGIN + stop + 1
        np.subtract(sums[:, after : after + CANDIDATES], sums[:, first : first + CANDIDATES], out=means[:, :, number])
        means[:, :, number] *= np.float32(1 / (stop + 1 - start))
    return means.reshape(len(strips), CANDIDATES, -1)


def probabilities(weights: Weights, strips: F32, facts: F32) -> F32:
    """(n, CANDIDATES) probability of each candidate."""
    parts = [
        _forward(weights, windows(strips[at : at + BATCH]), facts[at : at + BATCH], None)[1]
        for at in range(0, len(strips), BATCH)
    ]
    return np.concatenate(parts) if parts else np.zeros((0, CANDIDATES), np.float32)


def _forward(weights: Weights, inputs: F32, facts: F32, kept: F32 | None) -> tuple[F32, F32]:
    """Hidden layer (n, CANDIDATES, HIDDEN) and probabilities; `kept` (n, HIDDEN): factors of dropout."""
    spectrum, by_facts, place, bias, score, prior, tilt = weights
    hidden = (inputs.reshape(-1, inputs.shape[-1]) @ spectrum).reshape(len(inputs), CANDIDATES, HIDDEN)
    hidden += (facts @ by_facts)[:, None]
    hidden += _PLACE @ place + bias
    np.maximum(hidden, 0, out=hidden)
    if kept is not None:
        hidden *= kept[:, None]
    logits = hidden @ score + prior + (facts @ tilt) @ _PLACE.T
    powers = np.exp(logits - logits.max(1, keepdims=True))
    return hidden, powers / powers.sum(1, keepdims=True)


def _gradients(weights: Weights, inputs: F32, facts: F32, target: F32, kept: F32) -> list[F32]:
    hidden, found = _forward(weights, inputs, facts, kept)
    error = (found - target) / np.float32(len(inputs))
    back = error[..., None] * (weights[4] * kept)[:, None]
    back *= hidden > 0
    over_candidates = back.sum(1)
    return [
        inputs.reshape(-1, inputs.shape[-1]).T @ back.reshape(-1, HIDDEN),
        facts.T @ over_candidates,
        _PLACE.T @ back.sum(0),
        over_candidates.sum(0),
        np.tensordot(hidden, error, ((0, 1), (0, 1))),
        error.sum(0),
        facts.T @ (error @ _PLACE),
    ]


def targets(moves: NDArray[np.float64]) -> F32:
    """(n, CANDIDATES) target of each candidate; `moves` (n,): seconds from the grid point to the true border."""
    reach = REACH * STEP
    near = np.exp(-np.abs(DISTANCE * STEP - np.clip(moves, -reach, reach)[:, None]) / SOFTNESS)
    return np.asarray(near / near.sum(1, keepdims=True), np.float32)


def trained(
    strips: Sequence[F32], facts: Sequence[F32], moves: NDArray[np.float64], steps: int, seed: int = 0, number: int = 0
) -> Weights:
    """Weights after training.

    Args:
        strips, facts: of at least one border.
        moves: (n,) seconds from the grid point of each border to the true border.
        steps: number of batches.
        seed, number: of the first weights, the order and the dropout; networks of one refiner differ in `number`.
    """
    random = generator(seed, "boundary refiner", str(number))
    shaped = zip(SHAPES, SPREADS, strict=True)
    weights = tuple(random.normal(0, spread, shape).astype(np.float32) for shape, spread in shaped)
    means, squares = ([np.zeros_like(array) for array in weights] for _ in range(2))
    aims = targets(moves)
    order = np.zeros(0, np.int64)
    for step in range(steps):
        while len(order) < BATCH:
            order = np.concatenate((order, random.permutation(len(strips))))
        rows, order = order[:BATCH], order[BATCH:]
        kept = ((random.random((BATCH, HIDDEN)) >= DROPOUT) / (1 - DROPOUT)).astype(np.float32)
        levels = random.normal(0, TILT, (BATCH, 1, BANDS)).astype(np.float32)
        inputs = windows(np.stack([strips[row] for row in rows]) + levels)
        found = _gradients(weights, inputs, np.stack([facts[row] for row in rows]), aims[rows], kept)
        rate = RATE * min(1.0, (step + 1) / WARM_UP) * (0.5 + 0.5 * np.cos(np.pi * step / steps))
        for array, gradient, mean, square in zip(weights, found, means, squares, strict=True):
            mean += (1 - MOMENTS[0]) * (gradient - mean)
            square += (1 - MOMENTS[1]) * (gradient * gradient - square)
            unbiased = [part / (1 - beta ** (step + 1)) for part, beta in zip((mean, square), MOMENTS, strict=True)]
            array -= np.float32(rate) * (unbiased[0] / (np.sqrt(unbiased[1]) + np.float32(1e-8)))
            if array.ndim == 2:
                array -= np.float32(rate * DECAY) * array
    return weights


def packed(weights: Weights) -> F32:
    """All weights in one vector."""
    return np.concatenate([array.ravel() for array in weights])


SIZE = sum(int(np.prod(shape)) for shape in SHAPES)


def unpacked(values: F32) -> Weights:
    """Weights from a vector (SIZE,)."""
    parts = np.split(values, np.cumsum([int(np.prod(shape)) for shape in SHAPES])[:-1])
    return tuple(part.reshape(shape) for part, shape in zip(parts, SHAPES, strict=True))
