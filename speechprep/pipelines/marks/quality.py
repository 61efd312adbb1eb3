"""Marks of poor recordings: rows of `words` beyond the limits of the scores in the dataset `quality`.

A limit that is null is off. A row without the score, or without a row in `quality`, passes.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import pyarrow as pa
from pydantic import Field

from speechprep.pipelines.engine.stage import StageConfig
from speechprep.pipelines.marks import Mark, joined
from speechprep.pipelines.thresholds import Check

LIMITS = (
    Check("min_snr_db", "low_snr", "snr_db", -1),
    Check("min_bandwidth_hz", "narrow_band", "bandwidth_hz", -1),
    Check("max_clipped_share", "clipped", "clipped_share", 1),
    Check("min_speech_share", "little_speech", "speech_share", -1),
    Check("min_dnsmos", "low_dnsmos", "dnsmos_overall", -1),
)


class QualityLimits(StageConfig):
    """Limits of the scores of `quality`; null: off."""

    min_snr_db: float | None = Field(
        None, description="drop rows with a lower signal-to-noise ratio, in dB, by `quality`; null: off"
    )
    min_bandwidth_hz: float | None = Field(
        None, ge=0, description="drop rows with a lower effective bandwidth, in Hz, by `quality`; null: off"
    )
    max_clipped_share: float | None = Field(
        None, ge=0, le=1, description="drop rows with a larger share of clipped samples, by `quality`; null: off"
    )
    min_speech_share: float | None = Field(
        None, ge=0, le=1, description="drop rows with a smaller share of speech, by `quality`; null: off"
    )
    min_dnsmos: float | None = Field(
        None, ge=1, le=5, description="drop rows with a lower overall rating of DNSMOS, by `quality`; null: off"
    )

    def quality_limits(self) -> list[tuple[Check, float]]:
        """The limits that are on."""
        values = [(limit, getattr(self, limit.option)) for limit in LIMITS]
        return [(limit, value) for limit, value in values if value is not None]


def read(batches: Iterable[pa.RecordBatch], config: QualityLimits) -> dict[str, Mark]:
    """The ids beyond the limits in rows of `quality`, compared as float32."""
    limits = config.quality_limits()
    failed: list[list[pa.Array]] = [[] for _ in limits]
    scored: list[list[pa.Array]] = [[] for _ in limits]
    for batch in batches:
        ids = batch.column("id")
        for number, (limit, value) in enumerate(limits):
            scores = batch.column(limit.column).to_numpy(zero_copy_only=False).astype(np.float32)  # NaN for null
            failed[number].append(ids.filter(pa.array(limit.fails(scores, value))))
            scored[number].append(ids.filter(pa.array(~np.isnan(scores))))
    return {
        limit.reason: Mark(limit.option, value, joined(failed[number]), joined(scored[number]))
        for number, (limit, value) in enumerate(limits)
    }
