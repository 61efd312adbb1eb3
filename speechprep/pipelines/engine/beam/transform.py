"""The Beam pipeline of a step: `Create(tasks) | ParDo(execute)`. Its elements are small dictionaries, never audio."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import apache_beam as beam
from apache_beam.metrics import Metrics

from speechprep.pipelines.engine.execute import execute
from speechprep.pipelines.engine.failures import marked
from speechprep.pipelines.engine.task import Task


class ExecuteTask(beam.DoFn):
    """Executes one task. Its Beam counters (rows, audio_ms) appear in the monitoring of the runner."""

    def process(self, element: dict[str, Any]) -> Iterator[dict[str, Any]]:
        """Execute a task and yield its summary. An error is raised as a marked message, see `failures`."""
        task = Task(**element)
        with marked(task):
            committed = execute(task)
        rows, seconds = sum(s.rows for s in committed), sum(s.seconds for s in committed)
        Metrics.counter(task.stage, "rows").inc(rows)
        Metrics.counter(task.stage, "audio_ms").inc(int(seconds * 1000))
        yield {"shard": task.shard, "rows": rows, "seconds": seconds}


class RunTasks(beam.PTransform):
    """A stage as a Beam transform over its tasks."""

    def __init__(self, tasks: list[Task]) -> None:
        super().__init__()
        self.tasks = tasks

    def expand(self, pipeline: Any) -> Any:
        """The reshuffle of `Create` distributes the tasks over the workers."""
        return (
            pipeline
            | "Tasks" >> beam.Create([t.to_dict() for t in self.tasks])
            | "Execute" >> beam.ParDo(ExecuteTask())
        )
