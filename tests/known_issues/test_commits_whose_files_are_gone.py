"""A committed shard that vanished before its folder was complete was taken for done: exit code 0, shard absent."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
from helpers import toy_stages as toy

from speechprep.artifacts import storage
from speechprep.pipelines.engine.execute import execute
from speechprep.pipelines.engine.plan import Step, prepare
from speechprep.pipelines.engine.run import Options, UnfinishedSlices, run_steps
from speechprep.pipelines.inspect.verify import verify

SHARD = "part-00001-of-00004.parquet"


def steps(out: Path, double=toy.DOUBLE, shards: int = 4) -> list[Step]:
    numbers, doubles, total = (str(out / name) for name in ("numbers", "doubles", "total"))
    count = toy.COUNT.configure({"bad": 7, "shards": shards})
    return [
        Step("count", toy.COUNT, count, 0, {}, numbers, ["nowhere"]),
        Step("double", double, double.configure({}), 0, {"numbers": numbers}, doubles),
        Step("sum", toy.SUM, toy.SUM.configure({}), 0, {"doubles": doubles}, total),
    ]


def run(work: list[Step], **options) -> list[int]:
    return [result.tasks_run for result in run_steps(work, Options(max_reject_fraction=1.0, **options))]


def tree(folder: Path) -> dict[str, str]:
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def delete(path: Path) -> None:
    path.unlink()


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


@pytest.mark.parametrize("damage", [delete, cut])
def test_a_shard_lost_before_its_folder_was_complete_is_computed_again(tmp_path, damage):
    run(steps(tmp_path / "whole"))
    with pytest.raises(UnfinishedSlices):
        run(steps(tmp_path / "lost")[:1], slice=(1, 2))
    damage(tmp_path / "lost/numbers" / SHARD)
    assert run(steps(tmp_path / "lost")) == [3, 4, 1]
    assert tree(tmp_path / "lost") == tree(tmp_path / "whole")
    assert verify(str(tmp_path / "lost")).problems == []


def test_rejects_lost_before_their_folder_was_complete_are_computed_again(tmp_path):
    run(steps(tmp_path / "whole"))
    with pytest.raises(UnfinishedSlices):
        run(steps(tmp_path / "lost")[:1], slice=(1, 2))
    (tmp_path / "lost/numbers/_rejects" / SHARD).unlink()
    run(steps(tmp_path / "lost"))
    assert tree(tmp_path / "lost") == tree(tmp_path / "whole")


def run_and_delete(ctx) -> None:
    """Doubles, and once, in the last task, loses the first shard of its own folder."""
    toy.run_double(ctx)
    first, mark = Path(ctx.folder) / "part-00000-of-00004.parquet", Path(ctx.folder) / "../mark"
    if ctx.shard == 3 and not mark.exists():
        mark.touch()
        first.unlink()


def test_a_shard_lost_during_the_run_is_computed_again_before_the_manifest_is_written(tmp_path, monkeypatch):
    run(steps(tmp_path / "whole"))
    monkeypatch.setattr(toy, "DOUBLE", toy.Stage(**{**vars(toy.DOUBLE), "run": run_and_delete}))
    run(steps(tmp_path / "lost", toy.DOUBLE))
    assert (tmp_path / "lost/mark").exists()
    (tmp_path / "lost/mark").unlink()
    assert tree(tmp_path / "lost") == tree(tmp_path / "whole")


@pytest.mark.parametrize("damage", [delete, cut])
@pytest.mark.parametrize(
    ("name", "made"),
    [(f"numbers/{SHARD}", [1, 0, 0]), (f"doubles/{SHARD}", [0, 1, 0]), ("total/deep/note.txt", [0, 0, 1])],
)
def test_the_same_command_repairs_a_complete_folder(tmp_path, name, made, damage):
    run(steps(tmp_path))
    before = tree(tmp_path)
    damage(tmp_path / name)
    (problem,) = verify(str(tmp_path)).problems
    assert "run speechprep repair on the run folder" in problem.what
    assert run(steps(tmp_path)) == made
    assert tree(tmp_path) == before


def test_a_task_with_a_record_and_without_its_file_is_executed(tmp_path):
    (step, *_) = steps(tmp_path)
    task = prepare(step, work=str(tmp_path / "work")).tasks[1]
    first = execute(task)
    path = tmp_path / "numbers" / SHARD
    written = path.stat().st_mtime_ns
    assert execute(task) == first
    assert path.stat().st_mtime_ns == written, "a whole commit is not done again"
    path.unlink()
    assert execute(task) == first
    assert path.stat().st_size == first[0].size


def test_requests_to_storage_do_not_grow_with_the_shards(tmp_path, monkeypatch):
    requests: list[str] = []
    for name in ("sizes", "size", "exists", "read_bytes"):
        monkeypatch.setattr(storage, name, _counted(getattr(storage, name), requests))
    counts = []
    for shards in (4, 40):
        work = steps(tmp_path / str(shards), shards=shards)
        run(work)
        requests.clear()
        assert run(work) == [0, 0, 0]
        counts.append(len(requests))
    assert counts[0] == counts[1]


def _counted(function, requests: list[str]):
    def counted(uri: str):
        requests.append(uri)
        return function(uri)

    return counted
