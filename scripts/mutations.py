"""Mutation tests: change one node of the package, run the tests of its room, and list the changes that stay green.

python scripts/mutations.py                                   # at least 100 changes, at least 4 in each room
python scripts/mutations.py --room tokenizers/kmeans -n 20    # one room; repeatable
python scripts/mutations.py --list                            # draw only
python scripts/mutations.py --only 17 --only 18               # some numbers of the same draw
python scripts/mutations.py --jobs 2 --json > mutations.json

A room is a folder of the package; its tests are the files of the folder of the same path in tests/, or of the nearest
parent that has tests. Each change is applied in a copy of the checkout in a temporary folder. Test files with the name
of the changed module or an import of it run first, the others of the room if these stay green, tests marked slow last.
Before the changes, the unchanged copy must pass the same tests. The draw is the same for the same seed and tree.
"""

from __future__ import annotations

import argparse
import ast
import json
import os
import queue
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mutants import PACKAGE, Mutation, draw

ROOT = Path(__file__).resolve().parents[1]
PHASES = ("not slow and not long", "slow and not long")
ELSEWHERE = 4  # test files of other rooms that import the module; with more, it is a module that all use
NO_TESTS = 5  # exit status of pytest if no test was selected
RED, GREEN, UNTESTED, TIMEOUT = "red", "GREEN", "UNTESTED", "red (timeout)"


@dataclass(frozen=True)
class Result:
    """What the tests said about a change: `status`, seconds, and the first test that failed."""

    number: int
    mutation: Mutation
    status: str
    seconds: float
    failed: str

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        fields = {"number": self.number, "status": self.status.lower(), "seconds": round(self.seconds, 1)}
        return {**fields, "failed": self.failed, **self.mutation.as_dict()}


# -- tests of a module ------------------------------------------------------------------------------------------------


def room_tests(root: Path, room: str) -> list[str]:
    """Test files of the folder in tests/ with the room's path, or of its nearest parent with test files."""
    folder = root / "tests" / room
    while not (files := sorted(folder.glob("test_*.py"))) and folder != root / "tests":
        folder = folder.parent
    return [file.relative_to(root).as_posix() for file in files]


def imported_modules(file: Path) -> set[str]:
    """Dotted names that a file imports, members of modules included."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(file.read_bytes())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        if isinstance(node, ast.ImportFrom) and node.module:
            names |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return names


def tests_of(root: Path, path: str) -> tuple[list[str], list[str]]:
    """Test files of a module: those with its name or an import of it, then the other files of its room."""
    module = Path(path).with_suffix("")
    parts = [part for part in module.parts if part != "__init__"]
    room = room_tests(root, Path(path).parent.relative_to(PACKAGE).as_posix())
    named = re.compile(rf"test_(.*_)?({'|'.join(map(re.escape, {parts[-1], parts[-2]}))})(_.*)?\.py")
    everywhere = sorted(file.relative_to(root).as_posix() for file in (root / "tests").rglob("test_*.py"))
    importing = [test for test in everywhere if ".".join(parts) in imported_modules(root / test)]
    first = [test for test in room if named.fullmatch(Path(test).name) or test in importing]
    first.sort(key=lambda test: named.fullmatch(Path(test).name) is None)
    elsewhere = [test for test in importing if test not in room]
    first += elsewhere if len(elsewhere) <= ELSEWHERE else []
    return first, [test for test in room if test not in first]


# -- running -----------------------------------------------------------------------------------------------------------


def tracked(root: Path) -> Iterator[str]:
    """Files of the checkout that git does not ignore."""
    command = ["git", "-C", str(root), "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    names = subprocess.run(command, check=True, capture_output=True).stdout.decode().split("\0")
    yield from (name for name in names if name and (root / name).is_file())


class Checkout:
    """A copy of the checkout, without the folders beside it."""

    def __init__(self, root: Path, folder: Path, python: str) -> None:
        self.root, self.folder, self._python = root, folder, python
        self._clock = int(time.time())
        for name in tracked(root):
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(root / name, folder / name)
        for command in (["init", "-q"], ["add", "--all"]):  # some tests ask git for the list of files
            subprocess.run(["git", "-C", str(folder), *command], check=True)

    def write(self, path: str, data: bytes) -> None:
        """Replace a file. Each write has another time, so that no compiled file is taken for current."""
        self._clock += 2
        (self.folder / path).write_bytes(data)
        os.utime(self.folder / path, (self._clock, self._clock))

    def pytest(self, files: list[str], markers: str, timeout: float) -> tuple[int, str]:
        """Exit status and output of pytest, which stops at the first failure.

        Raises:
            subprocess.TimeoutExpired: the tests and all processes that they started are killed.
        """
        options = ["-x", "-p", "no:cacheprovider", "--hypothesis-seed=0", "-m", markers]
        command = [self._python, "-m", "pytest", *options, *files]
        environment = {**os.environ, "PYTHONPATH": str(self.folder), "TMPDIR": str(self._temporary())}
        process = subprocess.Popen(
            command, cwd=self.folder, env=environment, text=True, start_new_session=True,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip
        try:
            output, _ = process.communicate(timeout=timeout)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.communicate()
            raise
        return process.returncode, output

    def _temporary(self) -> Path:
        folder = self.folder.with_name(self.folder.name + "-tmp")
        shutil.rmtree(folder, ignore_errors=True)
        shutil.rmtree(self.folder / ".hypothesis", ignore_errors=True)
        folder.mkdir()
        return folder


def verdict(copy: Checkout, groups: Iterable[list[str]], timeout: float, *, slow: bool = True) -> tuple[str, str]:
    """Status of the copy as it is, and the first failed test: groups of test files in order, slow tests last."""
    passed = 0
    groups = [group for group in groups if group]
    left = time.monotonic() + timeout
    for markers in PHASES if slow else PHASES[:1]:
        for files in groups if markers == PHASES[0] else [[file for group in groups for file in group]]:
            try:
                code, output = copy.pytest(files, markers, max(left - time.monotonic(), 1))
            except subprocess.TimeoutExpired:
                return TIMEOUT, ""
            if code not in (0, NO_TESTS):
                failed = re.search(r"^(?:FAILED|ERROR) (\S+)", output, re.MULTILINE)
                return RED, failed[1] if failed else output.strip().rsplit("\n", 1)[-1][:120]
            counts = re.findall(r"(\d+) passed", output)
            passed += int(counts[-1]) if counts else 0
    return (GREEN if passed else UNTESTED), ""


def try_mutation(copy: Checkout, number: int, mutation: Mutation, timeout: float, *, slow: bool) -> Result:
    """Apply a change to a copy, run its tests, and undo it."""
    original = (copy.folder / mutation.path).read_bytes()
    began = time.monotonic()
    copy.write(mutation.path, mutation.applied(original))
    try:
        status, failed = verdict(copy, tests_of(copy.root, mutation.path), timeout, slow=slow)
    finally:
        copy.write(mutation.path, original)
    return Result(number, mutation, status, time.monotonic() - began, failed)


class Copies:
    """Checkouts that threads take and give back.

    Args:
        root: of the repository. folder: to copy to. jobs: number of copies. python: interpreter of the tests.
    """

    def __init__(self, root: Path, folder: Path, jobs: int, python: str) -> None:
        self.jobs = jobs
        self._free: queue.Queue[Checkout] = queue.Queue()
        for i in range(jobs):
            self._free.put(Checkout(root, folder / str(i) / "checkout", python))

    def map(self, work: Callable[[Checkout, Any], Any], items: Iterable[Any]) -> Iterator[Any]:
        """`work(copy, item)` of all items, in the order in which they are done."""

        def one(item: Any) -> Any:
            copy = self._free.get()
            try:
                return work(copy, item)
            finally:
                self._free.put(copy)

        with ThreadPoolExecutor(self.jobs) as pool:
            try:
                for future in as_completed([pool.submit(one, item) for item in items]):
                    yield future.result()
            finally:
                pool.shutdown(cancel_futures=True)


def broken_tests(copies: Copies, root: Path, mutations: Iterable[Mutation], timeout: float, *, slow: bool) -> list[str]:
    """Tests of these changes that fail without a change."""
    files = {test for path in {m.path for m in mutations} for group in tests_of(root, path) for test in group}
    groups = [[file for file in sorted(files) if Path(file).parent == f] for f in {Path(file).parent for file in files}]
    found = copies.map(lambda copy, group: (*verdict(copy, [group], 10 * timeout, slow=slow), group), groups)
    return [failed or " ".join(group) for status, failed, group in found if status in (RED, TIMEOUT)]


def run(mutations: dict[int, Mutation], root: Path, options: argparse.Namespace) -> Iterator[Result]:
    """Results as they come."""
    with tempfile.TemporaryDirectory(prefix="mutations-") as scratch:
        copies = Copies(root, Path(scratch), options.jobs, options.python)
        if options.baseline:
            broken = broken_tests(copies, root, mutations.values(), options.timeout, slow=options.slow)
            if broken:
                raise SystemExit(f"{', '.join(broken)} fails without a change; mend it, or say --no-baseline")

        def one(copy: Checkout, item: tuple[int, Mutation]) -> Result:
            return try_mutation(copy, *item, options.timeout, slow=options.slow)

        yield from copies.map(one, mutations.items())


# -- command line ------------------------------------------------------------------------------------------------------


def short(text: str, width: int = 60) -> str:
    """Text on one line, cut in the middle."""
    text = " ".join(text.split())
    return text if len(text) <= width else f"{text[: width // 2]} .. {text[-width // 2 + 4 :]}"


def line(number: int, mutation: Mutation, *more: str) -> str:
    """A row of the table."""
    place = f"{mutation.path}:{mutation.line}"
    change = f"`{short(mutation.before)}` -> `{short(mutation.after)}`".replace("|", "\\|")
    return " | ".join([f"| {number}", place, mutation.operator, change, *more]) + " |"


def parsed(arguments: list[str] | None) -> argparse.Namespace:
    """Options of the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("-n", type=int, default=100, help="changes to draw; more if the rooms need it (default 100)")
    parser.add_argument("--seed", type=int, default=0, help="of the draw (default 0)")
    parser.add_argument("--room", action="append", default=[], help="folder within the package; repeatable")
    parser.add_argument("--only", type=int, action="append", default=[], help="number of a change; repeatable")
    parser.add_argument("--list", action="store_true", help="print the draw and run nothing")
    parser.add_argument("--json", action="store_true", help="print a JSON list instead of a table")
    parser.add_argument("--jobs", type=int, default=2, help="copies of the checkout that run tests at once (default 2)")
    parser.add_argument("--timeout", type=float, default=300, help="seconds for the tests of a change (default 300)")
    parser.add_argument("--python", default=sys.executable, help="interpreter that runs the tests (default: this one)")
    parser.add_argument("--no-slow", dest="slow", action="store_false", help="leave out the tests marked slow")
    parser.add_argument("--no-baseline", dest="baseline", action="store_false", help="skip the unchanged copy's tests")
    return parser.parse_args(arguments)


def main(arguments: list[str] | None = None, root: Path = ROOT) -> int:
    """Draw, run and print. Returns 1 if a change stayed green, else 0."""
    options = parsed(arguments)
    drawn = dict(enumerate(draw(root, options.n, options.seed, tuple(options.room)), 1))
    chosen = {number: m for number, m in drawn.items() if not options.only or number in options.only}
    if options.list:
        rows = [{"number": number, **m.as_dict()} for number, m in chosen.items()]
        print(json.dumps(rows, indent=1) if options.json else "\n".join(line(*item) for item in chosen.items()))
        return 0
    if not options.json:
        print("| number | place | operator | change | result | seconds | first failed test |")
        print("|---" * 7 + "|")
    results = []
    for result in run(chosen, root, options):
        results.append(result)
        if not options.json:
            print(
                line(result.number, result.mutation, result.status, f"{result.seconds:.0f}", result.failed), flush=True
            )
    survivors = [result for result in results if result.status in (GREEN, UNTESTED)]
    if options.json:
        print(json.dumps([result.as_dict() for result in sorted(results, key=lambda result: result.number)], indent=1))
    else:
        print(f"\n{len(results)} changes, {len(survivors)} stayed green: {[r.number for r in survivors]}")
    return int(bool(survivors))


if __name__ == "__main__":
    sys.exit(main())
