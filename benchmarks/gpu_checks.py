"""All open checks on a GPU in one command, each in a process of its own with a time limit.

    python benchmarks/gpu_checks.py --out FOLDER [--minutes 8] [--part tests ...]

First the tests marked `gpu`, then training, encoders and k-means. A part that fails or runs out of time is named in
FOLDER/checks.json and does not stop the others. `--small` runs tiny sizes, also without a GPU.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
SMALL = ["--size", "tiny", "--context", "128", "--rows", "2", "--steps", "2"]


def parts(out: Path, *, small: bool) -> dict[str, tuple[list[str], float]]:
    """Command and time limit in seconds of each part, in order."""
    python = sys.executable
    gpu = [python, str(HERE / "gpu.py"), "--minutes", "1"]
    training = [python, str(HERE / "gpu_training.py"), "--out", str(out)]
    tests = ["-m", "pytest", "-m", "gpu", "-p", "no:cacheprovider", "--timeout", "110"]
    found: dict[str, tuple[list[str], float]] = {
        "tests": ([python, *tests, *(["-k", "kmeans or gradients"] if small else [])], 120)
    }
    for size, context, rows in (("350m", 2048, 8), ("125m", 2048, 8), ("125m", 4096, 4)):
        shape = SMALL if small else ["--size", size, "--context", str(context), "--rows", str(rows)]
        found[f"training-{size}-{context}"] = ([*training, *shape], 60)
    for name in ("hubert-base", "kmeans", "hubert-large", "whisper-medium", "whisper-small", "hubert-base-compiled"):
        folder = str(out / name)
        found[name] = ([*gpu, "--out", folder, "--part", name, *(["--small"] if small else [])], 70)
    return found


def main() -> None:
    """Run the parts, and write what became of each."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--minutes", type=float, default=8.0, help="no part begins after these")
    parser.add_argument("--part", action="append", help="only this part; repeatable")
    parser.add_argument("--small", action="store_true", help="tiny sizes")
    args = parser.parse_args()
    out = args.out.resolve()
    out.mkdir(parents=True, exist_ok=True)
    began, results = time.monotonic(), []
    path = os.pathsep.join([str(HERE.parent), os.environ.get("PYTHONPATH", "")]).strip(os.pathsep)
    for name, (command, limit) in parts(out, small=args.small).items():
        if args.part and name not in args.part:
            continue
        left = 60 * args.minutes - (time.monotonic() - began)
        start = time.monotonic()
        if left <= 0:
            results.append({"part": name, "result": "no time left"})
        else:
            with (out / f"{name}.log").open("w") as log:
                try:
                    code = subprocess.run(
                        command, stdout=log, stderr=subprocess.STDOUT, timeout=limit, check=False, cwd=HERE.parent,
                        env={**os.environ, "PYTHONPATH": path},
                    ).returncode  # fmt: skip
                    result = "done" if code == 0 else f"failed with exit status {code}"
                except subprocess.TimeoutExpired:
                    result = f"stopped after {limit:.0f} s"
            results.append({"part": name, "result": result, "seconds": round(time.monotonic() - start, 1)})
        print(f"{time.monotonic() - began:6.1f} s  {name}: {results[-1]['result']}", flush=True)
        (out / "checks.json").write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    main()
