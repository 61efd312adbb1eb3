"""phrases: words -> phrases, one row for each window of some words.

Reads `words`. Writes `phrases`: id, phrase (number), text, start, end in seconds. Nothing is rejected.
"""

from __future__ import annotations

import pyarrow as pa
from pydantic import Field

from speechprep.artifacts.datasets import Kind
from speechprep.pipelines.engine.stage import Read, Stage, StageConfig

PHRASES = pa.schema(
    [("id", pa.string()), ("phrase", pa.int32()), ("text", pa.string()), ("start", pa.float64()), ("end", pa.float64())]
)
KIND = Kind("phrases", "windows of some words", PHRASES, ids_from="words")


class Config(StageConfig):
    """Options of `phrases`."""

    words: int = Field(4, ge=1, description="words of a phrase")


def run(ctx):
    """One shard."""
    for batch in ctx.batches("words", ["id", "words"]):
        for row in batch.to_pylist():
            words = row["words"]
            parts = [words[i : i + ctx.config.words] for i in range(0, len(words), ctx.config.words)]
            ctx.write([
                {"id": row["id"], "phrase": n, "text": " ".join(w["text"] for w in part),
                 "start": part[0]["start"], "end": part[-1]["end"]}
                for n, part in enumerate(parts)
            ])  # fmt: skip
            ctx.done(utterances=1)


STAGE = Stage(
    name="phrases",
    version=1,
    reads=(Read("words", "words"),),
    writes="phrases",
    config=Config,
    run=run,
    schema=PHRASES,
    help="Cut utterances into phrases of some words.",
    examples=("speechprep phrases --input run --out run/phrases --set words=8",),
)
