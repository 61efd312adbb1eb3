"""interleave: words + units -> tokens, rows of units, text, CST and AST.

Reads `words` (optional: speech without transcripts gives unit rows) and `units`, shard by shard, and the vocabulary in
`subword`. Writes `tokens` (see `speechprep.tokenizers.interleave.rows` for layouts and columns). Words and units are
joined by id: units without words give unit rows, words without units give text rows. Words dropped by the thresholds
of `align` are not used.

Text without audio gives text rows from `utterances` alone, without `words` and `units`. Its words stand between blanks,
and their times are 0.

Rejected: `word_not_reversible` (decoding its text tokens gives another word) and `word_without_time`. Such utterances
still have their unit rows.
"""

from __future__ import annotations

from collections.abc import Container, Iterator, Mapping
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pydantic import Field, field_validator

from speechprep.artifacts.schemas import TOKENS
from speechprep.artifacts.timebase import FrameGrid
from speechprep.errors import ConfigError, StaleArtifact
from speechprep.pipelines.engine.join import RowWindow, positions, read_ids, unmatched
from speechprep.pipelines.engine.stage import Finished, Read, Stage, StageConfig
from speechprep.pipelines.text_rows import text_rows
from speechprep.tokenizers.arrays import ragged
from speechprep.tokenizers.interleave.policies import LengthRule, PolicyOptions
from speechprep.tokenizers.interleave.render import Utterances
from speechprep.tokenizers.interleave.rows import Interleaver, check_kinds
from speechprep.tokenizers.subword.vocabulary import Vocabulary

if TYPE_CHECKING:
    from speechprep.pipelines.engine.context import ShardContext

BATCH = 1024  # utterances at a time; no result depends on it
WORD_COLUMNS = [
    "id",
    "kept",
    "words.list.element.text",
    "words.list.element.start",
    "words.list.element.end",
]


class InterleaveConfig(StageConfig):
    """Options of `interleave`."""

    kinds: tuple[str, ...] = Field(
        ("unit", "text", "cst", "ast"),
        description="kinds of rows to write: unit, text, cst (one order at random), cst_both, cst_ut, cst_tu, ast",
    )
    policy: Literal["ast", "word", "poisson", "spirit"] = Field(
        "ast",
        description="choice of the spoken words of an ast row: alternating spans, each word, Poisson spans, SPIRIT-LM",
    )
    text_words: str = Field(
        "poisson:5", description="words in a text span of policy ast: poisson:M, fixed:N, range:A-B"
    )
    speech_words: str = Field("poisson:5", description="words in a speech span of policy ast")
    p_speech: float = Field(0.5, ge=0, le=1, description="policy word: probability of a spoken word")
    mean: float = Field(10.0, gt=0, le=1000, description="policy poisson: mean words in a speech span")
    share: float = Field(0.3, ge=0, le=1, description="policy poisson: share of spoken words")

    @field_validator("kinds")
    @classmethod
    def _known_kinds(cls, kinds: tuple[str, ...]) -> tuple[str, ...]:
        check_kinds(kinds)
        return kinds

    @field_validator("text_words", "speech_words")
    @classmethod
    def _known_lengths(cls, rule: str) -> str:
        LengthRule.parse(rule)
        return rule

    @property
    def options(self) -> PolicyOptions:
        """For the policy."""
        text, speech = LengthRule.parse(self.text_words), LengthRule.parse(self.speech_words)
        return PolicyOptions(text, speech, self.p_speech, self.mean, self.share)


def run(ctx: ShardContext) -> None:
    """The work of one shard."""
    config: InterleaveConfig = ctx.config
    vocab = Vocabulary.load(ctx.path("subword"))
    speech = ctx.has("units")
    facts = ctx.extra("units" if speech else "subword")  # noqa: S610
    if facts["k"] != vocab.k:
        raise ConfigError(
            f"the vocabulary has {vocab.k} units, the codebook of the units has {facts['k']}; run subword again"
        )
    if speech:
        _check_codebook(ctx)
    grid = FrameGrid.of_extra(facts)
    interleaver = Interleaver(vocab, grid, config.kinds, config.policy, config.options, ctx.seed)
    for batch, counted in utterances(ctx) if speech else texts_alone(ctx):
        rows = interleaver.rows(batch)
        for i in np.flatnonzero(rows.irreversible | rows.untimed):
            problem = rows.problem(int(i))
            if problem is not None:
                ctx.reject(batch.ids[int(i)].as_py(), problem)
        ctx.write(rows.tokens)
        ctx.done(utterances=len(batch.ids), **counted, rows=rows.tokens.num_rows, tokens=_tokens(rows.tokens))


def _check_codebook(ctx: ShardContext) -> None:
    """Refuse units of another codebook or frame grid than those of the vocabulary. Older vocabularies record neither.

    Raises:
        StaleArtifact: naming both codebooks or grids.
    """
    trained_on, given = (ctx.extra(role).get("codebook") for role in ("subword", "units"))  # noqa: S610
    if trained_on and given and trained_on != given:
        raise StaleArtifact(
            f"the vocabulary was made from units of codebook {trained_on[:12]}, the units are of {given[:12]}; run "
            "units with the first codebook, or run subword on these units"
        )
    grids = [ctx.extra(role).get("grid") for role in ("subword", "units")]  # noqa: S610
    if all(grids) and grids[0] != grids[1]:
        raise StaleArtifact(
            f"the vocabulary was made from units of the frame grid {grids[0]}, the units have {grids[1]}; run units "
            "with the first codebook, or run subword on these units"
        )


def _tokens(rows: pa.RecordBatch) -> int:
    offsets = rows.column("input_ids").offsets
    return int(offsets[-1].as_py() - offsets[0].as_py())


def utterances(ctx: ShardContext) -> Iterator[tuple[Utterances, dict[str, int]]]:
    """The utterances of the shard in batches, words joined to units by id, each with its counts.

    First all utterances with units, in the order of `units`, then those with words only, in the order of `words`.
    """
    unit_ids = read_ids(ctx.batches("units", ["id"], 8192), "units")
    word_ids = pa.chunked_array([], pa.string())
    if ctx.has("words"):
        word_ids = read_ids(ctx.batches("words", ["id"], 8192), "words")
    word_rows = positions(unit_ids, word_ids)
    window = RowWindow(_words(ctx) if ctx.has("words") else iter(()), word_rows[word_rows >= 0])
    at = 0
    for batch in ctx.batches("units", ["id", "units"], BATCH):
        where = word_rows[at : at + batch.num_rows]
        at += batch.num_rows
        values, offsets = ragged.of_arrow(batch.column("units"))
        yield _assemble(batch.column("id"), where >= 0, window.take(where[where >= 0]), np.asarray(values), offsets)
    alone = unmatched(word_rows, len(word_ids))
    if alone.any():
        yield from _words_only(ctx, alone)


def texts_alone(ctx: ShardContext) -> Iterator[tuple[Utterances, dict[str, int]]]:
    """Text without audio in batches, each with its counts."""
    for batch in text_rows(ctx, ["id", "text"], BATCH):
        words = [text.split() for text in batch.column("text").to_pylist()]
        flat = pa.array([word for of_text in words for word in of_text], pa.string())
        times, n = np.zeros(len(flat)), batch.num_rows
        offsets = ragged.offsets_of(np.array([len(of_text) for of_text in words], np.int64))
        rows = Utterances(
            batch.column("id"), flat, times, times, offsets, np.zeros(0, np.uint16), np.zeros(n + 1, np.int64)
        )
        yield rows, {"words": len(flat), "without_words": 0, "without_units": n, "words_not_kept": 0}


def _words(ctx: ShardContext) -> Iterator[pa.RecordBatch]:
    return ctx.batches("words", WORD_COLUMNS, BATCH)


def _words_only(ctx: ShardContext, alone: NDArray[np.bool_]) -> Iterator[tuple[Utterances, dict[str, int]]]:
    at = 0
    for batch in _words(ctx):
        chosen = batch.filter(pa.array(alone[at : at + batch.num_rows]))
        at += batch.num_rows
        n = chosen.num_rows
        if n:
            units = np.zeros(0, np.uint16)
            yield _assemble(chosen.column("id"), np.ones(n, bool), [chosen], units, np.zeros(n + 1, np.int64))


def _assemble(
    ids: pa.StringArray, has: NDArray[np.bool_], rows: list[pa.RecordBatch], units: NDArray[Any], unit_offsets: Any
) -> tuple[Utterances, dict[str, int]]:
    """Utterances from the rows of `words` for the ids of `ids` marked in `has`, in the same order."""
    counts = np.zeros(len(ids), np.int64)
    kept = np.zeros(len(ids), bool)
    parts = [ragged.of_arrow(row.column("words")) for row in rows]
    if rows:
        counts[has] = np.concatenate([np.diff(offsets) for _, offsets in parts])
        kept[has] = np.concatenate([np.asarray(row.column("kept").fill_null(fill_value=True)) for row in rows])
    fields = [values.flatten() for values, _ in parts]
    texts = pa.concat_arrays([f[0] for f in fields]) if fields else pa.array([], pa.string())
    starts, ends = (np.concatenate([np.zeros(0), *(_floats(f[i]) for f in fields)]) for i in (1, 2))
    batch = Utterances(ids, texts.fill_null(""), starts, ends, ragged.offsets_of(counts), units, unit_offsets)
    speech = np.diff(unit_offsets) > 0
    dropped = has & ~kept & (counts > 0)
    counted = {
        "words": int(counts[kept].sum()),
        "without_words": int(np.count_nonzero(speech & ~has)),
        "without_units": int(np.count_nonzero(~speech)),
        "words_not_kept": int(np.count_nonzero(dropped)),
    }
    return (batch.without_words(dropped) if dropped.any() else batch), counted


def _floats(array: pa.Array) -> NDArray[np.float64]:
    return np.asarray(array.fill_null(np.nan) if array.null_count else array)


def facts(done: Finished) -> dict[str, Any]:
    """Entries of the manifest for the inverse of the rows."""
    units = done.inputs["units" if "units" in done.inputs else "subword"].extra
    codebook = {"codebook": units["codebook"]} if units.get("codebook") else {}
    return {"grid": units.get("grid"), "k": units["k"], "vocabulary": done.inputs["subword"].content, **codebook}


UNITS = Read("units", "units")
WORDS = Read("words", "words", optional=True)
UTTERANCES = Read("utterances", "utterances", optional=True)
SUBWORD = Read("subword", "subword", sharded=False)


def choose_reads(options: Mapping[str, Any], kinds: Container[str]) -> tuple[Read, ...]:
    """Words and units; `utterances` for a corpus of text without audio, if there are no units and words."""
    text_only = "utterances" in kinds and "units" not in kinds and "words" not in kinds
    return (UTTERANCES, SUBWORD) if text_only else (WORDS, UNITS, SUBWORD)


STAGE = Stage(
    name="interleave",
    version=1,
    reads=(WORDS, UNITS, UTTERANCES, SUBWORD),
    choose_reads=choose_reads,
    writes="tokens",
    config=InterleaveConfig,
    run=run,
    schema=TOKENS,
    facts=facts,
    help=("Write token rows: units alone, text alone, one after the other (CST), alternating by spans of words (AST)."),
    examples=(
        "speechprep interleave --input run --out run/tokens",
        "speechprep interleave --input run --out run/tokens --set kinds='[ast, cst_ut]'",
    ),
)
