"""`plan --hours`: disk and time of a larger corpus, in proportion to the finished steps of a run."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from helpers.toy_chain import chain, run

from speechprep.artifacts import manifest
from speechprep.pipelines.driver.survey import Standing, project, survey


def test_a_finished_step_has_its_bytes_and_the_wall_time_of_run_json(tmp_path: Path) -> None:
    steps = chain(tmp_path)
    run(steps[:2])
    prints = [manifest.read(step.folder).fingerprint for step in steps[:2]]
    entries = [
        {"fingerprint": prints[0], "seconds": 12.5, "made": 4, "shards": 4},
        {"fingerprint": prints[1], "seconds": 3.0, "made": 1, "shards": 4},  # resumed: only a part was computed
    ]
    (tmp_path / "run.json").write_text(json.dumps({"stages": entries}))
    standings = survey(steps)
    assert [s.state for s in standings] == ["done", "done", "todo", "todo"]
    assert [s.wall_seconds for s in standings] == [12.5, None, None, None]
    for step, standing in zip(steps[:2], standings, strict=False):
        files = [path for path in Path(step.folder).iterdir() if path.name.startswith("part-")]
        assert standing.bytes == sum(path.stat().st_size for path in files) > 0
    assert [s.bytes for s in standings[2:]] == [0, 0]


def standing(state: str, seconds: float = 0.0, size: int = 0, wall: float | None = None) -> Standing:
    return Standing("s", "s", "out/s", {}, state, audio_seconds=seconds, bytes=size, wall_seconds=wall)


def test_disk_and_time_grow_with_the_audio_of_the_finished_steps() -> None:
    done = [standing("done", 360.0, 1000, 60.0), standing("done", 0.0, 50), standing("todo", 7200.0)]
    first, second, third = project(done, 3600.0)
    assert first is not None
    assert second is not None
    assert (first.bytes, first.wall_seconds) == (10_000, 600.0)
    assert (second.bytes, second.wall_seconds) == (500, None)
    assert third is None


@pytest.mark.parametrize("standings", [[], [standing("todo", 10.0)], [standing("done", 0.0, 5)]])
def test_nothing_is_projected_without_finished_audio(standings: list[Standing]) -> None:
    assert project(standings, 3600.0) == [None] * len(standings)
