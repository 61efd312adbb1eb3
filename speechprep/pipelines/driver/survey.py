"""State of each step of a run: done, to do, waiting, or in conflict. No task runs and no file remains."""

from __future__ import annotations

from dataclasses import dataclass, replace

from speechprep.errors import SpeechprepError
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
    return replace(base, state="done" if done else "todo", note=note, shards=tasks, todo=todo, audio_seconds=seconds)


def _prepare(step: Step) -> Prepared:
    """Compare a step with its folder; the temporary files of the planning are removed."""
    with temporary_folder() as work:
        return prepare(step, work=work)
