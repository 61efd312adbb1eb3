"""index: utterances -> embeddings and a retrieval index.

Reads all shards of `utterances`. Writes the artifact `index`.
The folder holds the embeddings (`part-00000-of-00001.parquet`: id, t0, t1, vector of unit length, caption), the FAISS
index over them (`index.faiss`, row i is row i of `items.parquet`) and what makes the embedder again (`embedder.json`
and its weights, where it has fitted some). Memory holds the index, not the corpus.

An embedder that hears (`clap`) embeds the sound of each utterance: a row for each window of it, or one for their mean.
No caption is needed; where there is one it stands in the row. Other embedders (`caption`) embed the text that stands
for an item, its captions and labels or else its transcript (`text` says which), in two passes over the corpus, the
first for the word statistics. One space, so sounds are found by words and, with an embedder that hears, by sounds.

Stored with it: recall of the index against exact search, and self-retrieval: the share of items that come first when
their own vector or text is the query (they, or an item with the same vector: "door knock" and "Knock on door"); and
where sounds have captions, the share of captions whose own item is the first hit, or among the first ten.

Rejected: audio that cannot be read, by an embedder that hears. By others, `no_caption` for an item without what `text`
asks for. With `auto` nothing is asked for: speech that nobody transcribed is no fault of the corpus, so such items are
counted (`undescribed`) and the index may even be empty.
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
from speechprep.pipelines.stages.index.audio_vectors import Earlier, PerRow, hear, heard
from speechprep.pipelines.stages.index.quality import measure, measure_sounds
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
    options: dict[str, Any] = Field(default_factory=dict, description="its parameters, for example {dim: 512}")
    text: Description = Field(
        "auto", description="captions (with labels), transcript, or auto: captions where an item has some"
    )
    rows: PerRow = Field(
        "window", description="of an embedder that hears: a row for each window of a sound, or one for the utterance"
    )
    factory: str = Field(
        AUTO,
        description="FAISS's name of a kind of index; auto: Flat (exact) up to 200,000 rows, then HNSW32, then IVF",
    )
    previous: str | None = Field(
        None, description="an earlier index folder; sounds that it knows are not embedded again, the result is the same"
    )


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
    shared: Embedder = ctx.backend
    embedder = shared.fit(_texts(ctx))
    items = write_sounds(ctx, embedder) if embedder.hears_audio else write_embeddings(ctx, embedder)
    if not items.num_rows and not embedder.hears_audio and ctx.config.text != "auto":
        raise ConfigError("index: no item has a text to be found by; see the rejects")
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
    """The embeddings shard of an embedder that hears; returns the items in its order."""
    earlier = None
    if ctx.config.previous is not None:
        folder = storage.fetch_folder(ctx.config.previous, ctx.scratch / "previous")
        earlier = Earlier(folder, EMBEDDER, EMBEDDINGS, embedder.identity(), ctx.config.rows)
    items = []
    with shards.ShardWriter(str(ctx.out / EMBEDDINGS), vector_schema(embedder.dim)) as writer:
        for some in heard(ctx, embedder, ctx.config.rows, earlier):
            kept = []
            for row, sound, got in some:
                caption = _caption(row, ctx.config.text)
                for (t0, t1), vector in zip(got.times, got.vectors, strict=True):
                    kept.append({"id": row["id"], "t0": t0, "t1": t1, "vector": vector, "caption": caption})
                    known = {"id": row["id"], "audio": row["audio"], "caption": caption, "sound": sound}
                    items.append({**known, "t0": t0, "t1": t1})
            writer.write(kept)
            ctx.done(utterances=len(some), seconds=sum(got.times[-1][1] for _, _, got in some))
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
            continue  # told of in the second pass


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
            found = embedder.embed_text([text for _, text in good])
            kept = []
            for (row, text), vector in zip(good, found, strict=True):
                if not vector.any():
                    _leave_out(ctx, row, BadInput("no_caption", f"no word in {text[:60]!r}"))
                    continue
                found_at = {"id": row["id"], "t0": 0.0, "t1": row["duration"], "caption": text}
                kept.append({**found_at, "vector": vector})
                items.append({**found_at, "audio": row["audio"]})
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


def search(index: str, query: str | None = None, k: int = 10, audio: str | None = None) -> list[Hit]:
    """The `k` rows nearest to a query of an index folder (a URI), best first.

    Args:
        index: the folder.
        query: what to look for in words, or
        audio: an audio file (a URI) to find the likes of; as many windows of it as there are, the best match counts.
        k: how many; of an embedder that does not hear, rows without any likeness are left out.

    Raises:
        StaleArtifact: the folder is not a complete index, or its embedder has changed since.
        ConfigError: the query has no word, or is a sound and the embedder does not hear.
        BadInput: the audio cannot be read.
    """
    if (query is None) == (audio is None):
        raise ConfigError("search needs either words or an audio file to look for")
    with tempfile.TemporaryDirectory() as scratch:
        folder = storage.fetch_folder(index, Path(scratch))
        embedder = load_embedder(folder)
        if query is not None:
            asked = embedder.embed_text([query])
            if not asked.any():
                raise ConfigError(f"the query {query!r} has no word to search for")
        else:
            asked = _sound_query(embedder, str(audio), folder)
        best: dict[tuple[Any, ...], Hit] = {}
        for hit in (hit for hits in VectorIndex.load(folder).search(asked, k) for hit in hits):
            row = (hit.id, hit.t0, hit.t1)
            if (row not in best or hit.score > best[row].score) and (hit.score > 0 or embedder.hears_audio):
                best[row] = hit
        return sorted(best.values(), key=lambda hit: -hit.score)[:k]


def _sound_query(embedder: Embedder, audio: str, folder: Path) -> F32:
    made_by = json.loads((folder / EMBEDDER).read_text())
    if not embedder.hears_audio:
        raise ConfigError(
            f"the index was made by {made_by['embedder']!r}, which does not hear; search it with words, or build it "
            "with --set embedder=clap"
        )
    sound = decode(audio, sample_rate=embedder.sample_rate)
    return hear(embedder, [sound], made_by["rows"])[0].vectors


def load_embedder(folder: Path) -> Embedder:
    """The embedder that an index was made with, ready to use.

    Raises:
        StaleArtifact: there is none, or it is not the same any more.
    """
    try:
        made_by = json.loads((folder / EMBEDDER).read_text())
    except FileNotFoundError:
        raise StaleArtifact(f"{folder} is not an index: {EMBEDDER} is missing") from None
    embedder: Embedder = make("embedders", made_by["embedder"], made_by["options"])
    embedder.load()
    embedder.restore(folder)
    found = differences(made_by["identity"], json.loads(canonical(embedder.identity())))
    if found:
        raise StaleArtifact(f"{folder} was made by another embedder ({'; '.join(found)}); build the index again")
    return embedder


def make_embedder(config: Config) -> Embedder:
    """The unloaded embedder of a configuration.

    Raises:
        ConfigError: no such embedder, or it has no such parameter.
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
    backend=lambda config, extras: make_embedder(config),
    help="Embed utterances and build a retrieval index for `speechprep search`.",
    examples=(
        "speechprep index --input run/utterances --out run/index",
        "speechprep index --input run --out run/index --set backend=clap --set options.model=models/clap",
    ),
)
