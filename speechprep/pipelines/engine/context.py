"""Context of a task on a worker: inputs, output, rejects, progress and keyed random numbers."""

from __future__ import annotations

import json
import queue
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from speechprep.artifacts import shards, storage
from speechprep.artifacts.schemas import REJECTS
from speechprep.errors import BadInput
from speechprep.pipelines.engine.recovery.hashes import check_copy, checked_audio
from speechprep.pipelines.engine.recovery.time_limit import LimitedCalls
from speechprep.pipelines.engine.task import Work
from speechprep.tokenizers.arrays import keyed_random

DECODE_AHEAD = 4  # decoded utterances in the queue; limits memory
PROGRESS_EVERY = 0.3  # seconds between two writes of the progress file


class ShardContext:
    """Context of one task for its stage: inputs, output, rejects, progress and random numbers.

    Attributes:
        stage: name of the stage.
        config: validated options.
        seed: seed of the run.
        shard, shards: number of the output shard, and of all output shards.
        backend: loaded backend, None if the stage has none.
        payload: local file with the records of the shard, from the plan of the stage.
        scratch: local folder for temporary files.
        out: local folder for the files of an artifact.
        facts: entries for `extra` in the manifest of an artifact.
    """

    def __init__(self, work: Work) -> None:
        task = work.task
        self.work = work
        self.stage, self.config, self.seed = task.stage, work.config, task.seed
        self.shard, self.shards = task.shard, task.shards
        self.backend, self.scratch = work.backend, work.scratch
        self.payload = Path(task.payload) if task.payload else None
        self.out = work.scratch / "out"
        self.facts: dict[str, Any] = {}
        self.schema: pa.Schema | None = None
        self.utterances = 0
        self.seconds = 0.0
        self.counters: dict[str, float] = {}
        self.rejects: list[dict[str, Any]] = list(task.rejects)
        self.licences: set[str] = set()
        self.written: dict[int, shards.ShardWriter] = {}
        self.out_shards = task.shards
        self._position = ""
        self._progress_written = 0.0  # time.monotonic()
        self._skip_ids = frozenset(task.skip_ids)

    @property
    def one_by_one(self) -> bool:
        """True after a crash in this shard: the stage must process one record at a time, each under `guard`."""
        return self.work.task.one_by_one

    @property
    def time_limit(self) -> float:
        """Time limit in seconds for the reading of one input, besides its duration."""
        return self.work.task.time_limit

    @property
    def folder(self) -> str:
        """URI of the output folder."""
        return self.work.task.folder

    # -- inputs ------------------------------------------------------------------------------------------------------

    def has(self, role: str) -> bool:
        """True if an optional input is present."""
        return role in self.work.inputs

    def batches(self, role: str, columns: Sequence[str] | None = None, rows: int = 256) -> Iterator[pa.RecordBatch]:
        """Rows of an input in order: of this shard, or of all shards if the input is read whole."""
        for file in self.work.inputs[role].files():
            yield from shards.read_batches(file, columns, rows)

    def table(self, role: str, columns: Sequence[str] | None = None) -> pa.Table:
        """Rows of an input as one table, see `batches`."""
        schema = self.input_schema(role)
        if columns is not None:
            schema = pa.schema([schema.field(name) for name in columns])
        return pa.Table.from_batches(list(self.batches(role, columns, rows=4096)), schema=schema)

    def input_schema(self, role: str) -> pa.Schema:
        """Schema of an input's shards."""
        return shards.read_schema(self.work.inputs[role].files()[0])

    def path(self, role: str) -> Path:
        """Local folder of an artifact. An artifact on object storage is copied once for each task.

        Raises:
            DamagedFile: a file has another content than recorded.
        """
        source = self.work.inputs[role]
        folder = storage.fetch_folder(source.folder, self.scratch / "inputs" / role)
        check_copy(folder, source.folder, source.manifest.shards)
        return folder

    def extra(self, role: str) -> dict[str, Any]:
        """Entries of `extra` in the manifest of an input."""
        return self.work.inputs[role].manifest.extra

    def content(self, role: str) -> str:
        """Content hash of an input."""
        return self.work.inputs[role].manifest.content

    def total(self, role: str) -> dict[str, float]:
        """`rows` and `seconds` of an input over all its shards."""
        manifest = self.work.inputs[role].manifest
        return {"rows": manifest.rows, "seconds": manifest.seconds}

    # -- outputs -----------------------------------------------------------------------------------------------------

    def write(self, data: pa.RecordBatch | pa.Table | Sequence[dict[str, Any]], shard: int | None = None) -> None:
        """Append rows to the output shard. A stage that reads whole folders may choose the shard."""
        if isinstance(data, pa.RecordBatch | pa.Table) and "licence" in data.schema.names:
            self.licences.update(x for x in data.column("licence").unique().to_pylist() if x)
        self.writer(self.shard if shard is None else shard).write(data)

    def writer(self, shard: int) -> shards.ShardWriter:
        """The open writer of an output shard."""
        if shard not in self.written:
            name = shards.shard_name(shard, self.out_shards)
            self.written[shard] = shards.ShardWriter(storage.join(self.folder, name), self.schema)
        return self.written[shard]

    def open_shards(self, n: int) -> None:
        """Set the number of output shards before the first `write`, in a stage that reads whole folders."""
        self.out_shards = n

    def reject(self, id: str | None, error: BadInput, audio: str | None = None) -> None:
        """Reject a record: add a row to `rejects` with the reason, and count it."""
        self.rejects.append(
            {
                "id": id or "",
                "stage": self.stage,
                "code": error.code,
                "message": str(error),
                "audio": audio,
                "retry": self.work.task.retry,
            }
        )
        self._write_progress()

    def reject_batch(self) -> pa.RecordBatch:
        """The rejects so far, ordered by id."""
        rows = sorted(self.rejects, key=lambda r: (r["id"], r["code"], r["message"]))
        return pa.RecordBatch.from_pylist(rows, schema=REJECTS)

    # -- progress and randomness -------------------------------------------------------------------------------------

    def done(self, utterances: int = 0, seconds: float = 0.0, **counters: float) -> None:
        """Count finished work, for the progress display and for the counters of the manifest."""
        self.utterances += utterances
        self.seconds += seconds
        for name, value in counters.items():
            self.counters[name] = self.counters.get(name, 0) + value
        self._write_progress()

    def note(self, position: str) -> None:
        """Report the position within a long task, for the progress display only."""
        self._position = position
        self._write_progress()

    def _write_progress(self) -> None:
        file = self.work.progress_file
        if file is None or time.monotonic() - self._progress_written < PROGRESS_EVERY:
            return
        self._progress_written = time.monotonic()
        counts = {"utterances": self.utterances, "seconds": self.seconds, "rejects": len(self.rejects)}
        storage.write_bytes(str(file), json.dumps({**counts, "note": self._position}).encode())

    def rng(self, key: str) -> np.random.Generator:
        """Random generator, a function of the seed of the run, the stage and `key` only."""
        return keyed_random.generator(self.seed, self.stage, key)

    # -- audio -------------------------------------------------------------------------------------------------------

    @contextmanager
    def guard(self, ids: Sequence[str]) -> Iterator[None]:
        """Store the ids in progress during the block, so that the driver can identify a record with a crash.

        They are stored only after a crash in the shard: see `one_by_one`.
        """
        file, attempt = self.work.in_progress_file, self.work.attempt
        noted = attempt if attempt is not None and self.one_by_one else None
        if file is not None:
            storage.write_bytes(str(file), json.dumps(list(ids)).encode())
        if noted is not None:
            noted.note(ids)
        yield
        if file is not None:
            file.unlink(missing_ok=True)
        if noted is not None:
            noted.note([])

    def crash_error(self, id: str) -> BadInput | None:
        """The error of a record with two crashes of its worker process; None for all other records."""
        if id not in self._skip_ids:
            return None
        return BadInput("process_died", f"the worker process died twice on {id!r} (a crash, or out of memory)")

    def audio(self, batch: pa.RecordBatch) -> Iterator[tuple[int, NDArray[np.float32] | BadInput]]:
        """Decoded audio of the utterances of a batch, in row order; a thread decodes ahead.

        After a crash in the shard, each utterance is decoded on request. Decoding ahead would attribute a crash to
        the wrong utterance. An utterance that is not decoded within its time limit is a BadInput.

        Args:
            batch: rows with the columns id, audio, audio_bytes, offset, duration and audio_sha256.

        Yields:
            (row, float32 mono samples at `backend.sample_rate`) or (row, BadInput).
        """
        ids = batch.column("id").to_pylist()
        if self.one_by_one:
            with LimitedCalls() as calls:
                for row, id in enumerate(ids):
                    with self.guard([id]):
                        yield row, self._decode_in_time(batch, row, id, calls)
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

        def decode_ahead() -> None:
            with LimitedCalls() as calls:
                try:
                    for row in range(batch.num_rows):
                        if not put(self._decode_in_time(batch, row, ids[row], calls)):
                            return
                except BaseException as error:  # noqa: BLE001 - the consumer raises it
                    put(error)

        thread = threading.Thread(target=decode_ahead, daemon=True)
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

    def _decode_in_time(
        self, batch: pa.RecordBatch, row: int, id: str, calls: LimitedCalls
    ) -> NDArray[np.float32] | BadInput:
        seconds = self.time_limit + (batch.column("duration")[row].as_py() or 0.0)
        try:
            return calls.call(lambda: self._decode(batch, row, id), seconds)
        except BadInput as error:
            return error

    def _decode(self, batch: pa.RecordBatch, row: int, id: str) -> NDArray[np.float32] | BadInput:
        from speechprep.artifacts.media import audio

        crash = self.crash_error(id)
        if crash is not None:
            return crash
        value = batch.column("audio_bytes")[row].as_py()
        source = value if value is not None else batch.column("audio")[row].as_py()
        try:
            return audio.decode(
                checked_audio(source, batch.column("audio_sha256")[row].as_py()),
                offset=batch.column("offset")[row].as_py() or 0.0,
                duration=batch.column("duration")[row].as_py(),
                sample_rate=self.backend.sample_rate,
            )
        except BadInput as error:
            return error
