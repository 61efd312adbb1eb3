"""Vectors of what utterances sound like, for the stage `index`: decoding, windows, and what an earlier index knows.

A sound that an earlier index of the same embedder holds (same bytes, same part of them) is neither decoded nor embedded
again. Its vectors are the very ones a new computation would give, so the index does not depend on how it grew.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from speechprep.artifacts.index import ITEMS, ITEMS_SCHEMA
from speechprep.artifacts.manifest import canonical, differences
from speechprep.errors import BadInput, StaleArtifact
from speechprep.pipelines.backends import Embedder
from speechprep.pipelines.backends.embedders.sound_windows import pool
from speechprep.pipelines.engine.context import ShardContext

SOUND_COLUMNS = ("id", "audio", "audio_bytes", "offset", "duration", "audio_sha256", "captions", "labels", "text")
PLAIN_COLUMNS = tuple(name for name in SOUND_COLUMNS if name != "audio_bytes")
ROWS = 64  # utterances read at once; some carry their audio

F32 = NDArray[np.float32]
PerRow = Literal["window", "utterance"]


class Heard(NamedTuple):
    """What was heard of one utterance: `vectors` (n, dim) of the parts `times` [(t0, t1)] in seconds."""

    times: list[tuple[float, float]]
    vectors: F32


class Earlier:
    """The sounds of an index folder, by digest."""

    def __init__(self, folder: Path, made_by: str, embeddings: str, identity: dict[str, Any], per_row: PerRow) -> None:
        """Read the folder.

        Raises:
            StaleArtifact: it is no index, or not one of the same embedder and rows.
        """
        try:
            made = json.loads((folder / made_by).read_text())
            items = pq.read_table(folder / ITEMS, schema=ITEMS_SCHEMA)
            vectors = pq.read_table(folder / embeddings, columns=["vector"]).column("vector").combine_chunks()
        except (OSError, ValueError) as error:
            raise StaleArtifact(f"index.previous = {folder} is not a readable index ({error})") from None
        wanted = {"identity": json.loads(canonical(identity)), "rows": per_row}
        other = differences({"identity": made["identity"], "rows": made.get("rows")}, wanted)
        if other:
            raise StaleArtifact(f"index.previous = {folder} was made otherwise ({'; '.join(other[:4])}); leave it out")
        self._vectors = vectors.flatten().to_numpy().reshape(items.num_rows, -1)
        self._times = list(zip(items.column("t0").to_pylist(), items.column("t1").to_pylist(), strict=True))
        self._rows = _groups(items)

    def get(self, sound: str | None) -> Heard | None:
        """What is known of a sound."""
        if sound is None or sound not in self._rows:
            return None
        first, stop = self._rows[sound]
        return Heard(self._times[first:stop], self._vectors[first:stop])


def _groups(items: pa.Table) -> dict[str, tuple[int, int]]:
    """[first, stop) of the rows of each sound; of a sound that several items have, those of the first item."""
    found: dict[str, tuple[int, int]] = {}
    owner: dict[str, str] = {}
    for row, (sound, id) in enumerate(
        zip(items.column("sound").to_pylist(), items.column("id").to_pylist(), strict=True)
    ):
        if sound is not None and owner.setdefault(sound, id) == id:
            found[sound] = (found.get(sound, (row, row))[0], row + 1)
    return found


def sound_of(row: dict[str, Any]) -> str | None:
    """Digest of the part of an audio file that an utterance is; None where the file's own digest is not known."""
    if not row["audio_sha256"]:
        return None
    return hashlib.sha256(f"{row['audio_sha256']} {row['offset']!r} {row['duration']!r}".encode()).hexdigest()[:32]


def hear(embedder: Embedder, sounds: list[F32], per_row: PerRow) -> list[Heard]:
    """The vectors of some sounds: one for each window, or their mean."""
    made = []
    for sound, vectors in zip(sounds, embedder.embed_audio(sounds), strict=True):
        if per_row == "utterance":
            made.append(Heard([(0.0, len(sound) / embedder.sample_rate)], pool(vectors)))
        else:
            parts = embedder.spans(len(sound))
            made.append(Heard([(t0 / embedder.sample_rate, t1 / embedder.sample_rate) for t0, t1 in parts], vectors))
    return made


def heard(
    ctx: ShardContext, embedder: Embedder, per_row: PerRow, earlier: Earlier | None
) -> Iterator[list[tuple[dict[str, Any], str | None, Heard]]]:
    """All utterances that can be heard, some at a time and in order: (row, digest of its sound, what was heard)."""
    for batch in ctx.batches("utterances", SOUND_COLUMNS, rows=ROWS):
        rows = batch.select(PLAIN_COLUMNS).to_pylist()
        sounds = [sound_of(row) for row in rows]
        found = {i: known for i, sound in enumerate(sounds) if earlier and (known := earlier.get(sound)) is not None}
        ctx.done(reused=len(found))
        new = [i for i in range(len(rows)) if i not in found]
        for at, got in _listen(ctx, embedder, batch.take(pa.array(new, pa.int64())), per_row):
            found[new[at]] = got
        yield [(rows[i], sounds[i], found[i]) for i in sorted(found)]


def _listen(
    ctx: ShardContext, embedder: Embedder, batch: pa.RecordBatch, per_row: PerRow
) -> Iterator[tuple[int, Heard]]:
    held: list[tuple[int, F32]] = []
    together = 1 if ctx.work.alone else embedder.batch
    for row, audio in ctx.audio(batch):
        if isinstance(audio, BadInput):
            ctx.reject(batch.column("id")[row].as_py(), audio, batch.column("audio")[row].as_py())
            continue
        held.append((row, audio))
        if len(held) >= together:
            yield from _embed(embedder, held, per_row)
            held = []
    yield from _embed(embedder, held, per_row)


def _embed(embedder: Embedder, held: list[tuple[int, F32]], per_row: PerRow) -> Iterator[tuple[int, Heard]]:
    if held:
        yield from zip([row for row, _ in held], hear(embedder, [audio for _, audio in held], per_row), strict=True)
