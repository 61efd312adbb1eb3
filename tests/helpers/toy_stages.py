"""Small stages with which the engine is tested: numbers, their doubles, their sum."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pyarrow as pa

from speechprep.artifacts import manifest
from speechprep.errors import BadInput
from speechprep.pipelines.engine.stage import Read, ShardPlan, Stage, StageConfig

NUMBERS = pa.schema([("id", pa.string()), ("n", pa.int64())])


class CountConfig(StageConfig):
    """`upto` numbers in `shards` shards; those divisible by `bad` are rejected."""

    upto: int = 100
    shards: int = 4
    bad: int = 0


def plan_count(config, sources, scratch: Path) -> ShardPlan:
    per = -(-config.upto // config.shards)
    payloads = []
    for i in range(config.shards):
        path = scratch / f"{i}.txt"
        path.write_text(" ".join(str(n) for n in range(i * per, min((i + 1) * per, config.upto))))
        payloads.append(path)
    return ShardPlan(payloads, [manifest.digest(p.read_text()) for p in payloads])


def run_count(ctx) -> None:
    for n in map(int, ctx.payload.read_text().split()):
        if ctx.config.bad and n % ctx.config.bad == 0:
            ctx.reject(f"n{n}", BadInput("divisible", f"{n} is divisible by {ctx.config.bad}"))
            continue
        ctx.write([{"id": f"n{n}", "n": n}])
        ctx.done(utterances=1, seconds=1.0)


class DoubleConfig(StageConfig):
    """`kill`: the process dies at this number, `once` (a file marks that it did) or each time; `late`: at the end."""

    times: int = 2
    kill: int = -1
    once: str = ""
    fail: bool = False
    late: bool = False


def run_double(ctx) -> None:
    for batch in ctx.batches("numbers", rows=7):
        for row in batch.to_pylist():
            died = ctx.crash_error(row["id"])
            if died is not None:
                ctx.reject(row["id"], died)
                continue
            with ctx.guard([row["id"]]):
                if row["n"] == ctx.config.kill and not (ctx.config.once and os.path.exists(ctx.config.once)):
                    if ctx.config.once:
                        Path(ctx.config.once).touch()
                    os.kill(os.getpid(), signal.SIGKILL)
                if ctx.config.fail:
                    raise KeyError("a fault of the program")
                ctx.write([{"id": row["id"], "n": row["n"] * ctx.config.times}])
    if ctx.config.late:
        signal.raise_signal(signal.SIGSEGV)  # in this very thread, as a fault in compiled code
    ctx.done(seconds=1.0)


def run_sum(ctx) -> None:
    total = sum(sum(b.column("n").to_pylist()) for b in ctx.batches("doubles"))
    (ctx.out / "sum.txt").write_text(str(total))
    (ctx.out / "deep").mkdir()
    (ctx.out / "deep" / "note.txt").write_text("a file in a folder")
    ctx.facts["sum"] = total


def run_regroup(ctx) -> None:
    ctx.open_shards(3)
    for batch in ctx.batches("doubles"):
        for row in batch.to_pylist():
            ctx.write([row], shard=row["n"] % 3)


HERE = "helpers.toy_stages"
COUNT = Stage(f"{HERE}:COUNT", 1, (), "numbers", CountConfig, run_count, NUMBERS, plan=plan_count)
DOUBLE = Stage(f"{HERE}:DOUBLE", 1, (Read("numbers", "numbers"),), "doubles", DoubleConfig, run_double, NUMBERS)
FRAGILE = Stage(
    f"{HERE}:FRAGILE", 1, (Read("numbers", "numbers"),), "doubles", DoubleConfig, run_double, NUMBERS, local="process"
)
SUM = Stage(f"{HERE}:SUM", 1, (Read("doubles", "doubles", sharded=False),), "total", StageConfig, run_sum, None)
REGROUP = Stage(
    f"{HERE}:REGROUP", 1, (Read("doubles", "doubles", sharded=False),), "groups", StageConfig, run_regroup, NUMBERS
)
