"""clips: words -> clips of N words, with a matched and an unmatched pairing of text and audio.

Reads all of `words` and `utterances`. Writes `clips`; the clips of words shard i are in clips shard i.

Row: a range of N consecutive words of one utterance, from the start of its first word to the end of its last word
(`t0`, `t1` in seconds from the start of the utterance), with its text, and `offset` and `duration` for decoding its
audio. The ranges of one N do not overlap. A clip neither begins nor ends at an interpolated word or at a word without
a time. Rows of `words` with `kept` false are not used.

Split: no recording is in two splits. A recording has the split of the corpus, if it has one. All others are drawn by
a hash of the seed and the sha256 of the audio file, so new recordings change no split.

Pairings: in the matched pairing each text has its own audio. In the unmatched pairing it has the audio of its
`partner`, another clip of the same N, split, speaker and corpus, from another utterance, with another text and a
similar duration. Utterances without a speaker form one group for each corpus. Each audio is used once, so both
pairings have the same texts and the same audio. Clips without a partner leave both pairings: their `partner` is null
(see `tokenizers.clips.pairing`).

Rejected: utterances of a recording with two splits in the corpus (`recording_in_two_splits`).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pyarrow as pa
from pydantic import Field, field_validator

from speechprep.artifacts import shards
from speechprep.artifacts.schemas import CLIPS
from speechprep.errors import BadInput, StaleArtifact
from speechprep.pipelines.engine.context import ShardContext
from speechprep.pipelines.engine.stage import Finished, Read, Stage, StageConfig
from speechprep.pipelines.splits import Shares, recording_of
from speechprep.pipelines.stages.clips.partners import Pairing, pairing_counts
from speechprep.pipelines.stages.clips.splits import Row, Splits
from speechprep.tokenizers.clips.windows import word_windows

BATCH = 1024  # utterances at a time; no result depends on it
TIMED = ("aligned", "given")
SOURCE_COLUMNS = ("id", "audio", "offset", "speaker", "corpus", "split", "audio_sha256")


class Config(StageConfig):
    """Options of `clips`."""

    words: list[int] = Field(
        default=[25, 50], description="numbers of words of a clip; each number gives clips of its own"
    )
    tolerances: list[float] = Field(
        default=[0.05, 0.1, 0.2],
        description="relative differences between the durations of a clip and its partner; a wider one is used only "
        "where it pairs more clips",
    )
    min_seconds: float = Field(1.0, ge=0.0, description="leave out shorter clips (seconds)")
    max_seconds: float = Field(40.0, gt=0.0, description="leave out longer clips (seconds)")
    splits: Shares = Field(
        default={"train": 0.8, "validation": 0.1, "test": 0.1},
        description="shares of the recordings without a split in the corpus, by the name of the split",
    )

    @field_validator("words")
    @classmethod
    def _word_counts(cls, words: list[int]) -> list[int]:
        if not words or min(words) < 1 or len(set(words)) < len(words):
            raise ValueError(f"give different numbers of at least 1, for example [25, 50], not {words}")
        return words

    @field_validator("tolerances")
    @classmethod
    def _ascending(cls, tolerances: list[float]) -> list[float]:
        if not tolerances or min(tolerances) <= 0 or tolerances != sorted(set(tolerances)):
            raise ValueError(f"give numbers above 0 in ascending order, for example [0.05, 0.1], not {tolerances}")
        return tolerances


def cut(config: Config, words: Row, source: Row, split: str) -> tuple[list[Row], int]:
    """Clips of one utterance without their partners, and the number of clips outside the limits of the duration.

    Args:
        config: options of the stage.
        words: row of `words`. source: row of `utterances`. split: of the recording.
    """
    spoken = words["words"] or []
    timed = np.array([_is_timed(word) for word in spoken], bool)
    clips, outside = [], 0
    for n_words in config.words:
        for first in word_windows(timed, n_words).tolist():
            inside = spoken[first : first + n_words]
            t0, t1 = inside[0]["start"], inside[-1]["end"]
            if not config.min_seconds <= t1 - t0 <= config.max_seconds or t1 <= t0:
                outside += 1
                continue
            clips.append(
                {
                    "id": f"{words['id']}#{n_words}w{first}",
                    "utterance": words["id"],
                    "audio": source["audio"],
                    "offset": (source["offset"] or 0.0) + t0,
                    "duration": t1 - t0,
                    "recording": recording_of(source),
                    "n_words": n_words,
                    "first_word": first,
                    "last_word": first + n_words - 1,
                    "t0": t0,
                    "t1": t1,
                    "text": " ".join(word["text"] for word in inside),
                    "speaker": source["speaker"],
                    "corpus": source["corpus"],
                    "language": words["language"],
                    "split": split,
                }
            )
    return clips, outside


def _is_timed(word: Row) -> bool:
    return word["timing"] in TIMED and word["start"] is not None and word["end"] is not None


def run(ctx: ShardContext) -> None:
    """The whole work: one pass for the splits, one for the clips, then the partners."""
    config: Config = ctx.config
    words, utterances = ctx.work.inputs["words"].files(), ctx.work.inputs["utterances"].files()
    if [file.rpartition("/")[2] for file in words] != [file.rpartition("/")[2] for file in utterances]:
        counts = f"words has {len(words)} shards, utterances has {len(utterances)}"
        raise StaleArtifact(f"clips: {counts}; choose inputs from the same ingest")
    splits, pairing = Splits(ctx.seed, config.splits), Pairing(ctx.seed, config.tolerances)
    for batch in ctx.batches("utterances", ["id", "audio", "split", "audio_sha256"], BATCH):
        splits.add(batch.to_pylist())
    ctx.open_shards(max(len(words), 1))
    scratch, owners = ctx.scratch / "clips.arrow", []
    with pa.OSFile(str(scratch), "wb") as sink, pa.ipc.new_file(sink, CLIPS) as writer:
        for shard, files in enumerate(zip(words, utterances, strict=True)):
            for batch in _cut_shard(ctx, splits, *files):
                pairing.add(batch)
                writer.write_batch(batch)
                owners.append(shard)
    partners, tolerances = pairing.partners()
    done = 0
    with pa.OSFile(str(scratch), "rb") as source:
        reader = pa.ipc.open_file(source)
        for number, shard in enumerate(owners):
            batch = reader.get_batch(number)
            own = [partners.slice(done, len(batch)).combine_chunks(), tolerances.slice(done, len(batch))]
            ctx.write(pa.RecordBatch.from_arrays([*batch.columns[:-2], *own], schema=CLIPS), shard=shard)
            paired = len(batch) - own[0].null_count
            ctx.done(clips=len(batch), paired=paired, unpaired=own[0].null_count)
            done += len(batch)


def _cut_shard(ctx: ShardContext, splits: Splits, words: str, utterances: str) -> Iterator[pa.RecordBatch]:
    """Clips of one shard of words, with null partners."""
    sources: dict[str, Row] = {}
    for batch in shards.read_batches(utterances, SOURCE_COLUMNS, BATCH):
        sources.update((row["id"], row) for row in batch.to_pylist())
    for batch in shards.read_batches(words, ["id", "words", "duration", "language", "kept"], BATCH):
        rows: list[Row] = []
        for row in batch.to_pylist():
            ctx.done(utterances=1, seconds=row["duration"] or 0.0, not_kept=int(row["kept"] is False))
            if row["kept"] is not False:
                rows += _cut(ctx, splits, row, sources)
        if rows:
            yield pa.RecordBatch.from_pylist(rows, schema=CLIPS)


def _cut(ctx: ShardContext, splits: Splits, words: Row, sources: dict[str, Row]) -> list[Row]:
    source = sources.get(words["id"])
    if source is None:
        raise StaleArtifact(f"clips: {words['id']!r} of words is not in utterances; choose inputs from the same ingest")
    try:
        clips, outside = cut(ctx.config, words, source, splits.find(source))
    except BadInput as error:
        ctx.reject(words["id"], error, source["audio"])
        return []
    ctx.done(outside_limits=outside)
    return clips


def facts(finished: Finished) -> dict[str, Any]:
    """Counts of the pairing by N."""
    return {"pairing": pairing_counts(finished.batches(["n_words", "tolerance"]))}


def note(extra: dict[str, Any]) -> str:
    """Numbers of clips, and of clips without a partner, in words."""
    return "; ".join(
        f"{counts['clips']:,} clips of {n_words} words, {counts['unpaired']:,} without a partner (in neither pairing)"
        for n_words, counts in sorted(extra.get("pairing", {}).items(), key=lambda entry: int(entry[0]))
    )


STAGE = Stage(
    name="clips",
    version=1,
    reads=(Read("words", "words", sharded=False), Read("utterances", "utterances", sharded=False)),
    writes="clips",
    config=Config,
    run=run,
    schema=CLIPS,
    facts=facts,
    note=note,
    help=(
        "Cut utterances into clips of N words, paired with matched and unmatched audio.\n\nThe unmatched audio of a "
        "clip has the same speaker, corpus and split and a similar duration."
    ),
    examples=(
        "speechprep clips --input run --out run/clips",
        "speechprep clips --input run --out run/clips --set words='[25]' --set max_seconds=30",
    ),
)
