"""Text without audio: rows of `utterances` whose columns of the audio are null."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc

from speechprep.artifacts.schemas import UTTERANCES
from speechprep.errors import ConfigError

if TYPE_CHECKING:
    from speechprep.pipelines.engine.context import ShardContext


def text_row(entry: dict[str, Any]) -> dict[str, Any]:
    """A row of UTTERANCES from an entry without audio: all columns of the audio are null."""
    audio_columns = ("audio", "audio_bytes", "offset", "duration", "sample_rate", "words", "audio_sha256")
    return {**{name: entry.get(name) for name in UTTERANCES.names}, **dict.fromkeys(audio_columns)}


def text_rows(ctx: ShardContext, columns: list[str], rows: int) -> Iterator[pa.RecordBatch]:
    """The batches of `utterances`, all of them text without audio.

    Args:
        ctx: reads the role `utterances`.
        columns: columns of the batches; `text` among them has no null.
        rows: rows of a batch.

    Raises:
        ConfigError: a row has audio. Its words and units come from `align` and `units`.
    """
    for batch in ctx.batches("utterances", [*columns, "duration"], rows=rows):
        spoken = batch.filter(batch.column("duration").is_valid())
        if spoken.num_rows:
            raise ConfigError(
                f"{ctx.stage}: the utterance {spoken.column('id')[0].as_py()!r} has audio, and there are no units; run "
                "units first (and align, for the words), or give text without audio"
            )
        written = batch.filter(pc.fill_null(pc.not_equal(batch.column("text"), ""), fill_value=False))
        yield written.select(columns)
