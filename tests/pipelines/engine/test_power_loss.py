"""After a power loss at any moment, the same command gives the same bytes; also after a failed flush or a full disk."""

from __future__ import annotations

import errno
import os
import random
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from helpers import toy_stages as toy
from helpers.power_loss import Disk, Recorder, after
from helpers.toy_chain import chain, run

from speechprep.pipelines.engine.plan import Step

REPLAYS = int(os.environ.get("SPEECHPREP_POWER_LOSSES", "1000"))


def tree(folder: Path) -> dict[str, bytes]:
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def grown(planned):
    planned.payloads[-1].write_text(planned.payloads[-1].read_text() + " 1000 1001")
    from speechprep.artifacts import manifest

    return type(planned)(planned.payloads, [manifest.digest(p.read_text()) for p in planned.payloads])


def first(out: Path) -> None:
    run(chain(out, count={"bad": 10, "upto": 40}))


def update(out: Path) -> None:
    """Another last shard of the source: complete folders become incomplete, and keep three shards."""
    steps = chain(out, count={"bad": 10, "upto": 40})
    plan = toy.COUNT.plan
    stage = toy.Stage(
        **{**vars(toy.COUNT), "plan": lambda config, sources, scratch: grown(plan(config, sources, scratch))}
    )
    steps[0] = Step("count", stage, steps[0].config, 0, {}, steps[0].folder, ["nowhere"])
    run(steps)


def rebuild(out: Path) -> None:
    """Other options: the folders are replaced."""
    run(chain(out, count={"bad": 10, "upto": 40}, options={"times": 5}), rebuild=True)


@dataclass(frozen=True)
class Scenario:
    """A recorded command: the state of the folder before it, its operations, and the files that it makes."""

    out: Path
    command: Callable[[Path], None]
    start: Disk
    log: list
    result: dict[str, bytes]
    operations: int


@pytest.fixture(scope="module")
def scenarios(tmp_path_factory) -> dict[str, Scenario]:
    made = {}
    for name, before, command in [("first", [], first), ("update", [first], update), ("rebuild", [first], rebuild)]:
        out = tmp_path_factory.mktemp(name) / "run"
        out.mkdir()
        for earlier in before:
            earlier(out)
        with Recorder(out) as recorder:
            command(out)
        made[name] = Scenario(out, command, recorder.start, list(recorder.log), tree(out), recorder.operations)
    return made


def losses(scenario: Scenario, numbers: range) -> list[str]:
    """Replay power losses; returns a line for each one after which the command gives other bytes."""
    wrong = []
    for number in numbers:
        rng = random.Random(number)
        moment = rng.randrange(len(scenario.log) + 1)
        shutil.rmtree(scenario.out)
        scenario.out.mkdir()
        after(scenario.start, scenario.log[:moment], rng).write(scenario.out)
        try:
            scenario.command(scenario.out)
        except Exception as error:  # noqa: BLE001 - each one is reported with its number
            wrong.append(f"{number} at {moment}: {type(error).__name__}: {error}")
            continue
        result = tree(scenario.out)
        differ = sorted(k for k in result.keys() | scenario.result.keys() if result.get(k) != scenario.result.get(k))
        if differ:
            wrong.append(f"{number} at {moment}: {differ}")
    return wrong


@pytest.mark.parametrize("name", ["first", "update", "rebuild"])
def test_after_a_power_loss_the_same_command_gives_the_same_bytes(scenarios, name):
    assert losses(scenarios[name], range(8)) == []


@pytest.mark.long
@pytest.mark.parametrize("name", ["first", "update", "rebuild"])
def test_after_many_power_losses_the_same_command_gives_the_same_bytes(scenarios, name):
    assert losses(scenarios[name], range(8, 8 + -(-REPLAYS // 3))) == []


def test_without_flushes_a_power_loss_is_seen(scenarios):
    """The replay itself: without the flushes of the log, some state has a manifest and a damaged shard."""
    scenario = scenarios["first"]
    log = [event for event in scenario.log if not event[0].startswith("fsync")]
    disks = [after(scenario.start, log, random.Random(number)) for number in range(50)]
    assert any(
        "doubles/_manifest.json" in disk.names and disk.contents[disk.names[name]] != scenario.result[name]
        for disk in disks
        for name in disk.names
        if name.startswith("doubles/part-") and name.endswith(".parquet")
    )


@pytest.mark.parametrize("error", [errno.ENOSPC, errno.EIO])
@pytest.mark.parametrize("share", [0.1, 0.35, 0.6, 0.95])
def test_a_full_or_failing_disk_is_an_error_with_a_path_and_costs_nothing(scenarios, error, share):
    scenario = scenarios["first"]
    shutil.rmtree(scenario.out)
    scenario.out.mkdir()
    with (
        pytest.raises((OSError, ValueError)) as raised,
        Recorder(scenario.out, fail_at=int(share * scenario.operations), error=error),
    ):
        scenario.command(scenario.out)
    assert "internal" not in str(raised.value)
    scenario.command(scenario.out)
    assert tree(scenario.out) == scenario.result
