"""A run from its steps to its report: `run_recipe` for a recipe, `run_stage` for one stage."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress

from speechprep.artifacts import manifest, storage
from speechprep.errors import ConfigError, SpeechprepError, TooManyRejects
from speechprep.pipelines.driver.log import Logged
from speechprep.pipelines.driver.outcome import Outcome
from speechprep.pipelines.driver.preflight import preflight
from speechprep.pipelines.driver.record import read_record, record_run, write_record
from speechprep.pipelines.engine.plan import Step
from speechprep.pipelines.engine.recipe import Recipe
from speechprep.pipelines.engine.run import Options, run_steps
from speechprep.pipelines.engine.watch import Listener, Silent, StepResult

REPORT = "report.html"


class Collected:
    """A listener in front of another one: keeps the results."""

    def __init__(self, listener: Listener) -> None:
        self.listener = listener
        self.results: list[StepResult] = []

    def started(self, step: Step, todo: int, tasks: int, seconds: float) -> None:
        """Passed on."""
        self.listener.started(step, todo, tasks, seconds)

    def progressed(self, tasks: int, utterances: int, seconds: float, rejects: int) -> None:
        """Passed on."""
        self.listener.progressed(tasks, utterances, seconds, rejects)

    def noted(self, text: str) -> None:
        """Passed on."""
        self.listener.noted(text)

    def finished(self, result: StepResult) -> None:
        """Kept and passed on."""
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
    """All steps of a recipe, then `run.json`, `run.log` and the report.

    Args:
        recipe: for the record.
        steps: of the recipe, see `recipe.build`.
        out: the run folder.
        options: workers, runner, limits.
        listener: receives the progress.
        working: called with the name of other work: "report".

    Raises:
        SpeechprepError: the run ended early; `run.json` and `run.log` hold the error. After too many rejects
            the report is built first.
    """
    refuse_problems(steps)
    collected = Collected(listener or Silent())
    log = Logged(out, collected, f"recipe {recipe.name}, seed {recipe.seed}, {options.engine.workers} workers")
    outcome = Outcome(out, collected.results, 0.0)
    began = time.monotonic()
    try:
        run_steps(steps, options, log)
    except BaseException as error:
        _ended(outcome, error, time.monotonic() - began)
        with suppress(OSError):  # a full disk may be the first error; it must reach the caller
            record_run(recipe, outcome, options)
            log.error(error)
            if isinstance(error, TooManyRejects):
                outcome.report, _ = update_report(out, working)
        raise
    outcome.wall = time.monotonic() - began
    if outcome.made:
        record_run(recipe, outcome, options)
        log.line(f"done in {outcome.wall:.1f} s")
    outcome.report, built = update_report(out, working)
    outcome.report_wall = time.monotonic() - began - outcome.wall if built else None
    outcome.wall = time.monotonic() - began
    return outcome


def refuse_problems(steps: list[Step]) -> None:
    """Refuse to begin a run that would fail later.

    Raises:
        ConfigError: missing packages, missing model files or bad options of any step, all in one message.
    """
    problems = preflight(steps)
    if problems:
        raise ConfigError("; ".join(problems))


def _ended(outcome: Outcome, error: BaseException, wall: float) -> None:
    outcome.wall = wall
    outcome.status = "stopped" if isinstance(error, KeyboardInterrupt) else "failed"
    code = error.exit_code if isinstance(error, SpeechprepError) else 1
    message = " ".join(str(error).split())
    outcome.error = {"type": type(error).__name__, "message": message, "exit_code": code}


def run_stage(steps: list[Step], out: str, options: Options, listener: Listener | None = None) -> Outcome:
    """One stage, after the small stages it needs; no record and no report.

    Raises:
        SpeechprepError: the run ended early.
    """
    refuse_problems(steps)
    collected = Collected(listener or Silent())
    began = time.monotonic()
    run_steps(steps, options, collected)
    return Outcome(out, collected.results, time.monotonic() - began)


def contents(out: str) -> str:
    """Digest of the complete folders of a run, and of the version of the report's code."""
    from speechprep.version import __version__

    folders = {}
    for name in storage.folders(out):
        folder = manifest.find(storage.join(out, name))
        if folder is not None:
            folders[name] = [folder.fingerprint, folder.content]
    return manifest.digest([__version__, folders])


def update_report(out: str, working: Callable[[str], None] = lambda name: None) -> tuple[str, bool]:
    """The report's URI, and True if it was built now: a report of the same data is left as it is."""
    uri = storage.join(out, REPORT)
    digest, record = contents(out), read_record(out)
    if record.get("report_of") == digest and storage.exists(uri):
        return uri, False
    working("report")
    from speechprep.pipelines.report import build_report

    build_report(out)
    write_record(out, {**record, "report_of": digest})
    return uri, True
