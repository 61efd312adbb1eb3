"""Where tasks run. The only file with the name of a runner."""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from speechprep.errors import ConfigError, StorageError
from speechprep.pipelines.engine.execute import Task
from speechprep.pipelines.engine.failures import WorkerDied, unmark

LOCAL = "local"


@dataclass(frozen=True)
class Engine:
    """The Beam runner and the number of workers.

    Attributes:
        runner: "local", or a runner of Beam by name (FlinkRunner, DataflowRunner, SparkRunner, ...).
        workers: local workers.
        beam_args: options of the named runner, as on Beam's own command line.
    """

    runner: str = LOCAL
    workers: int = 1
    beam_args: list[str] = field(default_factory=list)

    @property
    def shares_disk(self) -> bool:
        """True where the workers see the driver's temporary files."""
        return self.runner == LOCAL


def run_tasks(tasks: list[Task], engine: Engine, local: Literal["thread", "process"]) -> None:
    """Execute all tasks; their results are in their commit records.

    Raises:
        SpeechprepError: the error of a task.
        WorkFailed: a fault of the program in a task.
        WorkerDied: a worker process was lost; tasks without a commit record can be run again.
    """
    # Beam warns on import about packages of its cloud extra, on a handler of its own making.
    logging.getLogger().addHandler(logging.NullHandler())
    import apache_beam as beam
    import grpc

    from speechprep.pipelines.engine.beam.transform import RunTasks

    if engine.runner == LOCAL:
        from speechprep.pipelines.engine.beam.local_runner import LocalRunner

        workers = min(engine.workers, len(tasks))
        mode = "inline" if workers == 1 and local == "thread" else local
        runner = LocalRunner(mode, workers)
        tasks, options = _deal(tasks, workers), runner.options
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
            "the workers cannot be reached over the loopback interface (127.0.0.1); bring it up, for example by: "
            "ip link set lo up"
        ) from None
    except (RuntimeError, ValueError) as error:
        task_error = unmark(str(error))
        if task_error is not None:
            raise task_error from None
        if engine.runner != LOCAL and isinstance(error, ValueError):
            raise ConfigError(f"runner {engine.runner!r}: {error}") from error
        raise


@contextmanager
def temporary_files_in(work: str | None) -> Iterator[None]:
    """Let Beam create its temporary folder in the work folder: a killed run leaves nothing elsewhere."""
    if work is None:
        yield
        return
    Path(work).mkdir(parents=True, exist_ok=True)
    before, tempfile.tempdir = tempfile.tempdir, work
    try:
        yield
    finally:
        tempfile.tempdir = before


def _deal(tasks: list[Task], workers: int) -> list[Task]:
    """Beam deals element i to worker i % n once: the longest first, back and forth, for equal costs."""
    by_cost = sorted(tasks, key=lambda t: (-t.seconds, t.shard))
    dealt: list[Task] = []
    for turn, start in enumerate(range(0, len(by_cost), workers)):
        hand = by_cost[start : start + workers]
        dealt += hand if turn % 2 == 0 else hand[::-1]
    return dealt
