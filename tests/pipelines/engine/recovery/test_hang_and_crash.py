"""Inputs that hang are rejected; a record that kills its process is, too, without the disk of the driver."""

from __future__ import annotations

import threading
from dataclasses import replace
from pathlib import Path

import pytest
from helpers import object_store
from helpers.kills import forked
from helpers.toy_chain import chain, run

from speechprep.artifacts import shards, storage
from speechprep.errors import BadInput, StorageError
from speechprep.pipelines.engine.execute import execute
from speechprep.pipelines.engine.plan import prepare
from speechprep.pipelines.engine.recovery.attempts import Attempt, crashed
from speechprep.pipelines.engine.recovery.hashes import checked_audio
from speechprep.pipelines.engine.recovery.time_limit import LimitedCalls, limited_blocks, result_or_reject


def test_a_call_beyond_its_limit_is_a_reject_and_the_next_one_runs():
    never = threading.Event()
    with LimitedCalls() as calls:
        assert calls.call(lambda: 1, 10) == 1
        with pytest.raises(BadInput, match=r"within 0\.1 s.*--input-timeout") as error:
            calls.call(never.wait, 0.1)
        assert error.value.code == "input_timeout"
        assert calls.call(lambda: 2, 10) == 2
        with pytest.raises(ZeroDivisionError):
            calls.call(lambda: 1 / 0, 10)
    never.set()


def test_blocks_that_stop_coming_are_a_reject():
    never = threading.Event()

    def blocks():
        yield 1
        never.wait()

    limited = limited_blocks(blocks(), 0.1)
    assert next(limited) == 1
    with pytest.raises(BadInput, match="did not end"):
        next(limited)
    assert isinstance(result_or_reject(never.wait, 0.1), BadInput)
    never.set()


def test_audio_that_was_replaced_is_a_reject(tmp_path, monkeypatch):
    path = tmp_path / "a.wav"
    path.write_bytes(b"the first")
    sha256 = shards.sha256_file(path)
    objects = object_store.use(monkeypatch)
    objects["bucket/a.wav"] = b"the first"
    uri = f"{object_store.SCHEME}://bucket/a.wav"
    assert checked_audio(str(path), sha256) == str(path)
    assert checked_audio(uri, sha256) == b"the first"
    assert checked_audio(b"embedded", "0" * 64) == b"embedded"
    assert checked_audio(str(tmp_path / "absent"), sha256) == str(tmp_path / "absent")
    path.write_bytes(b"the other")
    objects["bucket/a.wav"] = b"the other"
    for source in (str(path), uri):
        with pytest.raises(BadInput, match="replaced") as error:
            checked_audio(source, sha256)
        assert error.value.code == "audio_changed"


def remote_task(out: Path, kill: int):
    """A task of `double` for a worker without the disk of the driver."""
    run(chain(out)[:1])
    step = chain(out, options={"kill": kill})[1]
    task = prepare(step, work=str(out / "elsewhere")).tasks[1]
    return replace(task, work=None)


def test_a_record_that_kills_its_process_is_rejected_when_an_engine_repeats_the_task(tmp_path):
    task = remote_task(tmp_path, kill=33)
    codes = [forked(execute, task) for _ in range(4)]
    assert codes == [-9, -9, -9, 0]  # with the whole shard, then twice with this record
    (written,) = shards.read_batches(f"{task.folder}/part-00001-of-00004.parquet")
    rows = written.column("id").to_pylist()
    assert rows == [f"n{n}" for n in range(25, 50) if n != 33]
    (batch,) = shards.read_batches(f"{task.folder}/_rejects/part-00001-of-00004.parquet")
    assert [(row["id"], row["code"]) for row in batch.to_pylist()] == [("n33", "process_died")]
    assert not storage.sizes(f"{task.folder}/_state").keys() - {"00001-of-00004.json"}


def test_a_copy_of_a_task_that_still_runs_is_no_crash(tmp_path):
    task = remote_task(tmp_path, kill=-1)
    first = Attempt.begin(task)
    second = Attempt.begin(task)
    assert not second.task.one_by_one
    assert crashed(task.folder) == set()
    first.end()
    second.end()


def test_a_process_that_dies_outside_of_any_record_ends_with_the_shard(tmp_path):
    task = remote_task(tmp_path, kill=-1)
    late = replace(task, config={**task.config, "late": True})
    assert [forked(execute, late) for _ in range(3)] == [-11, -11, -11]
    with pytest.raises(StorageError, match=r"shard 1: its process dies, on none of its records"):
        execute(late)
