"""Units end to end, as times real time: `python benchmarks/units.py FOLDER` (a folder that `speechprep ingest` reads).

Runs ingest, sample, cluster and units in this process, one worker and one thread, and prints processor seconds by
stage, the shares of decoding, extracting and assigning in `units`, and the work done in each.

`--hubert MINUTES` instead: `units` alone, with HuBERT-base (random weights, layer 9, K = 500), on the first MINUTES of
FOLDER and on twice as many; prints what share of the wall time of the stage's work the encoder's forward pass takes,
and whether twice the audio takes twice the time.

`--two-workers SHARDS` instead: the whole stage `units` as a command runs it, with the same HuBERT, on the first SHARDS
of 16 of FOLDER, by one worker and by two, each time from nothing; prints both wall times and their ratio. It needs two
idle cores.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import tempfile
import time
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from speechprep.registry import make

os.environ.setdefault("OMP_NUM_THREADS", "1")


def run(
    name: str,
    inputs: dict[str, str],
    out: str,
    sources: list[str] | None = None,
    config: dict[str, Any] | None = None,
    **options: Any,
) -> tuple[float, Any]:
    """Processor seconds of a stage, and its result; `options`: more of `Options`."""
    from speechprep.pipelines.engine.plan import Step
    from speechprep.pipelines.engine.run import Options, run_steps
    from speechprep.pipelines.engine.stage import find_stage

    stage = find_stage(name)
    step = Step(
        name,
        stage,
        stage.configure(config or {}),
        0,
        {r: f"{out}/{k}" for r, k in inputs.items()},
        f"{out}/{stage.writes}",
        sources or [],
    )
    began = time.process_time()
    result = run_steps([step], Options(max_reject_fraction=1.0, **options))[0]
    return time.process_time() - began, result


def parts(out: str) -> dict[str, float]:
    """Processor seconds of decoding, extracting and assigning, each by itself."""
    from speechprep.artifacts import manifest, shards
    from speechprep.artifacts.codebook import Codebook
    from speechprep.artifacts.media import audio
    from speechprep.tokenizers.kmeans.nearest import Centroids

    codebook = Codebook.load(f"{out}/codebook")
    extractor = make("extractors", codebook.backend["extractor"], codebook.backend["options"])
    extractor.load()
    centroids = Centroids(codebook.centroids)
    spent = {"decode": 0.0, "extract": 0.0, "assign": 0.0}
    for shard in manifest.read(f"{out}/utterances").shards:
        for batch in shards.read_batches(
            f"{out}/utterances/{shard.name}", ["audio", "audio_bytes", "offset", "duration"]
        ):
            for row in batch.to_pylist():
                t0 = time.process_time()
                sound = audio.decode(
                    row["audio_bytes"] or row["audio"], row["offset"], row["duration"], extractor.sample_rate
                )
                t1 = time.process_time()
                frames = extractor.extract([sound])[0]
                t2 = time.process_time()
                centroids.assign(frames)
                spent["decode"] += t1 - t0
                spent["extract"] += t2 - t1
                spent["assign"] += time.process_time() - t2
    return spent


def hubert(folder: str, minutes: float) -> None:
    """The share of the forward pass, and how the cost grows."""
    import numpy as np
    import torch
    from extractors import models
    from measure import stand_in

    from speechprep.artifacts import manifest, shards
    from speechprep.artifacts.codebook import Codebook
    from speechprep.artifacts.schemas import UTTERANCES
    from speechprep.pipelines.backends.extractors.hubert import HubertExtractor
    from speechprep.pipelines.engine.context import ShardContext
    from speechprep.pipelines.engine.task import Input, Task, Work
    from speechprep.pipelines.stages import units

    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as out:
        run("ingest", {}, out, [folder])
        found = manifest.read(f"{out}/utterances")
        files = [f"{out}/utterances/{shard.name}" for shard in found.shards]
        rows = [row for file in files for batch in shards.read_batches(file) for row in batch.to_pylist()]
        model, _ = models(Path(out))
        extractor = HubertExtractor(str(model), 9, device="cpu")
        extractor.load()
        noise = np.random.default_rng(0).standard_normal(12 * 16_000).astype(np.float32) * np.float32(0.1)
        book = Codebook(extractor.extract([noise])[0][:500], extractor.identity(), extractor.grid)
        (Path(out) / "codebook").mkdir()
        book.save(Path(out) / "codebook")
        forward, inside = extractor._run, [0.0]

        def clocked(*given: Any) -> Any:
            began = time.perf_counter()
            made = forward(*given)
            inside[0] += time.perf_counter() - began
            return made

        extractor._run = clocked
        cost, chosen, seconds = [], [], 0.0
        for row in rows:
            if seconds < 60 * minutes:
                chosen.append(row)
                seconds += row["duration"]
        for times in (1, 2):
            part = Path(out) / f"part{times}"
            with shards.ShardWriter(str(part / shards.shard_name(0, 1)), UTTERANCES) as writer:
                writer.write(chosen * times)
            facts = manifest.Manifest("codebook", "", "", {}, [], {}, [], {}, {"k": 500})
            inputs = {
                "utterances": stand_in("utterances", part, {}),
                "codebook": Input(f"{out}/codebook", None, facts),
            }
            inputs["utterances"].file = shards.shard_name(0, 1)
            task = Task("units", {}, 0, 0, 1, "", f"{out}/units{times}", {})
            ctx = ShardContext(Work(task, units.Config(), inputs, extractor, Path(out)))
            ctx.schema = units.schema(ctx)
            inside[0], cpu, began = 0.0, time.process_time(), time.perf_counter()
            units.run(ctx)
            for writer in ctx.written.values():
                writer.__exit__(None, None, None)
            wall, cpu = time.perf_counter() - began, time.process_time() - cpu
            cost.append(cpu / seconds / times)
            share, audio = inside[0] / wall, times * seconds / 60
            print(
                f"{audio:.1f} min of audio: {wall:.1f} s, {share:.1%} of it in the forward pass; {cost[-1]:.4f} cpu s/s"
            )
        print(f"twice the audio costs {2 * cost[1] / cost[0]:.2f} x as much")


def two_workers(folder: str, shards: int) -> None:
    """Wall time of the stage with one worker and with two."""
    from extractors import models

    from speechprep.artifacts import manifest
    from speechprep.pipelines.engine.beam.runner import Engine

    with tempfile.TemporaryDirectory() as out:
        model, _ = models(Path(out))
        run("ingest", {}, out, [folder], {"shards": 16})
        found = manifest.read(f"{out}/utterances")
        part = Path(out) / "part"
        part.mkdir()
        taken = (pq.read_table(f"{out}/utterances/{shard.name}") for shard in found.shards[:shards])
        rows = [row for table in taken for row in table.select(["id", "audio", "offset", "duration"]).to_pylist()]
        (part / "manifest.jsonl").write_text("\n".join(map(json.dumps, rows)))
        run("ingest", {}, out, [str(part)], {"shards": 16}, rebuild=True)
        options = {"extractor": "hubert", "options": {"model": str(model), "layer": 9, "device": "cpu"}}
        run("sample", {"utterances": "utterances", "corpus": "utterances"}, out, config={"max_frames": 500, **options})
        run("cluster", {"sample": "sample"}, out, config={"k": 100, "min_perplexity": 0.0, "max_unused": 1.0})
        wall = []
        for workers in (1, 2):
            shutil.rmtree(f"{out}/units", ignore_errors=True)
            began = time.perf_counter()
            inputs = {"utterances": "utterances", "codebook": "codebook"}
            _, made = run("units", inputs, out, engine=Engine(workers=workers))
            wall.append(time.perf_counter() - began)
            print(f"{workers} worker(s): {made.rows} utterances, {made.seconds / 60:.1f} min in {wall[-1]:.1f} s")
        print(f"two workers are {wall[0] / wall[1]:.2f} x one")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    shared = Path(__file__).resolve().parents[2] / "shared" / "data" / "librispeech-mini"
    parser.add_argument("folder", type=Path, nargs="?", default=shared)
    parser.add_argument(
        "--hubert", type=float, metavar="MINUTES", help="of audio through a HuBERT of base size instead"
    )
    parser.add_argument(
        "--two-workers", type=int, metavar="SHARDS", help="of 16, through the whole stage by one worker and by two"
    )
    given = parser.parse_args()
    if given.hubert:
        hubert(str(given.folder.resolve()), given.hubert)
        return
    if given.two_workers:
        two_workers(str(given.folder.resolve()), given.two_workers)
        return
    with tempfile.TemporaryDirectory() as out:
        run("ingest", {}, out, [str(given.folder.resolve())])
        sample, found = run("sample", {"utterances": "utterances", "corpus": "utterances"}, out)
        seconds = found.seconds
        cluster, _ = run("cluster", {"sample": "sample"}, out)
        units, result = run("units", {"utterances": "utterances", "codebook": "codebook"}, out)
        print(f"{seconds / 60:.1f} min of audio, {result.rows} utterances, {int(result.counters['frames'])} units")
        for name, spent in (("sample", sample), ("cluster", cluster), ("units", units)):
            print(f"{name:8} {spent:7.2f} cpu s  {seconds / spent:8.0f} x real time")
        split = parts(out)
        total = sum(split.values())
        for name, spent in split.items():
            print(f"  {name:8} {spent:6.2f} cpu s  {spent / total:5.0%}")


if __name__ == "__main__":
    main()
