"""Choice of the runner for tasks; the only file with the name of a runner."""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from speechprep.errors import ConfigError, StorageError
from speechprep.pipelines.engine.failures import WorkerDied, unmark
from speechprep.pipelines.engine.recovery.attempts import crashed
from speechprep.pipelines.engine.task import Task

LOCAL = "local"


@dataclass(frozen=True)
class Engine:
    """The Beam runner and the number of workers.

    Attributes:
        runner: "local", or the name of a Beam runner (FlinkRunner, DataflowRunner, SparkRunner, ...).
        workers: number of local workers.
        beam_args: command-line options of the Beam runner.
    """

    runner: str = LOCAL
    workers: int = 1
    beam_args: list[str] = field(default_factory=list)

    @property
    def shares_disk(self) -> bool:
        """True if the workers can read the driver's temporary files."""
        return self.runner == LOCAL


def run_tasks(tasks: list[Task], engine: Engine, local: Literal["thread", "process"]) -> None:
    """Execute all tasks. Their results are their commit records.

    Raises:
        SpeechprepError: the error of a task.
        WorkFailed: a fault of the program in a task.
        WorkerDied: a worker process was lost; tasks without a commit record can be run again.
    """
    # Without a handler on the root logger, Beam adds one on import and prints warnings about its cloud packages.
    logging.getLogger().addHandler(logging.NullHandler())
    import apache_beam as beam
    import grpc

    from speechprep.pipelines.engine.beam.transform import RunTasks

    if engine.runner == LOCAL:
        from speechprep.pipelines.engine.beam.local_runner import LocalRunner

        workers = min(engine.workers, len(tasks))
        mode = "inline" if workers == 1 and local == "thread" else local
        runner = LocalRunner(mode, workers)
        tasks, options = _balanced(tasks, workers), runner.options
    else:
        from apache_beam.options.pipeline_options import PipelineOptions

        options = PipelineOptions([f"--runner={engine.runner}", *engine.beam_args])
        runner = None
    try:
        with temporary_files_in(tasks[0].work):
            pipeline = beam.Pipeline(runner=runner, options=options)
        _ = pipeline | RunTasks(tasks)
        pipeline.run().wait_until_finish()
    except WorkerDied:
        raise
    except grpc.FutureTimeoutError:
        raise StorageError(
            "the workers cannot be reached over the loopback interface (127.0.0.1); enable it, for example with: "
            "ip link set lo up"
        ) from None
    except (RuntimeError, ValueError) as error:
        task_error = unmark(str(error))
        if task_error is not None:
            raise task_error from None
        if engine.runner != LOCAL and isinstance(error, ValueError):
            raise ConfigError(f"runner {engine.runner!r}: {error}") from error
        if engine.runner != LOCAL and crashed(tasks[0].folder):
            raise WorkerDied(f"runner {engine.runner!r}: a worker was lost; see the log of the runner") from error
        raise


@contextmanager
def temporary_files_in(work: str | None) -> Iterator[None]:
    """Let Beam create its temporary folder in the work folder, where the next run removes it after a kill."""
    if work is None:
        yield
        return
    Path(work).mkdir(parents=True, exist_ok=True)
    before, tempfile.tempdir = tempfile.tempdir, work
    try:
        yield
    finally:
        tempfile.tempdir = before


def _balanced(tasks: list[Task], workers: int) -> list[Task]:
    """Order of the tasks with equal cost for each worker. Beam gives element i to worker i % n.

    The longest tasks come first. Every second group of n tasks is reversed.
    """
    by_cost = sorted(tasks, key=lambda t: (-t.cost, t.shard))
    balanced: list[Task] = []
    for turn, start in enumerate(range(0, len(by_cost), workers)):
        group = by_cost[start : start + workers]
        balanced += group if turn % 2 == 0 else group[::-1]
    return balanced
