"""quality: utterances -> quality, scores of the recordings: noise, bandwidth, clipping, speech and DNSMOS.

Reads `utterances`, shard by shard. Writes `quality`, one row for each utterance. No recipe runs this stage.

Row: `snr_db` is the signal-to-noise ratio, `bandwidth_hz` the effective bandwidth, `clipped_share` the share of clipped
samples, `speech_share` the share of frames that the voice activity detector calls speech. With the option `dnsmos`,
the columns `dnsmos_*` are the predicted ratings of listeners. Formulas: `speechprep.tokenizers.quality.measures`. A
score that the audio is too short or too silent for is null.

Rejected: undecodable audio, and text without audio (`no_audio`).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from speechprep.artifacts.media.audio import resample_blocks
from speechprep.artifacts.schemas import QUALITY
from speechprep.pipelines.engine.context import ShardContext
from speechprep.pipelines.engine.stage import Read, Stage, StageConfig
from speechprep.pipelines.features import for_each_utterance
from speechprep.pipelines.speech_quality import DNSMOS_SCORES, RATE, Dnsmos, QualityBackend, VoiceActivity
from speechprep.tokenizers.quality.measures import Bandwidth, Clipping

Samples = NDArray[np.float32]


class Config(StageConfig):
    """Options of `quality`."""

    dnsmos: bool = Field(
        default=False, description="compute the scores of DNSMOS; needs the extra quality, and most of the time"
    )
    vad_mode: int = Field(
        2, ge=0, le=3, description="strictness of the voice activity detector; higher modes call fewer frames speech"
    )


def measured(config: Config, rate: int, blocks: Iterator[Samples]) -> dict[str, float | None]:
    """The scores of one utterance.

    Args:
        config: options.
        rate: Hz of the audio.
        blocks: the audio in blocks (n,) of any length.
    """
    bandwidth, clipping, activity = Bandwidth(rate), Clipping(), VoiceActivity(config.vad_mode)
    rating = Dnsmos() if config.dnsmos else None

    def tapped() -> Iterator[Samples]:
        for block in blocks:
            bandwidth.add(block)
            clipping.add(block)
            yield block

    for block in resample_blocks(tapped(), rate, RATE):
        activity.add(block)
        if rating is not None:
            rating.add(block)
    ratings = (rating.scores() if rating is not None else None) or {}
    return {
        "snr_db": activity.ratio.decibels(),
        "bandwidth_hz": bandwidth.hertz(),
        "clipped_share": clipping.share(),
        "speech_share": activity.ratio.speech_share(),
        **{f"dnsmos_{name}": ratings.get(name) for name in DNSMOS_SCORES.values()},
    }


def run(ctx: ShardContext) -> None:
    """One shard."""

    def work(row: dict[str, Any], blocks: Iterator[Samples]) -> dict[str, Any]:
        return {"id": row["id"], **measured(ctx.config, row["sample_rate"], blocks)}

    for_each_utterance(ctx, work, columns=("sample_rate",))


STAGE = Stage(
    name="quality",
    version=1,
    reads=(Read("utterances", "utterances"),),
    writes="quality",
    config=Config,
    run=run,
    schema=QUALITY,
    backend=lambda config, extras: QualityBackend(dnsmos=config.dnsmos),
    local="process",
    help="Score each recording: signal-to-noise ratio, effective bandwidth, clipping, share of speech, DNSMOS.",
    examples=(
        "speechprep quality --input run/utterances --out run/quality",
        "speechprep quality --input run --out run/quality --set dnsmos=true",
    ),
)
