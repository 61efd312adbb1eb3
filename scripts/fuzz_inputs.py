"""Fuzzer of `ingest`: mutated manifests, files beside the audio, archives and audio headers.

    python scripts/fuzz_inputs.py                        # 20,000 inputs
    python scripts/fuzz_inputs.py --count 500 --seed 7
    python scripts/fuzz_inputs.py --only 1234            # one input of the draw, with its traceback

Each input is one layout of `tests/helpers/layouts.py` with one to three changed files. An input passes if `ingest`
lists it and examines its audio within the time limit, and if each record is a row or a reject with a reason. An error
for the user (`ConfigError`) also passes: it names an input that cannot be read at all. The exit code is 1 for any other
error, for a time limit, and for a crash of the process. The inputs run in a child process; after a crash, another one
goes on.
"""

from __future__ import annotations

import argparse
import faulthandler
import json
import os
import random
import signal
import sys
import tempfile
import traceback
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pyarrow.parquet as pq

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

from helpers.layouts import LAYOUTS, PACKERS, Files  # noqa: E402

from speechprep.errors import BadInput, ConfigError  # noqa: E402
from speechprep.pipelines.sources.dialect import find_dialect  # noqa: E402
from speechprep.pipelines.stages import ingest  # noqa: E402

FAULTS = ("error", "hang", "crash")
LIMIT = 10  # seconds of CPU time for one input
WALL = 120  # seconds for one input, for waiting without an end
TOKENS = (
    b'"', b"{", b"}", b"[", b"]", b",", b"\t", b"|", b"\n", b"\r", b"\0", b"\xff\xfe", b"\xef\xbb\xbf", b"-1", b"1e999",
    b"NaN", b"null", b"true", b"9" * 400, b"../" * 9, b"/etc/passwd", b"\xed\xa0\x80", b"<v x>", b"-->",
    b"00:00:99,999", b"\xf0\x9f\x98\x80", b"%00", b"~", b"|", b" ", b"s3://x/y", b"file://", b"[" * 3000,
    b'{"a":' * 2000,
)  # fmt: skip


class TimeLimitError(Exception):
    """An input takes longer than the limit."""


def mutated(data: bytes, rng: random.Random) -> bytes:
    """The bytes with some changes: flipped bits, cuts, copies, swapped lines and inserted tokens."""
    body = bytearray(data)
    for _ in range(rng.choice((1, 1, 2, 4, 16))):
        at = rng.randrange(len(body) + 1)
        if rng.random() < 0.5:
            at = min(at, rng.randrange(512))  # headers
        kind = rng.randrange(8)
        if kind == 0 and at < len(body):
            body[at] ^= 1 << rng.randrange(8)
        elif kind == 1:
            del body[at : at + rng.choice((1, 4, 64, 4096))]
        elif kind == 2:
            body[at:at] = rng.choice(TOKENS)
        elif kind == 3:
            body[at:at] = body[at : at + rng.randrange(1, 200)]
        elif kind == 4:
            del body[at:]
        elif kind == 5 and at < len(body):
            body[at : at + 4] = rng.choice((b"\0\0\0\0", b"\xff\xff\xff\xff", b"\x7f\xff\xff\xff", b"\x80\0\0\0"))
        elif kind == 6:
            lines = bytes(body).split(b"\n")
            i, j = rng.randrange(len(lines)), rng.randrange(len(lines))
            lines[i], lines[j] = lines[j], lines[i]
            body = bytearray(b"\n".join(lines))
        else:
            body[at : at + rng.randrange(1, 8)] = rng.randbytes(rng.randrange(8))
    return bytes(body)


def drawn(number: int, seed: int) -> tuple[str, Files, str | None]:
    """(layout, its files after the changes, archive or None) of one input."""
    rng = random.Random(f"{seed}:{number}")
    name = rng.choice(list(LAYOUTS))
    files = dict(LAYOUTS[name].files)
    packer = rng.choice([None, None, None, *PACKERS])
    described = [file for file in files if not file.endswith((".wav", ".flac", ".mp3", ".WAV"))]
    for _ in range(rng.choice((1, 1, 2, 3))):
        chosen = rng.choice(described if described and rng.random() < 0.7 else list(files))
        files[chosen] = mutated(files[chosen], rng)
    return name, files, packer


def ingested(place: Path, scratch: Path) -> tuple[int, int]:
    """(rows, rejects) of one input: its listing, and the header of the audio of each record."""
    config = ingest.STAGE.configure({"shards": 1})
    plan = ingest.plan(config, [str(place)], scratch)
    assert all(code.code and str(code) for _, code, _ in plan.rejects), "a reject without a reason"
    rows, rejects = 0, len(plan.rejects)
    for entry in pq.read_table(plan.payloads[0]).to_pylist():
        source: object = entry["audio"]
        if entry["archive"]:
            opener = find_dialect(entry["archive"]).archive
            assert opener is not None
            try:
                with opener(entry["audio"]) as reader:
                    source = reader.read(entry)
            except BadInput as error:
                source = error
        file = ingest.examine(source, keep=entry["archive"] is not None)
        row = ingest._row(entry, file, time_limit=float(LIMIT), verify=False)
        rejects += isinstance(row, BadInput)
        rows += not isinstance(row, BadInput)
    return rows, rejects


def _stop(*_: object) -> None:
    raise TimeLimitError


def outcome(number: int, seed: int, folder: Path) -> tuple[str, str]:
    """(result, detail) of one input; the result is rows, rejects, refused, error or hang."""
    name, files, packer = drawn(number, seed)
    place = folder / str(number)
    (place / "scratch").mkdir(parents=True)
    (place / "in").mkdir()
    signal.alarm(WALL)
    signal.setitimer(signal.ITIMER_PROF, LIMIT)
    try:
        if packer is not None:
            body = PACKERS[packer](files)
            rng = random.Random(f"{seed}:{number}:archive")
            (place / f"in/x.{packer}").write_bytes(mutated(body, rng) if rng.random() < 0.3 else body)
        for file, body in files.items() if packer is None else ():
            (place / "in" / file).parent.mkdir(parents=True, exist_ok=True)
            (place / "in" / file).write_bytes(body)
        rows, rejects = ingested(place / "in", place / "scratch")
        return ("rows" if rows else "rejects"), f"{name}: {rows} rows, {rejects} rejects"
    except ConfigError as error:
        return "refused", f"{name}: {error}"
    except TimeLimitError:
        return "hang", f"{name} ({packer})"
    except Exception:  # noqa: BLE001 - the fuzzer reports every error
        return "error", f"{name} ({packer}): {traceback.format_exc()}"
    finally:
        signal.alarm(0)
        signal.setitimer(signal.ITIMER_PROF, 0)


def outcomes(numbers: list[int], seed: int) -> Iterator[tuple[int, str, str]]:
    """(number, result, detail) of each input, computed in child processes; the result of a crash is crash."""
    while numbers:
        receive, send = os.pipe()
        child = os.fork()
        if not child:
            os.close(receive)
            with os.fdopen(send, "w") as pipe:
                for number in numbers:
                    with tempfile.TemporaryDirectory() as folder:
                        print(json.dumps([number, *outcome(number, seed, Path(folder))]), file=pipe, flush=True)
            os._exit(0)
        os.close(send)
        done = 0
        with os.fdopen(receive) as pipe:
            for line in pipe:
                number, result, detail = json.loads(line)
                done += 1
                yield number, result, detail
        _, status = os.waitpid(child, 0)
        if status and done < len(numbers):
            yield numbers[done], "crash", f"{drawn(numbers[done], seed)[0]}: status {status}"
            done += 1
        numbers = numbers[done:]


def main() -> None:
    """Run the inputs and print the counts."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=20_000, help="number of inputs")
    parser.add_argument("--first", type=int, default=0, help="number of the first input")
    parser.add_argument("--seed", type=int, default=0, help="seed of the draw")
    parser.add_argument("--only", type=int, help="one input by its number")
    options = parser.parse_args()
    signal.signal(signal.SIGALRM, _stop)
    signal.signal(signal.SIGPROF, _stop)
    faulthandler.enable()
    numbers = [options.only] if options.only is not None else [*range(options.first, options.first + options.count)]
    counts: Counter[str] = Counter()
    kinds: Counter[str] = Counter()
    for number, result, detail in outcomes(numbers, options.seed):
        counts[result] += 1
        if counts.total() % 1000 == 0:
            print(f"{counts.total():,} inputs, up to number {number}", flush=True)
        if result in FAULTS:
            lines = detail.strip().splitlines()
            kinds[f"{lines[-1]} {lines[-3].strip() if len(lines) > 3 else ''}"[:300]] += 1
            if kinds.total() <= 40 or options.only is not None:
                print(f"input {number}: {result} {detail}", flush=True)
        elif options.only is not None:
            print(f"input {number}: {result} {detail}")
    print(", ".join(f"{count:,} {result}" for result, count in sorted(counts.items())))
    for kind, count in kinds.most_common():
        print(f"{count:,} x {kind}")
    sys.exit(1 if any(counts[fault] for fault in FAULTS) else 0)


if __name__ == "__main__":
    main()
