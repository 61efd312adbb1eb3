"""The same input gives the same bytes: for any workers, order of files, crash; the same rows for any shards."""

from __future__ import annotations

import hashlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from helpers.demo_run import run

from speechprep.artifacts import shards, storage
from speechprep.demo import corpus_path

pytestmark = pytest.mark.slow
DATASETS = ["utterances", "words", "units", "tokens", "packed", "pooled"]


def files(run_folder: Path) -> dict[str, str]:
    """Every file but the manifests, which name the place of the source."""
    return {
        p.relative_to(run_folder).as_posix(): hashlib.sha256(p.read_bytes()).hexdigest()
        for p in sorted(run_folder.rglob("*"))
        if p.is_file() and p.name != "_manifest.json"
    }


def rows(folder: Path) -> list[dict]:
    names = shards.shard_names(list(storage.sizes(str(folder))))
    found = [r for n in names for b in shards.read_batches(str(folder / n)) for r in b.to_pylist()]
    return sorted(found, key=lambda r: (json.dumps(r.get("id") or r.get("ids")), str(r.get("kind"))))


@pytest.fixture(scope="module")
def corpus(tmp_path_factory) -> Path:
    """The demo corpus with one bad file and one bad line, so that rejects are part of the comparison."""
    folder = tmp_path_factory.mktemp("corpus") / "demo"
    shutil.copytree(corpus_path(), folder)
    (folder / "broken.wav").write_bytes(b"not audio at all")
    with (folder / "manifest.jsonl").open("a") as f:
        f.write('{"id": "broken", "audio": "broken.wav", "text": "nothing"}\n')
    return folder


@pytest.fixture(scope="module")
def reference(corpus, tmp_path_factory) -> Path:
    return run(corpus, tmp_path_factory.mktemp("reference") / "run", workers=1)


@pytest.mark.parametrize("workers", [pytest.param(2, marks=pytest.mark.long), 7])
def test_the_number_of_workers_changes_no_byte(corpus, reference, tmp_path, workers):
    other = run(corpus, tmp_path / "run", workers=workers)
    assert files(other) == files(reference)
    assert [r["id"] for r in rows(other / "utterances/_rejects")] == ["broken"]
    for path in reference.rglob("_manifest.json"):
        assert path.read_bytes() == (other / path.relative_to(reference)).read_bytes(), path


def test_the_order_of_the_files_changes_no_byte(corpus, reference, tmp_path):
    lines = (corpus / "manifest.jsonl").read_text().splitlines(keepends=True)
    shuffled = corpus / "shuffled.jsonl"
    shuffled.write_text("".join(random.Random(7).sample(lines, len(lines))))
    try:
        other = run(shuffled, tmp_path / "run")
    finally:
        shuffled.unlink()
    # a reject's message names the line of the manifest, and its retry the input: both have changed
    assert {k: v for k, v in files(other).items() if "rejects" not in k} == {
        k: v for k, v in files(reference).items() if "rejects" not in k
    }
    changed = {"message", "retry"}
    rejects = [{k: v for k, v in r.items() if k not in changed} for r in rows(other / "utterances/_rejects")]
    expected = [{k: v for k, v in r.items() if k not in changed} for r in rows(reference / "utterances/_rejects")]
    assert rejects == expected


@pytest.mark.parametrize("count", [pytest.param(1, marks=pytest.mark.long), 3, 16])
def test_the_number_of_shards_changes_no_row(corpus, reference, tmp_path, count):
    other = run(corpus, tmp_path / "run", f"ingest.shards={count}")
    assert len(list((other / "words").glob("part-*.parquet"))) == count
    for name in DATASETS:
        # the fingerprint of a codebook holds all that led to it, the number of shards of its sample included
        strip = [{k: v for k, v in r.items() if k != "codebook"} for r in rows(other / name)]
        assert strip == [{k: v for k, v in r.items() if k != "codebook"} for r in rows(reference / name)], name


DRIVER = "from pathlib import Path; from helpers.demo_run import run; run(Path({source!r}), Path({out!r}))"


def test_a_run_killed_at_any_moment_and_started_again_gives_the_same_bytes(corpus, reference, tmp_path):
    out = tmp_path / "run"
    code = DRIVER.format(source=str(corpus), out=str(out))
    moments = random.Random(int(os.environ.get("KILL_SEED", "1")))
    committed: list[int] = []
    for _ in range(6):
        process = subprocess.Popen([sys.executable, "-W", "ignore", "-c", code], start_new_session=True)
        time.sleep(moments.uniform(2, 9))
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        committed.append(len(list(out.rglob("part-*.parquet"))) + len(list(out.rglob("_manifest.json"))))
    run(corpus, out)
    assert files(out) == files(reference)
    assert committed == sorted(committed), "what is committed must survive a kill"
