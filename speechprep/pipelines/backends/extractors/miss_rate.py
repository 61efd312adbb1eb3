"""How many units change with the batch and with the precision: what `speechprep doctor units` prints.

The miss rate of batches of n is the share of frames whose unit is another one than when the utterance is run alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from speechprep.artifacts.codebook import Codebook
from speechprep.pipelines.backends.extractors.encoder import fast_dtypes
from speechprep.registry import make
from speechprep.tokenizers.arrays.keyed_random import fixed_generator
from speechprep.tokenizers.kmeans.nearest import Centroids

F32 = NDArray[np.float32]
Units = NDArray[np.unsignedinteger]
WHOLE_BATCH = 1e6  # seconds that no batch of short utterances reaches


@dataclass(frozen=True, slots=True)
class MissRate:
    """Of `frames` frames in batches of `batch`: units unlike those of batch 1, and unlike those of fp32 and batch 1."""

    dtype: str
    batch: int
    frames: int
    missed: int
    missed_fp32: int


def miss_rates(
    codebook: Codebook,
    options: dict[str, Any],
    audio: list[F32],
    batches: list[int],
    precisions: list[str] | None = None,
) -> list[MissRate]:
    """One row for each precision and batch size, batch 1 of the first precision at the top.

    Args:
        codebook: with its extractor's name.
        options: of the extractor.
        audio: utterances (samples,) at the extractor's rate, put into the batches in a shuffled order.
        batches: sizes.
        precisions: fp32 is put first; None: those that the extractor's device has instructions for.

    Raises:
        StaleArtifact: the codebook is of another extractor.
        ConfigError: it does not name one that is here.
    """

    name = codebook.backend.get("extractor", "")
    plain = make("extractors", name, options)
    codebook.check(plain)
    centroids = Centroids(codebook.centroids)
    found: list[MissRate] = []
    exact: list[Units] = []
    for dtype in _precisions(plain, precisions):
        extractor = make("extractors", name, {**options, "dtype": dtype}) if hasattr(plain, "dtype") else plain
        extractor.load()
        alone = units_in_batches(extractor, centroids, audio, 1)
        exact = exact or alone
        n = sum(len(units) for units in exact)
        for batch in sorted({1, *batches}):
            units = alone if batch == 1 else units_in_batches(extractor, centroids, audio, batch)
            found.append(MissRate(dtype, batch, n, unlike(units, alone), unlike(units, exact)))
    return found


def _precisions(extractor: Any, asked: list[str] | None) -> list[str]:
    if not hasattr(extractor, "dtype"):
        return ["fp32"]
    found = asked or fast_dtypes(extractor.device)
    return ["fp32", *(dtype for dtype in found if dtype != "fp32")]


def units_in_batches(extractor: Any, centroids: Centroids, audio: list[F32], size: int) -> list[Units]:
    """The units of each utterance (samples,), put through in shuffled batches of `size`."""
    if hasattr(extractor, "batch_seconds"):
        extractor.batch_seconds = 0.0 if size == 1 else WHOLE_BATCH
    made: dict[int, Units] = {}
    order = fixed_generator().permutation(len(audio)).tolist()
    for start in range(0, len(order), size):
        picked = order[start : start + size]
        together = [audio[i] for i in picked]
        if hasattr(extractor, "units"):
            made.update(zip(picked, extractor.units(together, centroids), strict=True))
        else:
            made.update(zip(picked, map(centroids.assign, extractor.extract(together)), strict=True))
    return [made[i] for i in range(len(audio))]


def unlike(units: list[Units], others: list[Units]) -> int:
    """Frames whose units differ."""
    return sum(int((a != b).sum()) for a, b in zip(units, others, strict=True))
