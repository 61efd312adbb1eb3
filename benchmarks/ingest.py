"""How fast `ingest` takes in small files, beside a bare loop over the same files.

The bare loop reads each file, hashes it and asks soundfile for its header: the least that any such tool must do. With
lhotse installed its manifest builder runs over the same files too (it does not hash).

    python benchmarks/ingest.py --files 4000
"""

from __future__ import annotations

import argparse
import hashlib
import resource
import struct
import tempfile
import time
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import soundfile

from speechprep.pipelines.engine.beam.runner import Engine
from speechprep.pipelines.engine.plan import Step
from speechprep.pipelines.engine.run import Options, run_steps
from speechprep.pipelines.stages.ingest import STAGE

RATE = 16_000


def make_files(folder: Path, n: int, seconds: float) -> int:
    """`n` WAV files, each of other content, in folders of 500; returns their bytes."""
    body = bytes(2 * round(seconds * RATE))
    for i in range(n):
        place = folder / f"{i // 500:03d}"
        place.mkdir(parents=True, exist_ok=True)
        data = struct.pack("<I", i) + body[4:]
        header = b"RIFF" + struct.pack("<I", 36 + len(data)) + b"WAVEfmt "
        header += struct.pack("<IHHIIHH", 16, 1, 1, RATE, 2 * RATE, 2, 16) + b"data" + struct.pack("<I", len(data))
        (place / f"{i:06d}.wav").write_bytes(header + data)
    return n * len(body)


def bare(folder: Path) -> int:
    """Read, hash, header; one file after the other."""
    n = 0
    for path in folder.rglob("*.wav"):
        hashlib.sha256(path.read_bytes()).hexdigest()
        n += soundfile.info(str(path)).frames > 0
    return n


def with_lhotse(folder: Path) -> int:
    """lhotse's own way from a folder to a recording manifest."""
    from lhotse import RecordingSet

    return len(RecordingSet.from_dir(folder, "*.wav"))


def with_ingest(folder: Path, out: Path, workers: int) -> int:
    """The stage, through the engine, from nothing to a complete dataset."""
    step = Step("ingest", STAGE, STAGE.configure({}), 0, {}, str(out), [str(folder)])
    return run_steps([step], Options(engine=Engine(workers=workers)))[0].rows


def timed(work: Callable[[], int]) -> tuple[int, float, float]:
    """(result, wall seconds, processor seconds of this process)."""
    wall, cpu = time.perf_counter(), time.process_time()
    result = work()
    return result, time.perf_counter() - wall, time.process_time() - cpu


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--files", type=int, default=4000)
    parser.add_argument("--seconds", type=float, default=1.0, help="length of each file")
    parser.add_argument("--workers", type=int, default=2)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / "audio"
        size = make_files(folder, args.files, args.seconds)
        print(f"{args.files:,} WAV files of {args.seconds:g} s, {size / 1e6:,.0f} MB")
        runs: list[tuple[str, Callable[[], int]]] = [
            ("bare loop (hashlib + soundfile.info)", lambda: bare(folder)),
            ("bare loop again", lambda: bare(folder)),
            (
                f"speechprep ingest, {args.workers} workers",
                lambda: with_ingest(folder, Path(scratch) / "a", args.workers),
            ),
            ("speechprep ingest, 1 worker", lambda: with_ingest(folder, Path(scratch) / "b", 1)),
        ]
        if find_spec("lhotse"):
            runs.append(("lhotse RecordingSet.from_dir", lambda: with_lhotse(folder)))
        else:
            print("lhotse is not installed: no comparison with it")
        make_files(Path(scratch) / "warm", 8, args.seconds)
        with_ingest(Path(scratch) / "warm", Path(scratch) / "w", 1)  # imports (Beam's take seconds) are not throughput
        base = 0.0
        for name, work in runs:
            n, wall, cpu = timed(work)
            if n != args.files:
                raise SystemExit(f"{name}: {n} files instead of {args.files}")
            base = base or wall
            speed, ratio, us = n / wall, wall / base, 1e6 * cpu / n
            print(f"{name:40s} {speed:8,.0f} files/s  {ratio:5.2f}x the bare loop's time  {us:6.0f} us CPU a file")
    print(f"peak memory {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:,.0f} MB")


if __name__ == "__main__":
    main()
