"""pack: tokens -> packed, shuffled rows of a fixed length.

Reads all of `tokens` and the vocabulary in `subword`. Writes `packed`.

Row: `input_ids`, `document_ids` (0, 0, .. 1, 1, .. within the row, -1 on padding) and `modality_ids`, each of
`context` integers, and `ids`, the names of the row's documents. Documents are placed end to end and cut at the end of
a row; the rest starts the next row under the same name. With `split = false`, documents stay whole: they are placed
by best fit, and each row is padded.

The order is a hash of seed, utterance id and kind, so the rows do not depend on the shards of `tokens`. Sorting goes
through a file in the scratch folder, and memory stays flat (see `spill`). As in SPIRIT-LM (arXiv
2402.05755) and SUTLM (arXiv 2310.08715), mixture weights count tokens, not rows.

Rejected: nothing.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import Field, field_validator

from speechprep.artifacts.schemas import PACKED
from speechprep.errors import StaleArtifact
from speechprep.pipelines.engine.spill import Spill
from speechprep.pipelines.engine.stage import Finished, Read, Stage, StageConfig
from speechprep.tokenizers.arrays import ragged
from speechprep.tokenizers.arrays.keyed_random import salted
from speechprep.tokenizers.arrays.ragged import offsets_of
from speechprep.tokenizers.packing import GROUPS, DocumentBatch, Layout, Mixture, best_fit, cut_long, document_keys
from speechprep.tokenizers.subword.vocabulary import Vocabulary

if TYPE_CHECKING:
    from speechprep.pipelines.engine.context import ShardContext

BATCH = 8192  # token rows read at a time
WRITE_ROWS = 512  # packed rows written at a time
SHARD_TOKENS = 1 << 26


class PackConfig(StageConfig):
    """Options of `pack`."""

    context: int = Field(2048, ge=8, le=1 << 20, description="length of a packed row in tokens")
    weights: dict[str, float] | None = Field(
        None,
        description="relative shares of the tokens by group, e.g. {speech: 1, text: 1, mixed: 1}; default: "
        "every row once",
    )
    repeat: bool = Field(
        default=False,
        description="reach the weights by repeating rows of scarce groups; false: by leaving out rows of the "
        "other groups",
    )
    split: bool = Field(
        default=True, description="cut documents at the end of a row; false: whole documents, padded rows"
    )
    shards: int | None = Field(
        None, ge=1, le=99_999, description="number of output shards; default: one for 64 million tokens"
    )

    @field_validator("weights")
    @classmethod
    def _known_groups(cls, weights: dict[str, float] | None) -> dict[str, float] | None:
        for name, weight in (weights or {}).items():
            if name not in GROUPS:
                raise ValueError(f"unknown group {name!r}; there are: {', '.join(GROUPS)}")
            if not 0 <= weight < float("inf"):
                raise ValueError(f"the weight of {name} must be a number of at least 0, not {weight:g}")
        if weights is not None and not sum(weights.values()):
            raise ValueError("at least one group needs a weight above 0")
        return weights


def run(ctx: ShardContext) -> None:
    """The whole work: one pass for sorting, one for packing."""
    config: PackConfig = ctx.config
    made_with = ctx.extra("tokens").get("vocabulary")  # noqa: S610
    if made_with is not None and made_with != ctx.content("subword"):
        raise StaleArtifact("the tokens are of another vocabulary than the folder subword; run interleave again")
    vocab = Vocabulary.load(ctx.path("subword"))
    layout = Layout(config.context, vocab.pad, vocab.token_modality)
    mixture = Mixture(config.weights, repeat=config.repeat)
    spill = Spill(ctx.scratch / "documents.arrow")
    _sort(ctx, spill, mixture)
    taken = mixture.decide()
    total = int(taken.sum())
    shards = config.shards or max(1, -(-total // SHARD_TOKENS))
    ctx.open_shards(shards)
    ctx.done(documents_tokens=spill.tokens, **{f"tokens.{g}": int(n) for g, n in zip(GROUPS, taken, strict=True)})
    placed = rows = last = 0
    cut = [0]
    for batch, counts in _rows(_documents(spill, mixture), layout, cut, split=config.split):
        # Shards have equal shares of the tokens; a row goes to the shard of its first token.
        shard = np.minimum((placed + np.cumsum(counts) - counts) * shards // max(total, 1), shards - 1)
        for begin, end in _stretches(shard):
            if shard[begin] != last:
                ctx.writer(last).flush()
                last = int(shard[begin])
            ctx.write(batch.slice(begin, end - begin), shard=last)
        placed += int(counts.sum())
        rows += batch.num_rows
        ctx.done(rows=batch.num_rows)
    ctx.done(tokens=placed, padding=rows * config.context - placed)
    if not config.split:
        ctx.done(cut_documents=cut[0])


def _sort(ctx: ShardContext, spill: Spill, mixture: Mixture) -> None:
    for batch in ctx.batches("tokens", ["id", "kind", "input_ids"], BATCH):
        ids, kinds, tokens = batch.columns
        keys, groups = document_keys(ctx.seed, ids, kinds)
        mixture.count(keys, groups, np.diff(np.asarray(tokens.offsets)).astype(np.int64))
        spill.add(keys, groups, pc.binary_join_element_wise(ids, kinds, "#"), tokens)
        ctx.done(documents=batch.num_rows)


def _documents(spill: Spill, mixture: Mixture) -> Iterator[DocumentBatch]:
    """All documents taken, in order, by buckets. Copy c of a document is placed c/passes of the corpus later."""
    buckets = spill.close()
    passes = mixture.passes
    for bucket in range(buckets):
        keys, documents = [], DocumentBatch.empty()
        for copy in range(passes):
            source = (bucket + copy * buckets // passes) % buckets
            loaded_keys, loaded = spill.load(source, buckets, lambda k, g, copy=copy: mixture.takes(k, g, copy))  # type: ignore[misc]
            keys.append(salted(loaded_keys, 2 + copy) if copy else loaded_keys)
            documents = documents.concat(loaded)
        yield documents if passes == 1 else _mixed(documents, np.argsort(np.concatenate(keys), kind="stable"))


def _mixed(documents: DocumentBatch, order: Any) -> DocumentBatch:
    lengths = documents.lengths[order]
    tokens = ragged.gather(documents.tokens, offsets_of(documents.lengths)[order], lengths)
    return DocumentBatch(documents.names.take(pa.array(order)), tokens, lengths)


def _rows(
    parts: Iterator[DocumentBatch], layout: Layout, cut: list[int], *, split: bool
) -> Iterator[tuple[pa.RecordBatch, Any]]:
    """Packed rows, and the number of tokens without padding in each.

    Args:
        parts: documents in order.
        layout: layout of a row.
        cut: counts of documents longer than a row, for `split` = False: the first item is raised.
        split: option `split`.
    """
    rest = DocumentBatch.empty()
    for documents in parts:
        if split:
            batch, rest = layout.full_rows(rest.concat(documents))
            token_counts = np.full(batch.num_rows, layout.context)
        else:
            pieces, goes_on = cut_long(documents, layout.context)
            cut[0] += int(np.count_nonzero(documents.lengths > layout.context))
            bins = best_fit(pieces.lengths, goes_on, layout.context)
            batch = layout.padded_rows(pieces, bins)
            token_counts = np.array([pieces.lengths[b].sum() for b in bins], np.int64)
        for begin in range(0, batch.num_rows, WRITE_ROWS):
            yield batch.slice(begin, WRITE_ROWS), token_counts[begin : begin + WRITE_ROWS]
    if len(rest.tokens):
        yield layout.padded_rows(rest, [range(len(rest.names))]), np.array([len(rest.tokens)])


def _stretches(shard: Any) -> Iterator[tuple[int, int]]:
    cuts = np.flatnonzero(np.diff(shard, prepend=-1))
    yield from zip(cuts.tolist(), [*cuts[1:].tolist(), len(shard)], strict=True)


def warning(extra: dict[str, Any]) -> str:
    """Warning for documents longer than a row with `split = false`."""
    cut = extra.get("cut_documents", 0)
    if not cut:
        return ""
    return (
        f"{cut:,} documents are longer than {extra['context']:,} tokens and were cut; the rest of each starts the next "
        "row without a begin token. Set a larger context, or interleave shorter utterances"
    )


def facts(done: Finished) -> dict[str, Any]:
    """Entries of the manifest for readers of the rows."""
    extra = done.inputs["tokens"].extra
    cut = sum(int(shard.counters.get("cut_documents", 0)) for shard in done.shards)
    return {
        "context": done.config.context,
        "vocabulary": done.inputs["subword"].content,
        "grid": extra.get("grid"),
        **({"codebook": extra["codebook"]} if extra.get("codebook") else {}),
        **({"cut_documents": cut} if cut else {}),
    }


STAGE = Stage(
    name="pack",
    version=1,
    reads=(Read("tokens", "tokens", sharded=False), Read("subword", "subword", sharded=False)),
    writes="packed",
    config=PackConfig,
    run=run,
    schema=PACKED,
    facts=facts,
    warning=warning,
    help="Pack token rows into rows of a fixed length for a trainer, shuffled by a seed.",
    examples=("speechprep pack --input run/tokens --input run/subword --out run/packed --set context=2048",),
)
