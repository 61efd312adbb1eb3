"""The engine: commits once, resumes, isolates, and gives the same bytes whatever ran it."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from helpers import toy_stages as toy
from helpers.toy_chain import chain, run

from speechprep.artifacts import manifest, shards, storage
from speechprep.errors import BadInput, ConfigError, StaleArtifact, StorageError, TooManyRejects
from speechprep.pipelines.engine import failures
from speechprep.pipelines.engine.plan import Step
from speechprep.pipelines.engine.run import UnfinishedSlices


def tree(folder: Path) -> dict[str, str]:
    return {
        p.relative_to(folder).as_posix(): hashlib.sha256(p.read_bytes()).hexdigest()
        for p in sorted(folder.rglob("*"))
        if p.is_file()
    }


def rows(folder: Path) -> list[dict]:
    names = shards.shard_names(list(storage.sizes(str(folder))))
    return [row for name in names for batch in shards.read_batches(str(folder / name)) for row in batch.to_pylist()]


def test_a_chain_of_stages_leaves_complete_folders_and_nothing_else(tmp_path):
    results = run(chain(tmp_path))
    assert [r.tasks_run for r in results] == [4, 4, 1, 1]
    assert sorted(r["n"] for r in rows(tmp_path / "doubles")) == [2 * n for n in range(100)]
    assert (tmp_path / "total/sum.txt").read_text() == "9900"
    assert (tmp_path / "total/deep/note.txt").exists()
    assert manifest.read(str(tmp_path / "total")).extra == {"sum": 9900}
    assert len(manifest.read(str(tmp_path / "groups")).shards) == 3
    assert not list(tmp_path.rglob("_[sw]*"))


def test_a_second_run_does_nothing(tmp_path):
    run(chain(tmp_path))
    before = {p: p.stat().st_mtime_ns for p in tmp_path.rglob("*") if p.is_file()}
    assert [r.tasks_run for r in run(chain(tmp_path))] == [0, 0, 0, 0]
    assert {p: p.stat().st_mtime_ns for p in tmp_path.rglob("*") if p.is_file()} == before


@pytest.mark.parametrize(("double", "workers"), [(toy.DOUBLE, 2), (toy.FRAGILE, 2), (toy.DOUBLE, 7)])
def test_workers_and_engines_change_no_byte(tmp_path, double, workers):
    run(chain(tmp_path / "one", count={"bad": 10}))
    run(chain(tmp_path / "many", count={"bad": 10}, double=double), workers=workers)
    one, many = tree(tmp_path / "one"), tree(tmp_path / "many")
    # one of the stages has another name, which its manifest and its card say
    named = ("_manifest.json",)
    data = {k: v for k, v in one.items() if not k.endswith(named)}
    assert data == {k: v for k, v in many.items() if not k.endswith(named)}
    assert len([k for k in data if "rejects" in k]) == 4
    if double is toy.DOUBLE:  # the other has another stage name, hence another fingerprint
        assert {k.rsplit("/", 1)[-1] for k in one} == {k.rsplit("/", 1)[-1] for k in many}


def test_another_configuration_is_refused_and_says_what_differs(tmp_path):
    run(chain(tmp_path))
    before = tree(tmp_path)
    with pytest.raises(StaleArtifact, match=r"config.times: 2 -> 3.*--rebuild"):
        run(chain(tmp_path, options={"times": 3}))
    assert tree(tmp_path) == before
    run(chain(tmp_path, options={"times": 3}), rebuild=True)
    assert (tmp_path / "total/sum.txt").read_text() == str(4950 * 3)


def test_a_folder_with_files_of_others_is_left_alone(tmp_path):
    (tmp_path / "numbers").mkdir()
    (tmp_path / "numbers/thesis.txt").write_text("years of work")
    with pytest.raises(ConfigError, match="did not make"):
        run(chain(tmp_path))
    assert (tmp_path / "numbers/thesis.txt").read_text() == "years of work"


def test_rebuild_leaves_files_that_are_not_ours(tmp_path):
    run(chain(tmp_path))
    (tmp_path / "doubles/notes.txt").write_text("mine")
    run(chain(tmp_path, options={"times": 5}), rebuild=True)
    assert (tmp_path / "doubles/notes.txt").read_text() == "mine"


def test_only_shards_whose_input_changed_are_made_again(tmp_path):
    run(chain(tmp_path))
    # the last shard of the source grows: 100 numbers -> the same first three shards, another fourth
    steps = chain(tmp_path)
    plan = toy.COUNT.plan
    grown = toy.Stage(**{**vars(toy.COUNT), "plan": lambda c, s, t: _grow(plan(c, s, t))})
    steps[0] = Step("count", grown, steps[0].config, 0, {}, steps[0].folder, ["nowhere"])
    assert [r.tasks_run for r in run(steps)] == [1, 1, 1, 1]
    assert max(r["n"] for r in rows(tmp_path / "doubles")) == 2000


def _grow(planned):
    planned.payloads[-1].write_text(planned.payloads[-1].read_text() + " 1000")
    return type(planned)(planned.payloads, [manifest.digest(p.read_text()) for p in planned.payloads])


def test_a_shard_that_was_deleted_or_cut_is_made_again(tmp_path):
    run(chain(tmp_path))
    before = tree(tmp_path)
    (tmp_path / "doubles/part-00001-of-00004.parquet").unlink()
    with (tmp_path / "doubles/part-00002-of-00004.parquet").open("r+b") as f:
        f.truncate(100)
    assert [r.tasks_run for r in run(chain(tmp_path))] == [0, 2, 0, 0]
    assert tree(tmp_path) == before


def test_a_fault_of_the_program_names_stage_and_shard_and_commits_nothing_half(tmp_path):
    with pytest.raises(failures.WorkFailed, match="shard 0: KeyError"):
        run(chain(tmp_path, options={"fail": True}))
    assert not (tmp_path / "doubles/_manifest.json").exists()
    assert not [p for p in tmp_path.rglob("*") if storage.TEMPORARY in p.name]


def test_too_many_rejects_end_the_run_after_the_good_is_committed(tmp_path):
    with pytest.raises(TooManyRejects, match=r"rejected 10 of 100 records \(divisible 10\)"):
        run(chain(tmp_path, count={"bad": 10}), max_reject_fraction=0.05)
    assert manifest.read(str(tmp_path / "numbers")).rows == 90
    with pytest.raises(TooManyRejects):
        run(chain(tmp_path, count={"bad": 10}), max_reject_fraction=0.05)
    run(chain(tmp_path, count={"bad": 10}), max_reject_fraction=0.2)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")  # gRPC of the dead
def test_a_worker_that_is_killed_once_costs_nobody_anything(tmp_path):
    run(chain(tmp_path / "calm", double=toy.FRAGILE))
    options = {"kill": 33, "once": str(tmp_path / "died")}
    run(chain(tmp_path / "rough", double=toy.FRAGILE, options=options), workers=2)
    assert (tmp_path / "died").exists()
    assert rows(tmp_path / "rough/doubles") == rows(tmp_path / "calm/doubles")


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")  # gRPC of the dead
def test_an_utterance_that_kills_its_process_is_rejected_and_its_shard_goes_on(tmp_path):
    run(chain(tmp_path, double=toy.FRAGILE, options={"kill": 33}), workers=2)
    assert sorted(r["n"] for r in rows(tmp_path / "doubles")) == [2 * n for n in range(100) if n != 33]
    (reject,) = rows(tmp_path / "doubles/_rejects")
    assert (reject["id"], reject["code"]) == ("n33", "process_died")


def drive(out: Path, options: dict) -> subprocess.CompletedProcess:
    """The chain in a process of its own, whose death is not ours."""
    code = f"""
from pathlib import Path
from helpers.toy_chain import chain, run
run(chain(Path({str(out)!r}), options={options!r}), workers=2)
"""
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)


def test_a_record_that_kills_the_driver_is_rejected_by_the_next_run_and_nothing_else_is(tmp_path):
    run(chain(tmp_path / "calm"))
    options = {"kill": 33}
    assert drive(tmp_path / "rough", options).returncode == -signal.SIGKILL
    again = drive(tmp_path / "rough", options)
    assert again.returncode == 0, again.stderr
    assert rows(tmp_path / "rough/doubles") == [r for r in rows(tmp_path / "calm/doubles") if r["id"] != "n33"]
    (reject,) = rows(tmp_path / "rough/doubles/_rejects")
    assert (reject["id"], reject["code"]) == ("n33", "process_died")
    assert "died twice on 'n33'" in reject["message"]
    for shard in (0, 2, 3):
        name = shards.shard_name(shard, 4)
        assert (tmp_path / "rough/doubles" / name).read_bytes() == (tmp_path / "calm/doubles" / name).read_bytes()
    assert not list(tmp_path.rglob("_[sw]*"))


def test_a_driver_that_is_killed_from_outside_costs_nobody_anything(tmp_path):
    run(chain(tmp_path / "calm"))
    options = {"kill": 33, "once": str(tmp_path / "died")}
    assert drive(tmp_path / "rough", options).returncode == -signal.SIGKILL
    assert drive(tmp_path / "rough", options).returncode == 0
    assert rows(tmp_path / "rough/doubles") == rows(tmp_path / "calm/doubles")
    assert not (tmp_path / "rough/doubles/_rejects").exists()


def test_a_shard_whose_process_dies_on_no_record_ends_the_run_with_its_name(tmp_path):
    assert drive(tmp_path, {"late": True}).returncode == -signal.SIGSEGV
    again = drive(tmp_path, {"late": True})
    assert again.returncode == 1
    assert re.search(r"WorkerDied: double, shard [01]: its process dies, on none of its records", again.stderr)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")  # gRPC of the dead
@pytest.mark.parametrize("delay", [0.0, 0.3, 1.0, 2.5])
def test_a_worker_killed_while_it_starts_does_not_hang_the_run(tmp_path, delay):
    import threading

    run(chain(tmp_path)[:1])
    killed: list[int] = []

    def kill() -> None:
        while not (found := workers()):
            time.sleep(0.01)
        time.sleep(delay)
        killed.extend(found[:1])
        with contextlib.suppress(ProcessLookupError):  # it may have done its work by now
            os.kill(found[0], signal.SIGKILL)

    killer = threading.Thread(target=kill, daemon=True)
    killer.start()
    run(chain(tmp_path, double=toy.FRAGILE)[:2], workers=2)
    killer.join()
    assert killed
    assert len(rows(tmp_path / "doubles")) == 100


def workers() -> list[int]:
    """Worker processes that this process has started."""
    found = []
    for task in Path("/proc/self/task").iterdir():
        with contextlib.suppress(OSError):  # threads and processes come and go
            pids = [int(p) for p in (task / "children").read_text().split()]
            found += [
                p for p in pids if b"speechprep.pipelines.engine.beam.worker" in Path(f"/proc/{p}/cmdline").read_bytes()
            ]
    return found


def test_slices_of_a_job_array_complete_one_dataset(tmp_path):
    run(chain(tmp_path / "whole"))
    steps = chain(tmp_path / "array")
    run(steps[:1])
    at_work = tmp_path / "array/doubles/_work/slice-2-of-3/task-00002-x"  # of another machine, at the same time
    at_work.mkdir(parents=True)
    for i in range(2):
        with pytest.raises(UnfinishedSlices):
            run(steps[1:2], slice=(i, 3))
        assert at_work.exists()
    run(steps[1:2], slice=(2, 3))
    assert tree(tmp_path / "array/doubles").keys() == tree(tmp_path / "whole/doubles").keys()
    assert rows(tmp_path / "array/doubles") == rows(tmp_path / "whole/doubles")


def test_inputs_cut_differently_are_refused_with_both_named(tmp_path):
    run(chain(tmp_path)[:1])
    other = Step("count", toy.COUNT, toy.COUNT.configure({"shards": 3}), 0, {}, str(tmp_path / "three"), ["nowhere"])
    run([other])
    joined = toy.Stage(
        "helpers.toy_stages:DOUBLE",
        1,
        (toy.Read("numbers", "numbers"), toy.Read("more", "numbers")),
        "doubles",
        toy.DoubleConfig,
        toy.run_double,
        toy.NUMBERS,
    )
    inputs = {"numbers": str(tmp_path / "numbers"), "more": str(tmp_path / "three")}
    with pytest.raises(StaleArtifact, match=r"has 4 shards.* 3"):
        run([Step("join", joined, joined.configure({}), 0, inputs, str(tmp_path / "out"))])


def test_an_error_crosses_an_engine_as_itself():
    task = toy_task()
    for error, wanted in [
        (StaleArtifact('a "quoted" path \\ with\nnewline'), StaleArtifact),
        (OSError(28, "No space left on device", "/x"), StorageError),
        (BadInput("odd", "text"), BadInput),
        (ZeroDivisionError("x"), failures.WorkFailed),
    ]:
        try:
            with failures.marked(task):
                raise error
        except RuntimeError as wrapped:
            found = failures.unmark(f"RuntimeError: {wrapped!r} [while running 'Execute']")
        assert isinstance(found, wanted)
    assert failures.unmark("no mark here") is None


def toy_task():
    from speechprep.pipelines.engine.task import Task

    return Task("helpers.toy_stages:DOUBLE", {}, 0, 0, 1, "k", "f", {})


DRIVER = """
from pathlib import Path
from helpers import toy_stages
from helpers.toy_chain import chain, run
run(chain(Path({out!r}), count={{"upto": 400, "shards": 16}}, double=toy_stages.{double}), workers=2)
"""


@pytest.mark.slow
@pytest.mark.parametrize("double", [pytest.param("DOUBLE", marks=pytest.mark.long), "FRAGILE"])
def test_a_run_killed_anywhere_and_started_again_gives_the_same_bytes(tmp_path, double):
    run(chain(tmp_path / "calm", count={"upto": 400, "shards": 16}, double=getattr(toy, double)))
    code = DRIVER.format(out=str(tmp_path / "killed"), double=double)
    done: list[int] = []
    for delay in (1.2, 2.6, 3.4, 3.8, 4.2, 4.6, 5.0):
        process = subprocess.Popen([sys.executable, "-c", code], start_new_session=True)
        time.sleep(delay)
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        done.append(len(list((tmp_path / "killed").rglob("part-*.parquet"))))
    run(chain(tmp_path / "killed", count={"upto": 400, "shards": 16}, double=getattr(toy, double)))
    assert tree(tmp_path / "killed") == tree(tmp_path / "calm") | _manifests_of(tmp_path)
    assert done == sorted(done), "a restart must not lose what was committed"


def _manifests_of(folder: Path) -> dict[str, str]:
    """Manifests differ only in the folder's own path among their sources; compare the rest, take the hash as it is."""
    found = {}
    for path in (folder / "calm").rglob("_manifest.json"):
        other = folder / "killed" / path.relative_to(folder / "calm")
        a, b = json.loads(path.read_text()), json.loads(other.read_text())
        assert a == b
        found[path.relative_to(folder / "calm").as_posix()] = hashlib.sha256(other.read_bytes()).hexdigest()
    return found
