"""The whole chain on real speech and on hostile files, and what happens where there is no room for it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from speechprep.artifacts import manifest
from speechprep.errors import StaleArtifact, StorageError
from speechprep.pipelines.engine import recipe
from speechprep.pipelines.engine.beam.runner import Engine
from speechprep.pipelines.engine.run import Options, run_steps
from speechprep.pipelines.inspect.verify import verify

pytestmark = pytest.mark.slow


def run(source: Path, out: Path, *settings: str, name: str = "speech", limit: float = 1.0) -> Path:
    steps = recipe.build(recipe.load(name).with_options(list(settings)), [str(source)], str(out))
    run_steps(steps, Options(engine=Engine(workers=2), max_reject_fraction=limit))
    return out


def table(folder: Path) -> list[dict]:
    return [row for file in sorted(folder.glob("part-*.parquet")) for row in pq.read_table(file).to_pylist()]


def rejects(out: Path) -> dict[str, dict[str, str]]:
    """id -> {stage: code}"""
    found: dict[str, dict[str, str]] = {}
    for file in sorted(out.glob("*/_rejects/part-*.parquet")):
        for row in pq.read_table(file).to_pylist():
            found.setdefault(row["id"], {})[row["stage"]] = row["code"]
            assert row["message"]
            assert row["retry"].startswith(f"speechprep {row['stage']}")
    return found


@pytest.fixture(scope="module")
def librispeech(shared_data, tmp_path_factory) -> Path:
    return run(shared_data / "librispeech-mini", tmp_path_factory.mktemp("chain") / "run", limit=0.05)


def test_every_row_of_librispeech_decodes_back_to_its_words_units_and_times(librispeech):
    """`verify` recomputes checksums, schemas and cross-references, and inverts every row against words and units."""
    assert verify(str(librispeech)).problems == []
    kinds = [row["kind"] for row in table(librispeech / "tokens")]
    assert {kind: kinds.count(kind) for kind in ("unit", "text", "ast")} == dict.fromkeys(("unit", "text", "ast"), 104)
    assert kinds.count("cst_ut") + kinds.count("cst_tu") == 104


def test_no_word_of_librispeech_is_lost_or_changed(librispeech, shared_data):
    texts = {
        r["id"]: r["text"]
        for r in map(json.loads, (shared_data / "librispeech-mini/manifest.jsonl").read_text().splitlines())
    }
    rows = table(librispeech / "words")
    assert {row["id"]: " ".join(w["text"] for w in row["words"]) for row in rows} == texts
    assert all(w["end"] >= w["start"] >= 0 for row in rows for w in row["words"])


def test_frames_are_counted_to_the_last_one(librispeech):
    seconds = {row["id"]: row["duration"] for row in table(librispeech / "utterances")}
    for row in table(librispeech / "units"):
        assert len(row["units"]) == (round(seconds[row["id"]] * 16000) - 400) // 160 + 1


def test_hostile_files_go_through_the_whole_chain_with_a_row_or_a_reason_each(shared_data, tmp_path):
    hostile = shared_data / "hostile"
    stated = {r["id"]: r for r in map(json.loads, (hostile / "manifest.jsonl").read_text().splitlines())}
    out = run(hostile, tmp_path / "run")
    assert verify(str(out)).problems == []
    refused = rejects(out)
    words = {row["id"]: row for row in table(out / "words")}
    units = {row["id"]: row for row in table(out / "units")}
    for id, row in stated.items():
        at_ingest = "ingest" in refused.get(id, {})
        assert (id in words) != (at_ingest or "align" in refused.get(id, {})), id
        assert (id in units) != (at_ingest or "units" in refused.get(id, {})), id
        if row["expect"] == "ok":
            assert id not in refused, id
            if "text" in row:
                assert [w["text"] for w in words[id]["words"]] == row["text"].split(), id
                assert words[id]["kept"], id
        if row["expect"] == "error":
            assert id in refused, id
        if row["expect"].startswith("no speech"):
            assert (words[id]["words"], words[id]["reason"]) == ([], "no_words"), id
    assert words["wrong-transcript.flac"]["reason"] == "low_score"
    assert refused["long-transcript.flac"] == {"align": "text_too_long"}
    margins = words["long-margins.flac"]["words"]
    assert 8 <= margins[0]["start"] <= margins[-1]["end"] <= words["long-margins.flac"]["duration"] - 8
    odd = words["odd-transcript.flac"]["words"]
    assert " ".join(w["text"] for w in odd) == " ".join(stated["odd-transcript.flac"]["text"].split())
    assert all(np.isfinite([w["start"], w["end"]]).all() for w in odd)


def test_an_out_folder_of_another_recipe_is_left_as_it_was(tmp_path):
    from speechprep.demo import corpus_path

    out = run(corpus_path(), tmp_path / "run", name="demo")
    before = {p: p.read_bytes() for p in out.rglob("*") if p.is_file()}
    with pytest.raises(StaleArtifact, match=r"was made with other options or inputs .*replace it with --rebuild"):
        run(corpus_path(), tmp_path / "run", name="speech")
    assert {p: p.read_bytes() for p in out.rglob("*") if p.is_file()} == before


@pytest.fixture
def small_disk(tmp_path) -> Path:
    """A file system of 1.5 MB."""
    place = tmp_path / "small"
    place.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=1536k", "tmpfs", str(place)], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip("no right to mount a small file system here")
    yield place
    subprocess.run(["umount", str(place)], check=True)


def test_a_full_disk_is_one_clear_error_and_what_was_there_stays(small_disk, tmp_path):
    from speechprep.demo import corpus_path

    with pytest.raises(StorageError, match="the disk is full"):
        run(corpus_path(), small_disk / "run", "ingest.embed_audio=true", "sample.max_frames=100000", name="demo")
    complete = [p.parent for p in (small_disk / "run").glob("*/_manifest.json")]
    assert complete, "the stages before the disk was full are complete"
    for folder in complete:
        assert manifest.read(str(folder)).rows == len(table(folder))
    assert not [p for p in small_disk.rglob("part-*.parquet") if ".tmp-" in p.name]
    # with room, the same command goes on
    subprocess.run(["mount", "-o", "remount,size=20m", str(small_disk)], check=True)
    run(corpus_path(), small_disk / "run", "ingest.embed_audio=true", "sample.max_frames=100000", name="demo")


def test_the_command_says_in_one_line_that_the_disk_is_full(small_disk):
    command = [sys.executable, "-m", "speechprep", "demo", "--out", str(small_disk / "run")]
    command += ["--set", "sample.max_frames=100000"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env={**os.environ, "NO_COLOR": "1"})
    assert done.returncode == 4
    assert done.stderr.strip().splitlines()[-1].startswith("error: ")
    assert "the disk is full" in done.stderr
    assert "Traceback" not in done.stderr
