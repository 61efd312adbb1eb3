"""The engine removes shards, rejects and temporary files of an earlier state of a folder, and nothing else."""

from __future__ import annotations

from pathlib import Path

import pytest
from helpers import toy_stages as toy

from speechprep.artifacts import manifest, storage
from speechprep.pipelines.engine.beam.runner import Engine
from speechprep.pipelines.engine.plan import Step
from speechprep.pipelines.engine.run import Options, run_steps
from speechprep.pipelines.engine.stage import ShardPlan, Stage


def counting(parts: list[list[int]]) -> Stage:
    """Stage COUNT over given numbers, a shard for each list. The numbers are the source, not the configuration."""

    def plan(config, sources, scratch: Path) -> ShardPlan:
        payloads = []
        for i, numbers in enumerate(parts):
            payloads.append(scratch / f"{i}.txt")
            payloads[-1].write_text(" ".join(map(str, numbers)))
        return ShardPlan(payloads, [manifest.digest(p.read_text()) for p in payloads])

    return Stage(**{**vars(toy.COUNT), "plan": plan})


def count(parts: list[list[int]], out: Path, **options) -> Path:
    step = Step("count", counting(parts), toy.COUNT.configure({"bad": 10}), 0, {}, str(out), ["nowhere"])
    run_steps([step], Options(engine=Engine(workers=1), max_reject_fraction=1.0, **options))
    return out


def files(folder: Path) -> set[str]:
    return {p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file()}


def shards(folder: Path) -> list[str]:
    return sorted(name for name in files(folder) if name.startswith("part-"))


def rejects(folder: Path) -> dict[str, bytes]:
    return {name: (folder / name).read_bytes() for name in files(folder) if name.startswith("_rejects/")}


def committed(folder: Path) -> list[manifest.Shard]:
    return manifest.read(str(folder)).shards


FOUR = [[1, 2], [3, 10], [4, 20], [5, 6]]


@pytest.mark.parametrize(
    "later",
    [
        pytest.param([[1, 2], [3, 10]], id="fewer shards"),
        pytest.param([[1, 2], [3, 10], [4, 20], [5, 6], [7, 30]], id="more shards"),
        pytest.param([[1, 2], [3], [4, 20], [5, 6]], id="a shard without rejects"),
        pytest.param([[1, 2], [3], [4], [5, 6]], id="no rejects at all"),
    ],
)
def test_a_folder_whose_source_changed_has_the_shards_of_a_new_one(tmp_path: Path, later: list[list[int]]) -> None:
    folder = count(FOUR, tmp_path / "old" / "numbers")
    assert shards(folder) == [f"part-0000{i}-of-00004.parquet" for i in range(4)]
    assert set(rejects(folder)) == {f"_rejects/part-0000{i}-of-00004.parquet" for i in (1, 2)}
    count(later, folder)
    fresh = count(later, tmp_path / "new" / "numbers")
    assert shards(folder) == sorted(shard.name for shard in committed(folder))
    assert [shard.sha256 for shard in committed(folder)] == [shard.sha256 for shard in committed(fresh)]
    assert rejects(folder) == rejects(fresh)
    others = {"_manifest.json"}
    assert files(folder) - set(shards(folder)) - set(rejects(folder)) == others


@pytest.mark.parametrize(
    ("name", "stays"),
    [
        ("part-00002-of-00009.parquet", False),
        ("_rejects/part-00000-of-00004.parquet", False),
        (f"part-00001-of-00004.parquet{storage.TEMPORARY}x", False),
        ("notes.txt", True),
    ],
)
def test_files_of_a_killed_run_are_removed_and_files_of_others_stay(tmp_path: Path, name: str, *, stays: bool) -> None:
    folder = count(FOUR, tmp_path / "numbers")
    before = files(folder)
    (folder / name).write_bytes(b"left over")
    (folder / "part-00003-of-00004.parquet").unlink()  # so that the step has work to do
    count(FOUR, folder)
    assert files(folder) == before | ({name} if stays else set())
