"""Processor time of `import speechprep` and `speechprep --help`, beside an empty program and an import of Apache Beam.

python benchmarks/startup.py [--runs 10]

Prints the smallest of several runs, each in a new process, with the ratio to the import of Beam.
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys

PROGRAMS = {
    "empty program": ["-c", "pass"],
    "import speechprep": ["-c", "import speechprep"],
    "speechprep --help": ["-m", "speechprep", "--help"],
    "import apache_beam": ["-W", "ignore", "-c", "import apache_beam"],
}


def cpu_seconds(arguments: list[str]) -> float:
    """Processor seconds of a new interpreter."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, *arguments], check=True, capture_output=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=10, help="new processes for each program (default 10)")
    runs = parser.parse_args().runs
    seconds = {name: min(cpu_seconds(words) for _ in range(runs)) for name, words in PROGRAMS.items()}
    print(f"{'program':<20}{'cpu ms':>8}{'of Beam':>9}")
    for name, own in seconds.items():
        print(f"{name:<20}{own * 1000:>8.0f}{own / seconds['import apache_beam']:>9.2f}")


if __name__ == "__main__":
    main()
