"""Audio vectors of utterances for the stage `index`: decoding, windows, and reuse of an earlier index.

The vectors of a sound in an earlier index of the same embedder (same bytes, same part of them) are copied. They equal
the vectors of a new computation, so the index does not depend on `previous`.
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
from speechprep.artifacts.run import open_dataset
from speechprep.errors import BadInput, StaleArtifact
from speechprep.pipelines.backends import Embedder
from speechprep.pipelines.backends.embedders.sound_windows import pool
from speechprep.pipelines.engine.context import ShardContext

SOUND_COLUMNS = ("id", "audio", "audio_bytes", "offset", "duration", "audio_sha256", "captions", "labels", "text")
PLAIN_COLUMNS = tuple(name for name in SOUND_COLUMNS if name != "audio_bytes")
ROWS = 64  # utterances read at once; some carry their audio

F32 = NDArray[np.float32]
PerRow = Literal["window", "utterance"]


class AudioVectors(NamedTuple):
    """Audio vectors of one utterance: `vectors` (n, dim) of the parts `times` [(t0, t1)] in seconds."""

    times: list[tuple[float, float]]
    vectors: F32


class PreviousIndex:
    """Stored audio vectors of an earlier index, by digest of the sound."""

    def __init__(self, folder: Path, made_by: str, identity: dict[str, Any], per_row: PerRow) -> None:
        """Read the folder.

        Raises:
            StaleArtifact: not an index, or an index of another embedder or option `rows`.
        """
        try:
            metadata = json.loads((folder / made_by).read_text())
            items = pq.read_table(folder / ITEMS, schema=ITEMS_SCHEMA, page_checksum_verification=True)
            vectors = open_dataset(str(folder)).table(["vector"]).column("vector").combine_chunks()
        except (OSError, ValueError) as error:
            raise StaleArtifact(
                f"index.previous = {folder} is not a readable index ({error}); give the folder of an index"
            ) from None
        expected = {"identity": json.loads(canonical(identity)), "rows": per_row}
        changes = differences({"identity": metadata["identity"], "rows": metadata.get("rows")}, expected)
        if changes:
            raise StaleArtifact(f"index.previous = {folder} has other options ({'; '.join(changes[:4])}); leave it out")
        self._vectors = vectors.flatten().to_numpy().reshape(items.num_rows, -1 if items.num_rows else 0)
        self._times = list(zip(items.column("t0").to_pylist(), items.column("t1").to_pylist(), strict=True))
        self._rows = _groups(items)

    def get(self, sound: str | None) -> AudioVectors | None:
        """The stored vectors of a sound."""
        if sound is None or sound not in self._rows:
            return None
        first, stop = self._rows[sound]
        return AudioVectors(self._times[first:stop], self._vectors[first:stop])


def _groups(items: pa.Table) -> dict[str, tuple[int, int]]:
    """[first, stop) of the rows of each sound; for a sound of several items, the rows of the first item."""
    rows_of: dict[str, tuple[int, int]] = {}
    owner: dict[str, str] = {}
    for row, (sound, id) in enumerate(
        zip(items.column("sound").to_pylist(), items.column("id").to_pylist(), strict=True)
    ):
        if sound is not None and owner.setdefault(sound, id) == id:
            rows_of[sound] = (rows_of.get(sound, (row, row))[0], row + 1)
    return rows_of


def sound_of(row: dict[str, Any]) -> str | None:
    """Digest of the utterance's part of its audio file; None if the row has no digest of the file."""
    if not row["audio_sha256"]:
        return None
    return hashlib.sha256(f"{row['audio_sha256']} {row['offset']!r} {row['duration']!r}".encode()).hexdigest()[:32]


def embed_sounds(embedder: Embedder, sounds: list[F32], per_row: PerRow) -> list[AudioVectors]:
    """The vectors of some sounds: one for each window, or their mean."""
    result = []
    for sound, vectors in zip(sounds, embedder.embed_audio(sounds), strict=True):
        if per_row == "utterance":
            result.append(AudioVectors([(0.0, len(sound) / embedder.sample_rate)], pool(vectors)))
        else:
            parts = embedder.spans(len(sound))
            result.append(
                AudioVectors([(t0 / embedder.sample_rate, t1 / embedder.sample_rate) for t0, t1 in parts], vectors)
            )
    return result


def embed_utterances(
    ctx: ShardContext, embedder: Embedder, per_row: PerRow, previous: PreviousIndex | None
) -> Iterator[list[tuple[dict[str, Any], str | None, AudioVectors]]]:
    """Utterances with readable audio, in order and in blocks: (row, digest of its sound, its audio vectors)."""
    for batch in ctx.batches("utterances", SOUND_COLUMNS, rows=ROWS):
        rows = batch.select(PLAIN_COLUMNS).to_pylist()
        sounds = [sound_of(row) for row in rows]
        by_row = {
            i: stored for i, sound in enumerate(sounds) if previous and (stored := previous.get(sound)) is not None
        }
        ctx.done(reused=len(by_row))
        new = [i for i in range(len(rows)) if i not in by_row]
        for at, audio_vectors in _embed_audio(ctx, embedder, batch.take(pa.array(new, pa.int64())), per_row):
            by_row[new[at]] = audio_vectors
        yield [(rows[i], sounds[i], by_row[i]) for i in sorted(by_row)]


def _embed_audio(
    ctx: ShardContext, embedder: Embedder, batch: pa.RecordBatch, per_row: PerRow
) -> Iterator[tuple[int, AudioVectors]]:
    block: list[tuple[int, F32]] = []
    together = 1 if ctx.one_by_one else embedder.batch
    for row, audio in ctx.audio(batch):
        if isinstance(audio, BadInput):
            ctx.reject(batch.column("id")[row].as_py(), audio, batch.column("audio")[row].as_py())
            continue
        block.append((row, audio))
        if len(block) >= together:
            yield from _embed_block(embedder, block, per_row)
            block = []
    yield from _embed_block(embedder, block, per_row)


def _embed_block(
    embedder: Embedder, block: list[tuple[int, F32]], per_row: PerRow
) -> Iterator[tuple[int, AudioVectors]]:
    if block:
        yield from zip(
            [row for row, _ in block], embed_sounds(embedder, [audio for _, audio in block], per_row), strict=True
        )
