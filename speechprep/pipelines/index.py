"""index: what the corpus sounds like, made searchable.

Reads all shards of `utterances`. Writes the artifact `index`.
The folder holds the embeddings (`part-00000-of-00001.parquet`: id, t0, t1, vector of unit length, caption), the FAISS
index over them (`index.faiss`, row i is row i of `items.parquet`: id, audio, caption) and what makes the embedder again
(`embedder.json` and its weights). An item is described by its captions and labels, or else by its transcript; `text`
says which. Two passes over the corpus, the first for the word statistics; memory holds the index, not the corpus.

Stored with it: recall of the index against exact search, and self-retrieval: the share of items that come first when
their own text is the query (they, or an item with the same vector: "door knock" and "Knock on door").

Rejected: `no_caption` for an item without what `text` asks for. With `auto` nothing is asked for: speech that nobody
transcribed is no fault of the corpus, so such items are counted (`undescribed`) and the index may even be empty.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pydantic import Field

from speechprep.artifacts import shards, storage
from speechprep.artifacts.index import ITEMS_SCHEMA, SCORE_NOISE, Hit, VectorIndex, exact_scores, recall
from speechprep.artifacts.manifest import canonical, differences
from speechprep.artifacts.schemas import vector_schema
from speechprep.errors import BadInput, ConfigError, StaleArtifact
from speechprep.pipelines.context import ShardContext
from speechprep.pipelines.stage import Read, Stage, StageConfig
from speechprep.registry import resolve

EMBEDDER = "embedder.json"
EMBEDDINGS = shards.shard_name(0, 1)
COLUMNS = ("id", "audio", "duration", "captions", "labels", "text")
PROBES = 1000  # items that recall and self-retrieval are measured with, evenly spaced
NEIGHBOURS = 10
ROWS = 1024

Description = Literal["auto", "captions", "transcript"]
F32 = NDArray[np.float32]


class Config(StageConfig):
    """Options of `index`."""

    embedder: str = Field("caption", description="name of the embedder; see: speechprep backends list")
    options: dict[str, Any] = Field(default_factory=dict, description="its parameters, for example {dim: 512}")
    text: Description = Field(
        "auto", description="captions (with labels), transcript, or auto: captions where an item has some"
    )
    factory: str = Field("Flat", description="FAISS's name of a kind of index; Flat is exact, HNSW32 faster when large")


def describe(row: dict[str, Any], which: Description) -> str:
    """The text that stands for an item.

    Raises:
        BadInput: `no_caption`.
    """
    captions = "; ".join([*(row["captions"] or []), *(label.replace("_", " ") for label in row["labels"] or [])])
    transcript = row["text"] or ""
    text = {"captions": captions, "transcript": transcript, "auto": captions or transcript}[which].strip()
    if not text:
        missing = {"captions": "caption or label", "transcript": "transcript"}.get(
            which, "caption, label or transcript"
        )
        other = "; choose index.text = auto to use transcripts" if which == "captions" and transcript else ""
        raise BadInput("no_caption", f"the item has no {missing} to be found by{other}")
    return text


def run(ctx: ShardContext) -> None:
    """Statistics, vectors, index, measures."""
    embedder = ctx.backend
    if hasattr(embedder, "fit"):
        embedder = make_embedder(ctx.config)  # the context's own is shared by the process and must not change
        embedder.load()
        embedder.fit(_texts(ctx))
    items = write_embeddings(ctx, embedder)
    if not items.num_rows and ctx.config.text != "auto":
        raise ConfigError("index: no item has a text to be found by; see the rejects")
    index = VectorIndex.build(embedder.dim, lambda: vectors(ctx.out), items, ctx.config.factory)
    index.save(ctx.out)
    if hasattr(embedder, "save"):
        embedder.save(ctx.out)
    made_by = {"embedder": ctx.config.embedder, "options": ctx.config.options, "identity": embedder.identity()}
    (ctx.out / EMBEDDER).write_text(json.dumps(made_by, indent=1, sort_keys=True) + "\n")
    ctx.facts.update(
        {
            "rows": items.num_rows,
            "dim": embedder.dim,
            "metric": "cosine",
            "kind": ctx.config.factory,
            "embedder": embedder.identity(),
            **measure(index, embedder, lambda: vectors(ctx.out)),
        }
    )


def _texts(ctx: ShardContext) -> Iterator[str]:
    for row in _rows(ctx):
        try:
            yield describe(row, ctx.config.text)
        except BadInput:
            continue  # told of in the second pass


def _rows(ctx: ShardContext) -> Iterator[dict[str, Any]]:
    for batch in ctx.batches("utterances", COLUMNS, rows=ROWS):
        yield from batch.to_pylist()


def write_embeddings(ctx: ShardContext, embedder: Any) -> pa.Table:
    """The embeddings shard; returns the items in its order."""
    items = []
    with shards.ShardWriter(str(ctx.out / EMBEDDINGS), vector_schema(embedder.dim)) as writer:
        for batch in ctx.batches("utterances", COLUMNS, rows=ROWS):
            good = []
            for row in batch.to_pylist():
                try:
                    good.append((row, describe(row, ctx.config.text)))
                except BadInput as error:
                    _leave_out(ctx, row, error)
            found = embedder.embed_text([text for _, text in good])
            kept = []
            for (row, text), vector in zip(good, found, strict=True):
                if not vector.any():
                    _leave_out(ctx, row, BadInput("no_caption", f"no word in {text[:60]!r}"))
                    continue
                kept.append({"id": row["id"], "t0": 0.0, "t1": row["duration"], "vector": vector, "caption": text})
                items.append({"id": row["id"], "audio": row["audio"], "caption": text})
            writer.write(kept)
            ctx.done(utterances=len(kept), seconds=sum(item["t1"] or 0.0 for item in kept))
    return pa.Table.from_pylist(items, schema=ITEMS_SCHEMA)


def _leave_out(ctx: ShardContext, row: dict[str, Any], error: BadInput) -> None:
    if ctx.config.text == "auto":
        ctx.done(undescribed=1)
    else:
        ctx.reject(row["id"], error, row["audio"])


def vectors(folder: Path) -> Iterator[F32]:
    """The vectors of an index folder in order, (some, dim) at a time."""
    for batch in shards.read_batches(str(folder / EMBEDDINGS), ["vector"], rows=ROWS):
        column = batch.column("vector")
        yield column.flatten().to_numpy(zero_copy_only=False).reshape(len(column), -1)


def measure(index: VectorIndex, embedder: Any, blocks: Any) -> dict[str, float]:
    """Recall against exact search, and self-retrieval, over up to `PROBES` items."""
    if not len(index):
        return {"probes": 0}
    probed = np.unique(np.linspace(0, len(index) - 1, min(PROBES, len(index))).astype(np.int64))
    asked = index.items.take(probed).to_pylist()
    queries = embedder.embed_text([item["caption"] for item in asked])
    found = index.search(queries, NEIGHBOURS)
    # Unit vectors: a first hit with the score of the item itself is the item, or one that is the same to the embedder.
    own = np.einsum("ij,ij->i", queries, queries)
    first = [bool(hits) and hits[0].score >= score - SCORE_NOISE for hits, score in zip(found, own, strict=True)]
    return {
        f"recall_at_{NEIGHBOURS}": round(recall(found, exact_scores(blocks(), queries, NEIGHBOURS)), 6),
        "self_retrieval_at_1": round(sum(first) / len(first), 6),
        "probes": len(first),
    }


def search(index: str, query: str, k: int = 10) -> list[Hit]:
    """The `k` items nearest to `query` of an index folder (a URI), best first; items without any likeness are left out.

    Raises:
        StaleArtifact: the folder is not a complete index, or its embedder has changed since.
        ConfigError: the query has no word.
    """
    with tempfile.TemporaryDirectory() as scratch:
        folder = storage.fetch_folder(index, Path(scratch))
        embedder = load_embedder(folder)
        vector = embedder.embed_text([query])
        if not vector.any():
            raise ConfigError(f"the query {query!r} has no word to search for")
        return [hit for hit in VectorIndex.load(folder).search(vector, k)[0] if hit.score > 0]


def load_embedder(folder: Path) -> Any:
    """The embedder that an index was made with, ready to use.

    Raises:
        StaleArtifact: there is none, or it is not the same any more.
    """
    try:
        made_by = json.loads((folder / EMBEDDER).read_text())
    except FileNotFoundError:
        raise StaleArtifact(f"{folder} is not an index: {EMBEDDER} is missing") from None
    embedder = resolve("embedders", made_by["embedder"])(**made_by["options"])
    embedder.load()
    if hasattr(embedder, "restore"):
        embedder.restore(folder)
    found = differences(made_by["identity"], json.loads(canonical(embedder.identity())))
    if found:
        raise StaleArtifact(f"{folder} was made by another embedder ({'; '.join(found)}); build the index again")
    return embedder


def make_embedder(config: Config) -> Any:
    """The unloaded embedder of a configuration.

    Raises:
        ConfigError: no such embedder, or it has no such parameter.
    """
    try:
        return resolve("embedders", config.embedder)(**config.options)
    except TypeError as error:
        raise ConfigError(f"embedder {config.embedder!r} with options {config.options!r}: {error}") from None


STAGE = Stage(
    name="index",
    version=1,
    reads=(Read("utterances", "utterances", sharded=False),),
    writes="index",
    config=Config,
    run=run,
    schema=None,
    backend=lambda config, extras: make_embedder(config),
)
