"""fingerprint: utterances -> fingerprints of audio and text, for the search of duplicates.

Reads `utterances`, shard by shard. Writes `fingerprints`, one row for each utterance. `dedup` runs this stage if its
output is missing.

Row: `samples_digest` is equal for equal decoded samples at the same rate, so it is the same for WAV and FLAC.
`audio_codes` are compared between candidates, which share one of `audio_keys` (see
`speechprep.tokenizers.duplicates.audio_codes`). `text_digest` is equal for equal normalised texts. `text_shingles` are
compared between candidates, which share one of `text_keys` (see `.text_shingles`). Rows without audio or without words
have null there.

Rejected: undecodable audio.
"""

from __future__ import annotations

from collections.abc import Iterator
from hashlib import blake2b
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from pydantic import Field

from speechprep.artifacts.media.audio import resample_blocks
from speechprep.artifacts.schemas import FINGERPRINTS
from speechprep.pipelines.backends import Backend
from speechprep.pipelines.engine.context import ShardContext
from speechprep.pipelines.engine.stage import Read, Stage, StageConfig
from speechprep.pipelines.features import for_each_utterance
from speechprep.tokenizers.duplicates import audio_codes, text_shingles

BATCH = 1024  # rows without audio written together; no result depends on it
AUDIO_FIELDS = ("samples_digest", "audio_codes", "audio_keys", "audio_places")

Samples = NDArray[np.float32]
Row = dict[str, Any]


class Config(StageConfig):
    """Options of `fingerprint`."""

    audio: bool = Field(default=True, description="fingerprint the audio; false: the text only, without any decoding")
    shingle: int = Field(3, ge=1, le=20, description="words of a shingle; similar texts share many shingles")


class StoredRate(Backend):
    """Decoding at the rate of each file: the digest of samples must not depend on a resampler."""

    sample_rate = None

    def identity(self) -> dict[str, Any]:
        """Empty: the stage has no model."""
        return {}


def run(ctx: ShardContext) -> None:
    """One shard: first the rows with audio, then the others."""
    config: Config = ctx.config

    def work(row: Row, blocks: Iterator[Samples]) -> Row:
        return {**_of_audio(row["sample_rate"], blocks), **_of_text(row["text"], config.shingle), "id": row["id"]}

    if config.audio:
        for_each_utterance(
            ctx, work, columns=("sample_rate", "text"), select=lambda row: row["sample_rate"] is not None
        )
    for batch in ctx.batches("utterances", ["id", "text", "sample_rate"], BATCH):
        chosen = batch.filter(pc.is_null(batch.column("sample_rate"))) if config.audio else batch
        rows = [
            {**dict.fromkeys(AUDIO_FIELDS), **_of_text(row["text"], config.shingle), "id": row["id"]}
            for row in chosen.to_pylist()
        ]
        if rows:
            ctx.write(pa.RecordBatch.from_pylist(rows, schema=FINGERPRINTS))
            ctx.done(utterances=len(rows))


def _of_audio(rate: int, blocks: Iterator[Samples]) -> Row:
    digest = blake2b(f"{rate}\0".encode(), digest_size=16)

    def hashed() -> Iterator[Samples]:
        for block in blocks:
            digest.update(np.ascontiguousarray(block + np.float32(0.0), "<f4").tobytes())  # -0.0 becomes 0.0
            yield block

    prints = audio_codes.fingerprint(resample_blocks(hashed(), rate, audio_codes.RATE))
    return {
        "samples_digest": digest.digest(),
        "audio_codes": prints.codes,
        "audio_keys": prints.keys,
        "audio_places": prints.places,
    }


def _of_text(text: str | None, size: int) -> Row:
    plain = text_shingles.normalised(text or "")
    if not plain:
        return dict.fromkeys(("text_digest", "text_shingles", "text_keys"))
    hashes = text_shingles.shingles(plain, size)
    return {
        "text_digest": blake2b(plain.encode(), digest_size=16).digest(),
        "text_shingles": hashes,
        "text_keys": text_shingles.band_keys(hashes),
    }


STAGE = Stage(
    name="fingerprint",
    version=1,
    reads=(Read("utterances", "utterances"),),
    writes="fingerprints",
    config=Config,
    run=run,
    schema=FINGERPRINTS,
    backend=lambda config, extras: StoredRate(),
    help="Compute fingerprints of audio and text, the input of `dedup`.",
    examples=("speechprep fingerprint --input run/utterances --out run/fingerprints",),
)
