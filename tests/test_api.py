"""The Python API gives what the commands give."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

import speechprep
from speechprep.artifacts.media import audio
from speechprep.demo import corpus_path
from speechprep.errors import BadInput, ConfigError
from speechprep.pipelines.backends import Word

OPTIONS = {"cluster": {"k": 20}, "subword": {"unit_vocab_size": 60, "text_vocab_size": 280}}


@pytest.fixture(scope="module")
def corpus(tmp_path_factory) -> Path:
    """Six utterances of the demo corpus."""
    folder = tmp_path_factory.mktemp("corpus")
    lines = (corpus_path() / "manifest.jsonl").read_text().splitlines()[:6]
    (folder / "manifest.jsonl").write_text("\n".join(lines) + "\n")
    (folder / "speech").symlink_to(corpus_path() / "speech")
    return folder


@pytest.fixture(scope="module")
def run_folder(corpus, tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("run")
    outcome = speechprep.run("demo", inputs=corpus, out=out, options=OPTIONS, workers=2)
    assert outcome.status == "done"
    return out


def files(folder: Path) -> dict[str, str]:
    return {
        p.relative_to(folder).as_posix(): hashlib.sha256(p.read_bytes()).hexdigest()
        for p in sorted(folder.rglob("*"))
        if p.is_file() and p.suffix in {".parquet", ".json", ".model", ".npy"} and p.name != "run.json"
    }


def test_a_run_by_python_and_by_the_command_leave_the_same_bytes(corpus, run_folder, tmp_path):
    settings = [f"--set={step}.{name}={value}" for step, values in OPTIONS.items() for name, value in values.items()]
    command = ["run", "demo", "--input", str(corpus), "--out", str(tmp_path / "run"), "--quiet", *settings]
    subprocess.run([sys.executable, "-m", "speechprep", *command], check=True)
    assert files(tmp_path / "run") == files(run_folder)


def test_a_second_run_has_nothing_to_do_and_the_plan_shows_it(corpus, run_folder):
    again = speechprep.run("demo", inputs=corpus, out=run_folder, options=OPTIONS)
    assert again.tasks_run == 0
    assert {s.state for s in speechprep.plan("demo", inputs=corpus, out=run_folder, options=OPTIONS)} == {"done"}
    assert "conflict" in {s.state for s in speechprep.plan("demo", inputs=corpus, out=run_folder)}


def test_a_stage_reads_a_run_folder(run_folder, tmp_path):
    outcome = speechprep.stage("pool", inputs=run_folder, out=tmp_path / "pooled")
    assert outcome.results[-1].rows == 6


def test_units_in_memory_are_those_of_the_stage(corpus, run_folder):
    rows = {r["id"]: r["units"] for f in (run_folder / "units").glob("part-*") for r in pq.read_table(f).to_pylist()}
    utterances = [r for f in (run_folder / "utterances").glob("part-*") for r in pq.read_table(f).to_pylist()]
    for row in utterances:
        assert speechprep.units(row["audio"], run_folder / "codebook").tolist() == rows[row["id"]]
    samples = audio.decode(utterances[0]["audio"])
    by_array = speechprep.units(samples, run_folder / "codebook", sample_rate=utterances[0]["sample_rate"])
    assert len(by_array) == len(rows[utterances[0]["id"]])


def test_word_times_in_memory_are_those_of_the_stage(run_folder):
    utterances = [r for f in (run_folder / "utterances").glob("part-*") for r in pq.read_table(f).to_pylist()]
    words = {r["id"]: r["words"] for f in (run_folder / "words").glob("part-*") for r in pq.read_table(f).to_pylist()}
    row = next(row for row in utterances if row["text"])
    transcript = speechprep.align(row["audio"], row["text"])
    assert [(w.text, w.start, w.end) for w in transcript.words] == [
        (w["text"], w["start"], w["end"]) for w in words[row["id"]]
    ]


def test_samples_need_their_rate_and_one_channel(run_folder):
    with pytest.raises(ConfigError, match="sample_rate"):
        speechprep.align(np.zeros(16000, np.float32), "a")
    with pytest.raises(ConfigError, match="one channel"):
        speechprep.units(np.zeros((2, 16000), np.float32), run_folder / "codebook", sample_rate=16000)


def test_an_unknown_step_is_named(corpus, tmp_path):
    with pytest.raises(ConfigError, match="no step 'clutser'"):
        speechprep.run("demo", inputs=corpus, out=tmp_path, options={"clutser": {"k": 1}})


def test_open_reads_the_datasets_of_a_run(run_folder):
    run = speechprep.open(run_folder)
    assert run.kinds()[:2] == ["utterances", "words"]
    assert sum(batch.num_rows for batch in run["words"].batches(["id"])) == 6


def test_rows_in_memory_are_those_of_the_stage_and_decode_to_words_units_and_times(run_folder):
    run = speechprep.open(run_folder)
    words = {row["id"]: row for row in run["words"].records(["id", "words", "kept"])}
    units = {row["id"]: row["units"] for row in run["units"].records(["id", "units"])}
    compared = 0
    for row in run["tokens"].records():
        spoken = [Word(**word) for word in words[row["id"]]["words"]] if words[row["id"]]["kept"] else []
        rows = speechprep.interleave(spoken, units[row["id"]], run, id=row["id"])
        (again,) = [other for other in rows if other["kind"] == row["kind"]]
        assert again == row
        decoded = speechprep.decode(again, run_folder)
        if row["kind"] == "text":
            assert decoded.text == " ".join(word.text for word in spoken)
        compared += 1
    assert compared > 12


def test_a_row_of_another_vocabulary_is_refused(run_folder):
    row = dict(next(speechprep.open(run_folder)["tokens"].records()))
    row["durations"] = row["durations"] + [1] if row["durations"] else [1]
    with pytest.raises(BadInput, match="durations"):
        speechprep.decode(row, run_folder)


def test_problems_of_later_steps_end_a_run_before_its_first_one(corpus, tmp_path):
    with pytest.raises(ConfigError, match="step pool: "):
        speechprep.run("demo", inputs=corpus, out=tmp_path / "run", options={"pool": {"backend": "hubert"}})
    assert not (tmp_path / "run" / "utterances").exists()


def test_importing_the_package_is_quick_and_knows_its_names():
    assert set(speechprep.__all__) <= set(dir(speechprep))
    with pytest.raises(AttributeError, match="nothing"):
        speechprep.nothing  # noqa: B018 - the attribute is what is tested
