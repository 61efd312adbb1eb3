"""Units end to end, as times real time: `python benchmarks/units.py FOLDER` (a folder that `speechprep ingest` reads).

Runs ingest, sample, cluster and units in this process, one worker and one thread, and prints processor seconds by
stage, the shares of decoding, extracting and assigning in `units`, and the work done in each.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")


def run(name: str, inputs: dict[str, str], out: str, sources: list[str] | None = None) -> tuple[float, Any]:
    from speechprep.pipelines.engine.plan import Step
    from speechprep.pipelines.engine.run import Options, run_steps
    from speechprep.pipelines.engine.stage import find_stage

    stage = find_stage(name)
    step = Step(
        name,
        stage,
        stage.configure({}),
        0,
        {r: f"{out}/{k}" for r, k in inputs.items()},
        f"{out}/{stage.writes}",
        sources or [],
    )
    began = time.process_time()
    result = run_steps([step], Options(max_reject_fraction=1.0))[0]
    return time.process_time() - began, result


def parts(out: str) -> dict[str, float]:
    """Processor seconds of decoding, extracting and assigning, each by itself."""
    from speechprep.artifacts import audio, manifest, shards
    from speechprep.artifacts.codebook import Codebook
    from speechprep.pipelines.features import make_extractor
    from speechprep.tokenizers.quantizer import Centroids

    codebook = Codebook.load(f"{out}/codebook")
    extractor = make_extractor(codebook.backend["extractor"], codebook.backend["options"])
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


def main() -> None:
    with tempfile.TemporaryDirectory() as out:
        run("ingest", {}, out, [str(Path(sys.argv[1]).resolve())])
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
