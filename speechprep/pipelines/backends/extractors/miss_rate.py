"""Miss rate of units, as `speechprep doctor units` prints it: the share of units that change with batch and precision.

The miss rate of batches of n is the share of frames with a unit different from the unit of the utterance run alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from speechprep.artifacts.codebook import Codebook
from speechprep.pipelines.backends import Extractor
from speechprep.registry import make
from speechprep.tokenizers.arrays.keyed_random import fixed_generator
from speechprep.tokenizers.kmeans.nearest import Centroids

F32 = NDArray[np.float32]
Units = NDArray[np.unsignedinteger]
WHOLE_BATCH = 1e6  # padded seconds; above any batch of short utterances


@dataclass(frozen=True, slots=True)
class MissRate:
    """Changed units of one precision and batch size.

    Attributes:
        dtype: precision.
        batch: utterances in a batch.
        frames: all frames.
        missed: frames with another unit than in batches of 1 in this precision.
        missed_fp32: frames with another unit than in batches of 1 in fp32.
    """

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
        codebook: the codebook, with the name of its extractor.
        options: options of the extractor.
        audio: utterances (samples,) at the rate of the extractor; batches take them in a shuffled order.
        batches: batch sizes.
        precisions: precisions after fp32; None: those with processor instructions on the device.

    Raises:
        StaleArtifact: the codebook belongs to another extractor.
        ConfigError: its extractor is unknown.
    """
    name = codebook.backend.get("extractor", "")
    plain: Extractor = make("extractors", name, options)
    codebook.check(plain)
    centroids = Centroids.of(codebook)
    rates: list[MissRate] = []
    exact: list[Units] = []
    choice = len(plain.dtypes) > 1
    for dtype in _precisions(plain, precisions) if choice else plain.dtypes:
        extractor: Extractor = make("extractors", name, {**options, **({"dtype": dtype} if choice else {})})
        extractor.load()
        alone = units_in_batches(extractor, centroids, audio, 1)
        exact = exact or alone
        n = sum(len(units) for units in exact)
        for batch in sorted({1, *batches}):
            units = alone if batch == 1 else units_in_batches(extractor, centroids, audio, batch)
            rates.append(MissRate(dtype, batch, n, unlike(units, alone), unlike(units, exact)))
    return rates


def _precisions(extractor: Extractor, precisions: list[str] | None) -> list[str]:
    return ["fp32", *(dtype for dtype in precisions or extractor.fast_dtypes() if dtype != "fp32")]


def units_in_batches(extractor: Extractor, centroids: Centroids, audio: list[F32], size: int) -> list[Units]:
    """The units of each utterance (samples,), computed in shuffled batches of `size`."""
    extractor.batch_seconds = 0.0 if size == 1 else WHOLE_BATCH
    units: dict[int, Units] = {}
    order = fixed_generator().permutation(len(audio)).tolist()
    for start in range(0, len(order), size):
        rows = order[start : start + size]
        batch = extractor.units([audio[i] for i in rows], centroids)
        units.update(zip(rows, batch, strict=True))
    return [units[i] for i in range(len(audio))]


def unlike(units: list[Units], others: list[Units]) -> int:
    """Number of frames with different units."""
    return sum(int((a != b).sum()) for a, b in zip(units, others, strict=True))
