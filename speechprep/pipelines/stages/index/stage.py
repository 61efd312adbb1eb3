"""index: utterances -> embeddings and a retrieval index.

Reads all shards of `utterances`. Writes the artifact `index`. The folder holds:

- `part-00000-of-00001.parquet`, the embeddings: id, t0, t1, vector of unit length, caption
- `index.faiss`, the FAISS index over them; its row i is row i of `items.parquet`
- `embedder.json`, the description of the embedder, and fitted weights if the embedder has some

Memory holds the index, not the corpus.

An audio embedder (`clap`) embeds the sound of each utterance: one row for each window, or one for their mean. It needs
no caption; the row holds the caption if there is one. Other embedders (`caption`) embed a text of each item: captions
and labels, or else the transcript (option `text`). They make two passes over the corpus, the first for the word
statistics. Text and audio share one vector space: queries are words or, with an audio embedder, sounds.

The facts of the index have its recall against exact search, and self-retrieval: the share of items at the first place
for their own vector or text. An item with an equal vector counts too ("door knock" and "Knock on door"). For sounds
with captions they have the share of captions with their item at the first place, or among the first ten.

Rejected: unreadable audio, with an audio embedder. With other embedders, `no_caption` for an item without the text
of the option `text`. With `auto` an item without a text is no reject: it is counted (`undescribed`), and the index
may be empty.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pydantic import Field

from speechprep.artifacts import shards, storage
from speechprep.artifacts.index import (
    AUTO,
    ITEMS_SCHEMA,
    Hit,
    VectorIndex,
    factory_for,
)
from speechprep.artifacts.manifest import canonical, differences
from speechprep.artifacts.media.audio import decode
from speechprep.artifacts.schemas import vector_schema
from speechprep.errors import BadInput, ConfigError, StaleArtifact
from speechprep.pipelines.backends import Embedder
from speechprep.pipelines.engine.context import ShardContext
from speechprep.pipelines.engine.stage import Read, Stage, StageConfig
from speechprep.pipelines.stages.index.audio_vectors import PerRow, PreviousIndex, embed_sounds, embed_utterances
from speechprep.pipelines.stages.index.quality import measure, measure_sounds, warning
from speechprep.registry import make

EMBEDDER = "embedder.json"
EMBEDDINGS = shards.shard_name(0, 1)
COLUMNS = ("id", "audio", "duration", "captions", "labels", "text")
ROWS = 1024

Description = Literal["auto", "captions", "transcript"]
F32 = NDArray[np.float32]


class Config(StageConfig):
    """Options of `index`."""

    ALIASES: ClassVar[Mapping[str, str]] = {"embedder": "backend"}

    backend: str = Field("caption", description="name of the embedder; see: speechprep backends list")
    options: dict[str, Any] = Field(
        default_factory=dict, description="parameters of the embedder, for example {dim: 512}"
    )
    text: Description = Field(
        "auto",
        description="text of an item: captions (with labels), transcript, or auto: captions, else the transcript",
    )
    rows: PerRow = Field(
        "window",
        description="rows of an audio embedder: one for each window of a sound, or one for the whole utterance",
    )
    factory: str = Field(
        AUTO,
        description="index type as a FAISS factory string; auto: Flat (exact) up to 200,000 rows, "
        "then HNSW32, then IVF",
    )
    previous: str | None = Field(
        None, description="folder of an earlier index; vectors of equal sounds are copied from it, with the same result"
    )


def describe(row: dict[str, Any], which: Description) -> str:
    """The text of an item.

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
        raise BadInput("no_caption", f"the item has no {missing} to embed; add one{other}")
    return text


def run(ctx: ShardContext) -> None:
    """Statistics, vectors, index, measures."""
    shared: Embedder = ctx.backend
    embedder = shared.fit(_texts(ctx))
    items = write_sounds(ctx, embedder) if embedder.hears_audio else write_embeddings(ctx, embedder)
    if not items.num_rows and not embedder.hears_audio and ctx.config.text != "auto":
        raise ConfigError("index: no item has a text to embed; see the rejects")
    index = VectorIndex.build(embedder.dim, lambda: vectors(ctx.out), items, ctx.config.factory)
    index.save(ctx.out)
    embedder.save(ctx.out)
    made_by = {
        "embedder": ctx.config.backend,
        "options": ctx.config.options,
        "identity": embedder.identity(),
        "rows": ctx.config.rows,
    }
    (ctx.out / EMBEDDER).write_text(json.dumps(made_by, indent=1, sort_keys=True) + "\n")
    measured = measure_sounds if embedder.hears_audio else measure
    ctx.facts.update(
        {
            "rows": items.num_rows,
            "dim": embedder.dim,
            "metric": "cosine",
            "kind": factory_for(items.num_rows) if ctx.config.factory == AUTO else ctx.config.factory,
            "embedder": embedder.identity(),
            **measured(index, embedder, lambda: vectors(ctx.out)),
        }
    )


def write_sounds(ctx: ShardContext, embedder: Embedder) -> pa.Table:
    """The embeddings shard of an audio embedder; returns the items in its order."""
    previous = None
    if ctx.config.previous is not None:
        folder = storage.fetch_folder(ctx.config.previous, ctx.scratch / "previous")
        previous = PreviousIndex(folder, EMBEDDER, embedder.identity(), ctx.config.rows)
    items = []
    with shards.ShardWriter(str(ctx.out / EMBEDDINGS), vector_schema(embedder.dim)) as writer:
        for block in embed_utterances(ctx, embedder, ctx.config.rows, previous):
            kept = []
            for row, sound, audio_vectors in block:
                caption = _caption(row, ctx.config.text)
                for (t0, t1), vector in zip(audio_vectors.times, audio_vectors.vectors, strict=True):
                    kept.append({"id": row["id"], "t0": t0, "t1": t1, "vector": vector, "caption": caption})
                    item = {"id": row["id"], "audio": row["audio"], "caption": caption, "sound": sound}
                    items.append({**item, "t0": t0, "t1": t1})
            writer.write(kept)
            ctx.done(utterances=len(block), seconds=sum(audio_vectors.times[-1][1] for _, _, audio_vectors in block))
    return pa.Table.from_pylist(items, schema=ITEMS_SCHEMA)


def _caption(row: dict[str, Any], which: Description) -> str | None:
    try:
        return describe(row, which)
    except BadInput:
        return None  # a sound needs no text


def _texts(ctx: ShardContext) -> Iterator[str]:
    for row in _rows(ctx):
        try:
            yield describe(row, ctx.config.text)
        except BadInput:
            continue  # rejected or counted in the second pass


def _rows(ctx: ShardContext) -> Iterator[dict[str, Any]]:
    for batch in ctx.batches("utterances", COLUMNS, rows=ROWS):
        yield from batch.to_pylist()


def write_embeddings(ctx: ShardContext, embedder: Embedder) -> pa.Table:
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
            text_vectors = embedder.embed_text([text for _, text in good])
            kept = []
            for (row, text), vector in zip(good, text_vectors, strict=True):
                if not vector.any():
                    _leave_out(
                        ctx, row, BadInput("no_caption", f"no word in {text[:60]!r}; describe the item in words")
                    )
                    continue
                item = {"id": row["id"], "t0": 0.0, "t1": row["duration"], "caption": text}
                kept.append({**item, "vector": vector})
                items.append({**item, "audio": row["audio"]})
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
        yield column.flatten().to_numpy(zero_copy_only=False).reshape(len(column), -1 if len(column) else 0)


def search(index: str, query: str | None = None, k: int = 10, audio: str | None = None) -> list[Hit]:
    """The `k` rows nearest to a query of an index folder (a URI), best first.

    Args:
        index: the folder.
        query: a description in words, or
        audio: URI of an audio file; the best match of its windows counts.
        k: number of results; with a text embedder, rows without any similarity are left out.

    Raises:
        StaleArtifact: the folder is not a complete index, or its embedder has changed since.
        ConfigError: the query has no word, or is a sound for an embedder of texts only.
        BadInput: the audio cannot be read.
    """
    if (query is None) == (audio is None):
        raise ConfigError("search needs either words or an audio file; give one of them")
    with tempfile.TemporaryDirectory() as scratch:
        folder = storage.fetch_folder(index, Path(scratch))
        embedder = load_embedder(folder)
        if query is not None:
            query_vectors = embedder.embed_text([query])
            if not query_vectors.any():
                raise ConfigError(f"the query {query!r} has no word of the index; use other words")
        else:
            query_vectors = _sound_query(embedder, str(audio), folder)
        best: dict[tuple[Any, ...], Hit] = {}
        for hit in (hit for hits in VectorIndex.load(folder).search(query_vectors, k) for hit in hits):
            row = (hit.id, hit.t0, hit.t1)
            if (row not in best or hit.score > best[row].score) and (hit.score > 0 or embedder.hears_audio):
                best[row] = hit
        return sorted(best.values(), key=lambda hit: -hit.score)[:k]


def _sound_query(embedder: Embedder, audio: str, folder: Path) -> F32:
    made_by = json.loads((folder / EMBEDDER).read_text())
    if not embedder.hears_audio:
        raise ConfigError(
            f"the embedder of the index is {made_by['embedder']!r}, an embedder of texts only; search it with words, "
            "or build it with --set embedder=clap"
        )
    sound = decode(audio, sample_rate=embedder.sample_rate)
    return embed_sounds(embedder, [sound], made_by["rows"])[0].vectors


def load_embedder(folder: Path) -> Embedder:
    """The embedder of an index, ready to use.

    Raises:
        StaleArtifact: not an index, or its embedder has changed since.
    """
    try:
        made_by = json.loads((folder / EMBEDDER).read_text())
    except FileNotFoundError:
        raise StaleArtifact(f"{folder} is not an index: {EMBEDDER} is missing; give the folder of an index") from None
    embedder: Embedder = make("embedders", made_by["embedder"], made_by["options"])
    embedder.load()
    embedder.restore(folder)
    changes = differences(made_by["identity"], json.loads(canonical(embedder.identity())))
    if changes:
        raise StaleArtifact(f"{folder} is of another embedder ({'; '.join(changes)}); build the index again")
    return embedder


def make_embedder(config: Config) -> Embedder:
    """The unloaded embedder of a configuration.

    Raises:
        ConfigError: unknown embedder or parameter.
    """
    embedder: Embedder = make("embedders", config.backend, config.options)
    return embedder


STAGE = Stage(
    name="index",
    version=2,
    reads=(Read("utterances", "utterances", sharded=False),),
    writes="index",
    config=Config,
    run=run,
    schema=None,
    warning=warning,
    backend=lambda config, extras: make_embedder(config),
    help="Embed utterances and build a retrieval index for `speechprep search`.",
    examples=(
        "speechprep index --input run/utterances --out run/index",
        "speechprep index --input run --out run/index --set backend=clap --set options.model=models/clap",
    ),
)
