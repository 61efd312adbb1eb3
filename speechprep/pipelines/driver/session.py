"""Runs of a recipe (`run_recipe`) or of one stage (`run_stage`), with log, record and report."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress

from speechprep.artifacts import manifest, storage
from speechprep.artifacts.cards import run as run_card
from speechprep.errors import ConfigError, FolderInUse, SpeechprepError, TooManyRejects
from speechprep.pipelines.driver.log import LoggingListener
from speechprep.pipelines.driver.outcome import Outcome
from speechprep.pipelines.driver.preflight import preflight
from speechprep.pipelines.driver.record import read_record, record_run, write_record
from speechprep.pipelines.engine.plan import Step
from speechprep.pipelines.engine.progress import Listener, NoListener, StepResult
from speechprep.pipelines.engine.recipe import Recipe
from speechprep.pipelines.engine.run import Options, run_steps

REPORT = "report.html"


class CollectingListener:
    """Listener with a list of the results; it forwards each event to another listener."""

    def __init__(self, listener: Listener) -> None:
        self.listener = listener
        self.results: list[StepResult] = []

    def started(self, step: Step, todo: int, tasks: int, seconds: float, utterances: int) -> None:
        """Forward the event."""
        self.listener.started(step, todo, tasks, seconds, utterances)

    def progressed(self, tasks: int, utterances: int, seconds: float, rejects: int) -> None:
        """Forward the event."""
        self.listener.progressed(tasks, utterances, seconds, rejects)

    def reached(self, position: str) -> None:
        """Forward the event."""
        self.listener.reached(position)

    def finished(self, result: StepResult) -> None:
        """Store the result and forward the event."""
        self.results.append(result)
        self.listener.finished(result)


def run_recipe(
    recipe: Recipe,
    steps: list[Step],
    out: str,
    options: Options,
    listener: Listener | None = None,
    working: Callable[[str], None] = lambda name: None,
) -> Outcome:
    """Run all steps of a recipe, then write `run.json`, `run.log` and the report.

    Args:
        recipe: the recipe, for `run.json`.
        steps: steps of the recipe, see `recipe.build`.
        out: the run folder.
        options: workers, runner, limits.
        listener: receives the progress.
        working: function called before other work, with its name: "report".

    Raises:
        SpeechprepError: the run ended early; `run.json` and `run.log` hold the error. After too many rejects
            the report is built first.
    """
    refuse_problems(steps)
    collected = CollectingListener(listener or NoListener())
    log = LoggingListener(out, collected, f"recipe {recipe.name}, seed {recipe.seed}, {options.engine.workers} workers")
    outcome = Outcome(out, collected.results, 0.0)
    began = time.monotonic()
    try:
        run_steps(steps, options, log, out)
    except FolderInUse:
        raise  # run.json and run.log belong to the other run
    except BaseException as error:
        _record_error(outcome, error, time.monotonic() - began)
        with suppress(OSError):  # a full disk may be the first error; it must reach the caller
            record_run(recipe, outcome, options, steps)
            log.error(error)
            if isinstance(error, TooManyRejects):
                outcome.report, _ = update_report(out, working)
        raise
    outcome.wall = time.monotonic() - began
    if outcome.tasks_run or not read_record(out).get("stages"):
        record_run(recipe, outcome, options, steps)
        log.line(f"done in {outcome.wall:.1f} s")
    outcome.report, built = update_report(out, working)
    outcome.report_wall = time.monotonic() - began - outcome.wall if built else None
    outcome.wall = time.monotonic() - began
    return outcome


def refuse_problems(steps: list[Step]) -> None:
    """Check all steps before the first one runs.

    Raises:
        ConfigError: missing packages, missing model files or bad options of any step, all in one message.
    """
    problems = preflight(steps)
    if problems:
        raise ConfigError("; ".join(problems))


def _record_error(outcome: Outcome, error: BaseException, wall: float) -> None:
    outcome.wall = wall
    outcome.status = "stopped" if isinstance(error, KeyboardInterrupt) else "failed"
    code = error.exit_code if isinstance(error, SpeechprepError) else 1
    message = " ".join(str(error).split())
    outcome.error = {"type": type(error).__name__, "message": message, "exit_code": code}


def run_stage(steps: list[Step], out: str, options: Options, listener: Listener | None = None) -> Outcome:
    """Run one stage, after the stages of its missing inputs. Neither `run.json` nor the report is written.

    Raises:
        SpeechprepError: the run ended early.
    """
    refuse_problems(steps)
    collected = CollectingListener(listener or NoListener())
    began = time.monotonic()
    run_steps(steps, options, collected)
    return Outcome(out, collected.results, time.monotonic() - began)


def contents(out: str) -> str:
    """Digest of the complete folders of a run and of the version of speechprep."""
    from speechprep.version import __version__

    folders = {}
    for name in storage.folders(out):
        complete = manifest.find_intact(storage.join(out, name))
        if complete is not None:
            folders[name] = [complete.fingerprint, complete.content]
    return manifest.digest([__version__, folders])


def update_report(out: str, working: Callable[[str], None] = lambda name: None) -> tuple[str, bool]:
    """URI of the report, and True if it was built now. An up-to-date report is not built again."""
    uri = storage.join(out, REPORT)
    digest, record = contents(out), read_record(out)
    if record.get("report_of") == digest and storage.exists(uri):
        return uri, False
    working("report")
    from speechprep.pipelines.report import build_report

    build_report(out)
    run_card.write(out)
    write_record(out, {**record, "report_of": digest})
    return uri, True
