"""dedup: fingerprints -> duplicates, marks of exact and near duplicates of audio and text across the corpus.

Reads all of `fingerprints`, and with `only_kept` all of `words`. Writes `duplicates`, one row for each row of
`fingerprints`, in the same shards. `filter` drops the marked rows by its option `duplicates`.

Row: `audio_duplicate_of` is the smallest id (by code points) of the group of equal audio; null for this id itself and
for audio without duplicates. `audio_similarity` is the largest similarity to another member of the group; null without
duplicates. `text_duplicate_of` and `text_similarity` are the same for the text.

Audio is equal if the decoded samples are equal, or if the two fingerprints differ in at most `max_bit_errors` of their
bits at one offset, and at least `min_overlap` of the longer one lies in both. Below 1 s the largest share of different
bits is 0.12: two recordings of one word by one speaker may differ in 0.16. `audio_similarity` is 1 minus the bit error
rate. Texts are equal if their normalised forms are, or if the Jaccard index of their shingles is at least
`min_jaccard`; this index is `text_similarity`. Groups are connected components: the first and the last of a chain of
near duplicates may be less similar.

Candidates share a key (locality-sensitive hashing), so the work does not grow with the square of the corpus. Keys,
codes and shingles go through files in the scratch folder. Memory holds the ids, and some numbers for each row.

The ids are ranked in ascending order first, and all later steps work on ranks. The rows are therefore the same for any
shards and any order of the corpus.

Rejected: nothing.
"""

from __future__ import annotations

from collections.abc import Container, Iterator, Mapping
from functools import partial
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from pydantic import Field

from speechprep.artifacts import shards
from speechprep.artifacts.schemas import DUPLICATES
from speechprep.pipelines.engine.context import ShardContext
from speechprep.pipelines.engine.join import positions, read_ids
from speechprep.pipelines.engine.stage import Finished, Read, Stage, StageConfig
from speechprep.pipelines.stages.dedup.search import Column, DuplicateSearch, Groups, find_groups
from speechprep.tokenizers.duplicates.audio_codes import bit_errors, overlap
from speechprep.tokenizers.duplicates.text_shingles import jaccard

SHORT, SHORT_ERRORS = 64, 0.12  # compared frames (1 s) and the largest bit error rate below
BATCH = 256  # rows of fingerprints read together; no result depends on it
READS = (Read("fingerprints", "fingerprints", sharded=False),)
WORDS = Read("words", "words", sharded=False)
AUDIO = Column("samples_digest", "audio_codes", "audio_keys", "audio_places", np.dtype(np.uint32))
TEXT = Column("text_digest", "text_shingles", "text_keys", None, np.dtype(np.uint64))


class Config(StageConfig):
    """Options of `dedup`."""

    max_bit_errors: float = Field(
        0.28, ge=0, le=0.4, description="largest share of different fingerprint bits of duplicate audio; 0.5 is chance"
    )
    min_overlap: float = Field(
        0.8, gt=0, le=1, description="smallest share of the longer of two sounds that lies in both, silence left out"
    )
    min_jaccard: float = Field(
        0.8, gt=0, le=1, description="smallest share of common shingles of duplicate texts; 1: equal shingles only"
    )
    only_kept: bool = Field(
        default=False, description="compare only the rows that `words` keeps; all others get no mark"
    )


def choose_reads(options: Mapping[str, Any], kinds: Container[str]) -> tuple[Read, ...]:
    """`words` is an input with `only_kept` only."""
    return (*READS, WORDS) if options.get("only_kept") else READS


def run(ctx: ShardContext) -> None:
    """The whole work: ranks of the ids, groups by audio, groups by text, then the rows."""
    config: Config = ctx.config
    ids = read_ids(ctx.batches("fingerprints", ["id"], 8192), "fingerprints").combine_chunks()
    order = pc.sort_indices(ids)
    ranks = np.empty(len(ids), np.int64)
    ranks[np.asarray(order)] = np.arange(len(ids))
    taking_part = _kept(ctx, ids) if config.only_kept else np.ones(len(ids), np.bool_)

    groups = {}
    for name, column, likeness in (("audio", AUDIO, audio_likeness), ("text", TEXT, text_likeness)):
        with DuplicateSearch(ctx.scratch / name, column, len(ids)) as search:
            at = 0
            for batch in ctx.batches("fingerprints", column.names, BATCH):
                search.add(batch, ranks[at : at + len(batch)], taking_part[at : at + len(batch)])
                at += len(batch)
                ctx.note(f"{name}: {at:,} of {len(ids):,} fingerprints")
            groups[name] = find_groups(search, partial(likeness, config))
    _write(ctx, ids, order, ranks, groups)


def audio_likeness(config: Config, a: NDArray[np.uint32], b: NDArray[np.uint32], offset: int) -> float:
    """1 minus the bit error rate of two sounds at an offset; 0 if they are no duplicates.

    Args:
        config: limits.
        a, b: (frames,) codes.
        offset: frame i of `b` is compared with frame i + `offset` of `a`.
    """
    errors, compared = bit_errors(a, b, offset)
    enough = compared > 0 and overlap(a, b, offset) >= config.min_overlap
    limit = config.max_bit_errors if compared >= SHORT else min(config.max_bit_errors, SHORT_ERRORS)
    return 1.0 - errors if enough and errors <= limit else 0.0


def text_likeness(config: Config, a: NDArray[np.uint64], b: NDArray[np.uint64], offset: int) -> float:
    """Jaccard index of the shingles (n,) and (m,) of two texts; 0 if they are no duplicates. `offset` is not used."""
    similarity = jaccard(a, b)
    return similarity if similarity >= config.min_jaccard else 0.0


def _kept(ctx: ShardContext, ids: pa.Array) -> NDArray[np.bool_]:
    """(rows,) True for ids that `words` keeps."""
    kept = [
        batch.column("id").filter(pc.fill_null(batch.column("kept"), fill_value=True))
        for batch in ctx.batches("words", ["id", "kept"], 8192)
    ]
    return positions(pa.chunked_array([ids]), pa.chunked_array(kept, pa.string())) >= 0


def _write(
    ctx: ShardContext, ids: pa.Array, order: pa.Array, ranks: NDArray[np.int64], groups: dict[str, Groups]
) -> None:
    files = ctx.work.inputs["fingerprints"].files()
    ctx.open_shards(max(len(files), 1))
    at = 0
    for shard, file in enumerate(files):
        for batch in shards.read_batches(file, ["id"], 8192):
            mine = ranks[at : at + len(batch)]
            at += len(batch)
            columns = [batch.column("id")]
            for name, found in groups.items():
                root, similarity = found.of(mine)
                copies = (root >= 0) & (root != mine)
                where = pa.array(np.asarray(order)[np.maximum(root, 0)], mask=~copies)
                columns += [ids.take(where), pa.array(similarity, pa.float32(), mask=root < 0)]
                ctx.done(**{f"{name}_duplicates": int(copies.sum())})
            ctx.write(pa.RecordBatch.from_arrays(columns, schema=DUPLICATES), shard=shard)
            ctx.done(utterances=len(batch))


def _counts(batches: Iterator[pa.RecordBatch]) -> dict[str, int]:
    rows, audio, text = 0, 0, 0
    for batch in batches:
        rows += len(batch)
        audio += len(batch) - batch.column("audio_duplicate_of").null_count
        text += len(batch) - batch.column("text_duplicate_of").null_count
    return {"rows": rows, "audio": audio, "text": text}


def facts(finished: Finished) -> dict[str, Any]:
    """Numbers of rows and of marked rows."""
    return {"duplicates": _counts(finished.batches(["audio_duplicate_of", "text_duplicate_of"]))}


def note(extra: dict[str, Any]) -> str:
    """The numbers in words."""
    counts = extra.get("duplicates")
    if not counts:
        return ""
    return (
        f"of {counts['rows']:,} rows, {counts['audio']:,} repeat the audio and {counts['text']:,} the text of another"
    )


STAGE = Stage(
    name="dedup",
    version=1,
    reads=(*READS, Read("words", "words", sharded=False, optional=True)),
    choose_reads=choose_reads,
    writes="duplicates",
    config=Config,
    run=run,
    schema=DUPLICATES,
    facts=facts,
    note=note,
    help=(
        "Mark exact and near duplicates of audio and text.\n\nThe mark of a row is the smallest id of its group. Use "
        "it with: speechprep filter run --set duplicates=audio"
    ),
    examples=(
        "speechprep dedup --input run --out run/duplicates",
        "speechprep dedup --input run --out run/duplicates --set min_jaccard=0.9 --set only_kept=true",
    ),
)
