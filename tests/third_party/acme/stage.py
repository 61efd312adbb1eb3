"""clips: words -> clips, one row for each window of some words.

Reads `words`. Writes `clips`: id, clip (number), text, start, end in seconds. Nothing is rejected.
"""

from __future__ import annotations

import pyarrow as pa
from pydantic import Field

from speechprep.artifacts.datasets import Kind
from speechprep.pipelines.engine.stage import Read, Stage, StageConfig

CLIPS = pa.schema(
    [("id", pa.string()), ("clip", pa.int32()), ("text", pa.string()), ("start", pa.float64()), ("end", pa.float64())]
)
KIND = Kind("clips", "windows of some words", CLIPS, ids_from="words")


class Config(StageConfig):
    """Options of `clips`."""

    words: int = Field(4, ge=1, description="words of a clip")


def run(ctx):
    """One shard."""
    for batch in ctx.batches("words", ["id", "words"]):
        for row in batch.to_pylist():
            words = row["words"]
            parts = [words[i : i + ctx.config.words] for i in range(0, len(words), ctx.config.words)]
            ctx.write([
                {"id": row["id"], "clip": n, "text": " ".join(w["text"] for w in part),
                 "start": part[0]["start"], "end": part[-1]["end"]}
                for n, part in enumerate(parts)
            ])  # fmt: skip
            ctx.done(utterances=1)


STAGE = Stage(
    name="clips",
    version=1,
    reads=(Read("words", "words"),),
    writes="clips",
    config=Config,
    run=run,
    schema=CLIPS,
    help="Cut utterances into clips of some words.",
    examples=("speechprep clips --input run --out run/clips --set words=8",),
)
