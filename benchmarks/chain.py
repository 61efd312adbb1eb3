"""The whole chain on real speech, from nothing to the report: times real time, peak memory, and how both grow.

    python benchmarks/chain.py [--data ../shared/data/librispeech-mini] [--copies 1 10] [--workers N]

The larger runs take the same recordings several times under other ids. Prints the wall time of the command as its user
waits for it, the times real time, and the largest memory of any of its processes.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path


def manifest(data: Path, copies: int, to: Path) -> float:
    """A manifest of `copies` times the corpus; its length in seconds."""
    rows = [json.loads(line) for line in (data / "manifest.jsonl").read_text().splitlines()]
    with to.open("w") as f:
        for copy in range(copies):
            for row in rows:
                f.write(json.dumps({**row, "id": f"{copy:02d}-{row['id']}", "audio": str(data / row["audio"])}) + "\n")
    return copies * sum(float(row["duration_s"]) for row in rows)


def run(source: Path, out: Path, workers: int) -> tuple[float, float, float]:
    """Wall seconds, processor seconds, peak MB of any process."""
    command = [
        sys.executable,
        "-m",
        "speechprep",
        "run",
        "speech",
        "--input",
        str(source),
        "--out",
        str(out),
        "--quiet",
    ]
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    began = time.perf_counter()
    subprocess.run([*command, "--workers", str(workers)], check=True)
    wall = time.perf_counter() - began
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return wall, cpu, after.ru_maxrss / 1024


def main() -> None:
    """Print one line for each size, then the ratios of the last to the first."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    shared = Path(__file__).resolve().parents[2] / "shared" / "data" / "librispeech-mini"
    parser.add_argument("--data", type=Path, default=shared)
    parser.add_argument("--copies", type=int, nargs="+", default=[1, 10])
    parser.add_argument("--workers", type=int, default=len(os.sched_getaffinity(0)))
    args = parser.parse_args()
    if not args.data.is_dir():
        print(f"no real speech here: {args.data} is absent")
        return
    found = []
    with tempfile.TemporaryDirectory() as folder:
        for copies in args.copies:
            source = Path(folder) / f"{copies}.jsonl"
            seconds = manifest(args.data.resolve(), copies, source)
            wall, cpu, peak = run(source, Path(folder) / str(copies), args.workers)
            found.append((wall, peak))
            print(
                f"{seconds / 60:7.1f} min of speech, {args.workers} workers: {wall:6.1f} s wall, {cpu:6.1f} s "
                f"processor, {seconds / wall:5.1f} x real time, largest process {peak:4.0f} MB",
                flush=True,
            )
    if len(found) > 1:
        (w0, p0), (w1, p1) = found[0], found[-1]
        growth = args.copies[-1] / args.copies[0]
        print(f"{growth:.0f} x the data: {w1 / w0:.2f} x the time, {p1 / p0:.2f} x the memory")


if __name__ == "__main__":
    main()
