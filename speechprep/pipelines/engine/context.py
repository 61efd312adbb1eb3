"""Context of a task: its share of the inputs, its output, rejects, progress and keyed random numbers."""

from __future__ import annotations

import json
import queue
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from speechprep.artifacts import shards, storage
from speechprep.artifacts.manifest import Manifest, read
from speechprep.artifacts.schemas import REJECTS
from speechprep.errors import BadInput
from speechprep.tokenizers.arrays import keyed_random

DECODE_AHEAD = 4  # utterances waiting decoded; bounds memory
PROGRESS_EVERY = 0.3  # seconds between two writes of the progress file


@dataclass
class Input:
    """A role's folder and, where it is sharded, the one file of this piece of work."""

    folder: str
    file: str | None  # None: the whole folder
    _manifest: Manifest | None = None

    @property
    def manifest(self) -> Manifest:
        """The folder's manifest, read once."""
        if self._manifest is None:
            self._manifest = read(self.folder)
        return self._manifest

    def files(self) -> list[str]:
        """URIs of the Parquet shards to read, in order."""
        names = [self.file] if self.file else [s.name for s in self.manifest.shards if s.name.endswith(".parquet")]
        return [storage.join(self.folder, name) for name in names]


@dataclass
class Work:
    """Facts of one task, from the executor."""

    stage: str
    config: Any
    seed: int
    shard: int
    shards: int
    out_folder: str
    inputs: dict[str, Input]
    backend: Any
    scratch: Path
    payload: Path | None = None
    progress: Path | None = None
    crumb: Path | None = None
    suspects: frozenset[str] = frozenset()
    alone: bool = False  # a process has died in this shard: one record at a time, each under `guard`
    retry: str = ""
    rejects: list[dict[str, Any]] = field(default_factory=list)


class ShardContext:
    """One piece of work of one stage. See the attributes of `Work`; `out` and `facts` serve artifacts."""

    def __init__(self, work: Work) -> None:
        self.work = work
        self.stage, self.config, self.seed = work.stage, work.config, work.seed
        self.shard, self.shards = work.shard, work.shards
        self.backend, self.payload, self.scratch = work.backend, work.payload, work.scratch
        self.out = work.scratch / "out"
        self.facts: dict[str, Any] = {}
        self.schema: pa.Schema | None = None
        self.utterances = 0
        self.seconds = 0.0
        self.counters: dict[str, float] = {}
        self.rejects: list[dict[str, Any]] = list(work.rejects)
        self.licences: set[str] = set()
        self.written: dict[int, shards.ShardWriter] = {}
        self.out_shards = work.shards
        self._said = 0.0
        self._note = ""

    # -- inputs ------------------------------------------------------------------------------------------------------

    def has(self, role: str) -> bool:
        """True where an optional input is there."""
        return role in self.work.inputs

    def batches(self, role: str, columns: Sequence[str] | None = None, rows: int = 256) -> Iterator[pa.RecordBatch]:
        """Rows of this shard of an input (of all its shards where the input is read whole), in order."""
        for file in self.work.inputs[role].files():
            yield from shards.read_batches(file, columns, rows)

    def table(self, role: str, columns: Sequence[str] | None = None) -> pa.Table:
        """The same, at once."""
        schema = self.input_schema(role)
        if columns is not None:
            schema = pa.schema([schema.field(name) for name in columns])
        return pa.Table.from_batches(list(self.batches(role, columns, rows=4096)), schema=schema)

    def input_schema(self, role: str) -> pa.Schema:
        """Schema of an input's shards."""
        return shards.read_schema(self.work.inputs[role].files()[0])

    def path(self, role: str) -> Path:
        """Local folder of an artifact; a remote one is fetched once for each piece of work."""
        return storage.fetch_folder(self.work.inputs[role].folder, self.scratch / "inputs" / role)

    def extra(self, role: str) -> dict[str, Any]:
        """Facts in the manifest of an input, from its stage."""
        return self.work.inputs[role].manifest.extra

    def content(self, role: str) -> str:
        """Content hash of an input."""
        return self.work.inputs[role].manifest.content

    def total(self, role: str) -> dict[str, float]:
        """`rows` and `seconds` of an input over all its shards."""
        found = self.work.inputs[role].manifest
        return {"rows": found.rows, "seconds": found.seconds}

    # -- outputs -----------------------------------------------------------------------------------------------------

    def write(self, data: pa.RecordBatch | pa.Table | Sequence[dict[str, Any]], shard: int | None = None) -> None:
        """Append rows to the output shard. A stage over whole folders may choose the shard."""
        if isinstance(data, pa.RecordBatch | pa.Table) and "licence" in data.schema.names:
            self.licences.update(x for x in data.column("licence").unique().to_pylist() if x)
        self.writer(self.shard if shard is None else shard).write(data)

    def writer(self, shard: int) -> shards.ShardWriter:
        """The open writer of an output shard."""
        if shard not in self.written:
            name = shards.shard_name(shard, self.out_shards)
            self.written[shard] = shards.ShardWriter(storage.join(self.work.out_folder, name), self.schema)
        return self.written[shard]

    def open_shards(self, n: int) -> None:
        """Declare the number of output shards, for a stage over whole folders; before the first `write`."""
        self.out_shards = n

    def reject(self, id: str | None, error: BadInput, audio: str | None = None) -> None:
        """An unusable record: it goes to `rejects` with its reason and is counted."""
        self.rejects.append(
            {
                "id": id or "",
                "stage": self.stage,
                "code": error.code,
                "message": str(error),
                "audio": audio,
                "retry": self.work.retry,
            }
        )
        self._say()

    def reject_batch(self) -> pa.RecordBatch:
        """The rejects so far, ordered by id."""
        rows = sorted(self.rejects, key=lambda r: (r["id"], r["code"], r["message"]))
        return pa.RecordBatch.from_pylist(rows, schema=REJECTS)

    # -- progress and randomness -------------------------------------------------------------------------------------

    def done(self, utterances: int = 0, seconds: float = 0.0, **counters: float) -> None:
        """Count finished work; shown live and summed into the manifest."""
        self.utterances += utterances
        self.seconds += seconds
        for name, value in counters.items():
            self.counters[name] = self.counters.get(name, 0) + value
        self._say()

    def note(self, text: str) -> None:
        """Say where long work on one thing is; shown live, kept nowhere."""
        self._note = text
        self._say()

    def _say(self) -> None:
        if self.work.progress is None or time.monotonic() - self._said < PROGRESS_EVERY:
            return
        self._said = time.monotonic()
        counts = {"utterances": self.utterances, "seconds": self.seconds, "rejects": len(self.rejects)}
        state = {**counts, "note": self._note}
        storage.write_bytes(str(self.work.progress), json.dumps(state).encode())

    def rng(self, key: str) -> np.random.Generator:
        """A random generator from the run's seed, the stage and `key`, and nothing else."""
        return keyed_random.generator(self.seed, self.stage, key)

    # -- audio -------------------------------------------------------------------------------------------------------

    @contextmanager
    def guard(self, ids: Sequence[str]) -> Iterator[None]:
        """Record the ids under work, for the identification of a record with a crash.

        It is left only where a process has died in the shard before.
        """
        if self.work.crumb is None:
            yield
            return
        storage.write_bytes(str(self.work.crumb), json.dumps(list(ids)).encode())
        yield
        self.work.crumb.unlink(missing_ok=True)

    def died_on(self, id: str) -> BadInput | None:
        """Why a record is not to be tried again: processes died on it, alone, twice. None for all others."""
        if id not in self.work.suspects:
            return None
        return BadInput("process_died", f"the worker process died twice on {id!r} (a crash, or out of memory)")

    def audio(self, batch: pa.RecordBatch) -> Iterator[tuple[int, NDArray[np.float32] | BadInput]]:
        """Decoded audio of the utterances of a batch, in row order, decoding ahead in a thread.

        Yields (row, float32 mono at `backend.sample_rate`) or (row, BadInput). `batch` needs the columns id, audio,
        audio_bytes, offset and duration. Where a process has died in the shard, each is decoded when it is asked for:
        decoding ahead, it would die on one utterance while it works on another.
        """
        ids = batch.column("id").to_pylist()
        if self.work.alone:
            for row, id in enumerate(ids):
                with self.guard([id]):
                    yield row, self._decode(batch, row, id)
            return
        decoded: queue.Queue[NDArray[np.float32] | BadInput | BaseException] = queue.Queue(DECODE_AHEAD)
        stop = threading.Event()

        def put(item: NDArray[np.float32] | BadInput | BaseException) -> bool:
            while not stop.is_set():
                try:
                    decoded.put(item, timeout=0.2)
                except queue.Full:
                    continue
                return True
            return False

        def work() -> None:
            try:
                for row in range(batch.num_rows):
                    if not put(self._decode(batch, row, ids[row])):
                        return
            except BaseException as error:  # noqa: BLE001 - carried to the consumer, which raises it
                put(error)

        thread = threading.Thread(target=work, daemon=True)
        thread.start()
        try:
            for row in range(batch.num_rows):
                item = decoded.get()
                if isinstance(item, BaseException) and not isinstance(item, BadInput):
                    raise item
                yield row, item
        finally:
            stop.set()
            thread.join()

    def _decode(self, batch: pa.RecordBatch, row: int, id: str) -> NDArray[np.float32] | BadInput:
        from speechprep.artifacts.media import audio

        died = self.died_on(id)
        if died is not None:
            return died
        value = batch.column("audio_bytes")[row].as_py()
        source = value if value is not None else batch.column("audio")[row].as_py()
        try:
            return audio.decode(
                source,
                offset=batch.column("offset")[row].as_py() or 0.0,
                duration=batch.column("duration")[row].as_py(),
                sample_rate=self.backend.sample_rate,
            )
        except BadInput as error:
            return error
