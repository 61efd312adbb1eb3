"""State of each step of a run: done, to do, waiting, or in conflict. No task runs and no file remains."""

from __future__ import annotations

from dataclasses import dataclass, replace

from speechprep.artifacts import storage
from speechprep.errors import SpeechprepError
from speechprep.pipelines.driver.record import read_record
from speechprep.pipelines.engine.plan import Prepared, Step, prepare
from speechprep.pipelines.engine.scratch import temporary_folder


@dataclass(frozen=True)
class Standing:
    """State of a step.

    Attributes:
        name: name of the step in its recipe.
        stage: name of the stage.
        folder: output folder.
        inputs: role -> folder.
        state: "done", "todo", "waits" (for an earlier step) or "conflict".
        note: the state in one line.
        shards: number of shards, None if unknown.
        todo: number of shards to compute, None if unknown.
        audio_seconds: seconds of audio of all shards.
        bytes: bytes of the files of a finished folder.
        wall_seconds: wall time of its computation by `run`, None if unknown.
    """

    name: str
    stage: str
    folder: str
    inputs: dict[str, str]
    state: str
    note: str = ""
    shards: int | None = None
    todo: int | None = None
    audio_seconds: float = 0.0
    bytes: int = 0
    wall_seconds: float | None = None


def survey(steps: list[Step]) -> list[Standing]:
    """State of each step. A step with an unfinished input waits for it."""
    standings: list[Standing] = []
    unfinished: dict[str, str] = {}  # folder -> name of its step
    for step in steps:
        waits = sorted({unfinished[folder] for folder in step.inputs.values() if folder in unfinished})
        standing = _standing(step, waits)
        if standing.state != "done":
            unfinished[step.folder] = step.name
        standings.append(standing)
    return standings


def _standing(step: Step, waits: list[str]) -> Standing:
    base = Standing(step.name, step.stage.name, step.folder, dict(step.inputs), "waits")
    if waits:
        return replace(base, note=f"waits for {', '.join(waits)}")
    try:
        prepared = _prepare(step)
    except SpeechprepError as error:
        return replace(base, state="conflict", note=str(error))
    todo, tasks = len(prepared.todo), len(prepared.tasks)
    seconds = prepared.finished.seconds if prepared.finished else sum(t.seconds for t in prepared.tasks)
    done = prepared.finished is not None
    note = "done" if done else f"{todo} of {tasks:,} shard{'s' if tasks != 1 else ''} to do"
    base = replace(base, note=note, shards=tasks, todo=todo, audio_seconds=seconds)
    if prepared.finished is None:
        return replace(base, state="todo")
    size = sum(shard.size for shard in prepared.finished.shards)
    return replace(base, state="done", bytes=size, wall_seconds=_wall_seconds(step, prepared.finished.fingerprint))


def _wall_seconds(step: Step, fingerprint: str) -> float | None:
    """Wall time of a finished step in `run.json`; None if `run` did not compute all of its shards at once."""
    for entry in read_record(storage.parent(step.folder)).get("stages", []):
        if isinstance(entry, dict) and entry.get("fingerprint") == fingerprint and entry["made"] == entry["shards"]:
            return float(entry["seconds"])
    return None


@dataclass(frozen=True)
class Projection:
    """Disk and time of a step for a larger corpus, in proportion to the audio of a finished run.

    Attributes:
        bytes: bytes of the folder.
        wall_seconds: wall time on the machine and workers of the finished run, None if unknown.
    """

    bytes: float
    wall_seconds: float | None


def project(standings: list[Standing], audio_seconds: float) -> list[Projection | None]:
    """For each step its projection to so many seconds of audio; None for a step that is not done.

    Proportion is an upper bound for `sample`, `cluster` and `subword`: options limit their work.
    """
    measured = max((s.audio_seconds for s in standings if s.state == "done"), default=0.0)
    if not measured:
        return [None] * len(standings)
    factor = audio_seconds / measured
    return [
        Projection(s.bytes * factor, None if s.wall_seconds is None else s.wall_seconds * factor)
        if s.state == "done"
        else None
        for s in standings
    ]


def _prepare(step: Step) -> Prepared:
    """Compare a step with its folder; the temporary files of the planning are removed."""
    with temporary_folder() as work:
        return prepare(step, work=work)
