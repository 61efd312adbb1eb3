"""Running a stage's work on folders in this process, and in fresh ones to see their peak memory."""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from speechprep.artifacts.manifest import Manifest, Shard
from speechprep.artifacts.shards import shard_name
from speechprep.pipelines.engine.context import ShardContext
from speechprep.pipelines.engine.stage import Stage
from speechprep.pipelines.engine.task import Input, Task, Work


def stand_in(kind: str, folder: Path, extra: dict[str, Any]) -> Input:
    """An input without a manifest on disk: all Parquet shards of a folder."""
    shards = [Shard(path.name, "", "", path.stat().st_size) for path in sorted(folder.glob("part-*.parquet"))]
    return Input(str(folder), None, Manifest(kind, "", "", {}, shards, {}, [], {}, extra))


def run_stage(stage: Stage, options: dict[str, Any], inputs: dict[str, Input], out: Path) -> dict[str, float]:
    """Counters of a run over all shards of the inputs, with `cpu` and `wall` seconds."""
    counters: dict[str, float] = {}
    roles = [read.role for read in stage.reads if read.sharded]
    files = [s.name for s in inputs[roles[0]].manifest.shards] if roles else [shard_name(0, 1)]
    cpu, wall = time.process_time(), time.perf_counter()
    for i, file in enumerate(files):
        own = {r: Input(x.folder, file, x.manifest) if r in roles else x for r, x in inputs.items()}
        with tempfile.TemporaryDirectory() as scratch:
            task = Task(stage.name, options, 0, i, len(files), "", str(out), {})
            ctx = ShardContext(Work(task, stage.configure(options), own, None, Path(scratch)))
            ctx.schema = stage.schema
            stage.run(ctx)
            for writer in ctx.written.values():
                writer.__exit__(None, None, None)
        for name, value in ctx.counters.items():
            counters[name] = counters.get(name, 0) + value
    return {**counters, "cpu": time.process_time() - cpu, "wall": time.perf_counter() - wall}


@contextmanager
def kept_in(folder: Path | None) -> Iterator[Path]:
    """A folder that stays, made where it is not there; without one, a folder for as long as it is needed."""
    with tempfile.TemporaryDirectory() as scratch:
        chosen = folder or Path(scratch)
        chosen.mkdir(parents=True, exist_ok=True)
        yield chosen


def in_fresh_process(script: str, *arguments: object) -> dict[str, float]:
    """What `script --child ...` prints as JSON, with its peak memory as `peak_mb`."""
    command = [sys.executable, script, "--child", *map(str, arguments)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


def report_child(found: dict[str, float]) -> None:
    """The other end of `in_fresh_process`."""
    print(json.dumps({**found, "peak_mb": peak_mb()}))


def peak_mb() -> float:
    """Peak resident memory of this process. Linux counts that of the parent into `ru_maxrss`, so /proc comes first."""
    status = Path("/proc/self/status")
    if status.exists():
        return next(int(line.split()[1]) for line in status.read_text().splitlines() if line.startswith("VmHWM")) / 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1 << 20 if sys.platform == "darwin" else 1024)
