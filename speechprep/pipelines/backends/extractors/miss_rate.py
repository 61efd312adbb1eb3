"""How many units change with the batch and with the precision: what `speechprep doctor units` prints.

The miss rate of batches of n is the share of frames whose unit is another one than when the utterance is run alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from speechprep.artifacts.codebook import Codebook
from speechprep.pipelines.backends import Extractor
from speechprep.registry import make
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
    plain: Extractor = make("extractors", name, options)
    codebook.check(plain)
    centroids = Centroids(codebook.centroids)
    found: list[MissRate] = []
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
            found.append(MissRate(dtype, batch, n, unlike(units, alone), unlike(units, exact)))
    return found


def _precisions(extractor: Extractor, precisions: list[str] | None) -> list[str]:
    return ["fp32", *(dtype for dtype in precisions or extractor.fast_dtypes() if dtype != "fp32")]


def units_in_batches(extractor: Extractor, centroids: Centroids, audio: list[F32], size: int) -> list[Units]:
    """The units of each utterance (samples,), put through in shuffled batches of `size`."""
    extractor.batch_seconds = 0.0 if size == 1 else WHOLE_BATCH
    units: dict[int, Units] = {}
    order = np.random.default_rng(0).permutation(len(audio)).tolist()
    for start in range(0, len(order), size):
        picked = order[start : start + size]
        batch = extractor.units([audio[i] for i in picked], centroids)
        units.update(zip(picked, batch, strict=True))
    return [units[i] for i in range(len(audio))]


def unlike(units: list[Units], others: list[Units]) -> int:
    """Frames whose units differ."""
    return sum(int((a != b).sum()) for a, b in zip(units, others, strict=True))
