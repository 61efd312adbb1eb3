"""The one pipeline shape: `Create(tasks) | ParDo(execute)`. Beam transports small dicts only, never audio or rows."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import apache_beam as beam
from apache_beam.metrics import Metrics

from speechprep.pipelines.engine.execute import Task, execute
from speechprep.pipelines.engine.failures import marked


class ExecuteTask(beam.DoFn):
    """Runs one task and yields its commit; counters serve the monitors of the engines."""

    def process(self, element: dict[str, Any]) -> Iterator[dict[str, Any]]:
        """One task in, one summary out; an error crosses the engine as a marked message."""
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
        """Tasks are spread over the workers by Create's own reshuffle."""
        return (
            pipeline
            | "Tasks" >> beam.Create([t.to_dict() for t in self.tasks])
            | "Execute" >> beam.ParDo(ExecuteTask())
        )
