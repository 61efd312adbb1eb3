"""`speechprep fit boundaries`: its artifact improves word times, and its errors are one line."""

from __future__ import annotations

import csv
import json

import numpy as np
import pytest

from speechprep.artifacts.media import audio
from speechprep.artifacts.run import open_run
from speechprep.cli import main
from speechprep.demo import corpus_path
from speechprep.pipelines.backends.aligners.pocketsphinx import PocketSphinxAligner

LATE = 0.04


def call(*args) -> int:
    with pytest.raises(SystemExit) as left:
        main([str(a) for a in args])
    return int(left.value.code or 0)


def write_labels(path, rows):
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([("id", "start", "end", "label"), *rows])
    return path


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """Utterances and words of the demo corpus."""
    folder = tmp_path_factory.mktemp("run")
    assert call("ingest", "--input", corpus_path(), "--out", folder / "utterances", "--quiet") == 0
    assert call("align", "--input", folder, "--out", folder / "words", "--quiet", "--workers", 2) == 0
    return folder


@pytest.fixture(scope="module")
def labels(run, tmp_path_factory):
    """Labels that start and end 40 ms before the words of the run."""
    rows = [
        (row["id"], word["start"] - LATE, word["end"] - LATE, word["text"])
        for row in open_run(str(run))["words"].records(["id", "words"])
        for word in row["words"]
    ]
    return write_labels(tmp_path_factory.mktemp("labels") / "words.csv", rows)


def check_intervals(run, fitted, capsys):
    """`words` has an interval for each aligned word, and `eval alignment` counts the true borders in them."""
    count = 0
    for row in open_run(str(fitted))["words"].records(["words", "border_intervals"]):
        spans = row["border_intervals"] or [None] * len(row["words"])  # null without an aligned word
        for word, span in zip(row["words"], spans, strict=True):
            assert (span is None) == (word["timing"] != "aligned")
            assert span is None or span["start_low"] <= span["start_high"] <= span["end_high"]
            count += 2 * (span is not None)
    assert count > 100
    capsys.readouterr()
    assert call("eval", "alignment", fitted / "words", "--reference", run / "words", "--json") == 0
    (stored,) = json.loads(capsys.readouterr().out)["levels"]
    assert 0.9 * count < stored["intervals"]["borders"] <= count
    assert stored["intervals"]["coverage"] < 0.1  # the borders of the run are 40 ms outside
    assert call("eval", "alignment", fitted / "words", "--reference", run / "words") == 0
    assert "90 % intervals" in capsys.readouterr().out
    assert call("eval", "alignment", run / "words", "--reference", run / "words") == 0
    assert "90 % intervals" not in capsys.readouterr().out


def test_the_fitted_offset_is_applied_and_changes_the_identity(run, labels, tmp_path, capsys):
    out = tmp_path / "boundaries"
    arguments = ("fit", "boundaries", run, "--labels", labels, "--licence", "CC0", "--out", out)
    assert call(*arguments, "--json") == 0
    body = json.loads(capsys.readouterr().out)
    assert body["evaluation"]["before"] == pytest.approx(40, abs=0.1)
    assert body["evaluation"]["after"] == pytest.approx(0, abs=0.1)
    assert body["licence"] == "CC0"
    assert (body["refiner"], body["evaluation"]["over"]) == (False, "speakers")
    assert "a refiner needs 300" in body["no_refiner_because"]
    first = (out / "boundaries.json").read_bytes()
    assert call(*arguments) == 0
    assert "mean absolute error of a border" in capsys.readouterr().out
    assert (out / "boundaries.json").read_bytes() == first
    fitted = f"aligner_options.boundaries={out}"
    assert call("align", "--input", run, "--out", tmp_path / "words", "--set", fitted, "--quiet") == 0
    moved = {row["id"]: row["words"] for row in open_run(str(tmp_path))["words"].records(["id", "words"])}
    shifts = [
        old["start"] - new["start"]
        for row in open_run(str(run))["words"].records(["id", "words"])
        for old, new in zip(row["words"], moved[row["id"]], strict=True)
        if old["timing"] == "aligned" and old["start"] > 0.1
    ]
    assert np.median(shifts) == pytest.approx(LATE, abs=1e-3)
    check_intervals(run, tmp_path, capsys)
    assert PocketSphinxAligner(boundaries=str(out)).identity() != PocketSphinxAligner().identity()
    capsys.readouterr()
    arguments = (
        "fit",
        "boundaries",
        tmp_path / "words",
        "--labels",
        labels,
        "--licence",
        "CC0",
        "--out",
        tmp_path / "b",
    )
    assert call(*arguments) == 2
    assert "align without boundaries" in capsys.readouterr().err


def test_few_labels_are_refused(run, tmp_path, capsys):
    table = write_labels(tmp_path / "few.csv", [("absent", 0, 1, "a")])
    assert call("fit", "boundaries", run, "--labels", table, "--licence", "CC0", "--out", tmp_path / "b") == 2
    assert "have 0 words of" in capsys.readouterr().err
    assert not (tmp_path / "b").exists()


def test_offsets_fitted_on_some_speakers_of_timit_help_the_others(shared_data, tmp_path, capsys):
    folder = shared_data / "timit-sample"
    rows = [json.loads(line) for line in (folder / "manifest.jsonl").read_text().splitlines()]
    speakers = sorted({row["speaker"] for row in rows})
    table = [(r["id"], w["start"], w["end"], w["w"]) for r in rows if r["speaker"] in speakers[:6] for w in r["words"]]
    (tmp_path / "corpus.jsonl").write_text(
        "".join(
            json.dumps({"id": r["id"], "audio": str(folder / r["audio"]), "text": r["text"], "speaker": r["speaker"]})
            + "\n"
            for r in rows
            if r["speaker"] in speakers[:6]
        )
    )
    run = tmp_path / "run"
    assert call("ingest", "--input", tmp_path / "corpus.jsonl", "--out", run / "utterances", "--quiet") == 0
    assert call("align", "--input", run, "--out", run / "words", "--quiet") == 0
    labels = write_labels(tmp_path / "words.csv", table)
    arguments = ("--labels", labels, "--licence", "CC BY-NC-SA", "--out", tmp_path / "b")
    assert call("fit", "boundaries", run, *arguments, "--offsets-only") == 0
    errors = {}
    for name, aligner in {
        "plain": PocketSphinxAligner(),
        "fitted": PocketSphinxAligner(boundaries=str(tmp_path / "b")),
    }.items():
        aligner.load()
        errors[name] = [
            (abs(word.start - true["start"]) + abs(word.end - true["end"])) / 2
            for row in rows
            if row["speaker"] in speakers[6:]
            for word, true in zip(
                aligner.align(
                    audio.decode(folder / row["audio"], sample_rate=16_000), " ".join(w["w"] for w in row["words"])
                ).words,
                row["words"],
                strict=True,
            )
        ]
    assert np.mean(errors["fitted"]) < 0.95 * np.mean(errors["plain"])


@pytest.mark.slow
def test_a_refiner_of_some_speakers_of_timit_helps_the_others(shared_data, tmp_path, capsys, monkeypatch):
    """Clean only, one network and two folds, so that it takes less than a minute."""
    for name, value in {"NETWORKS": 1, "FOLDS": 2}.items():
        monkeypatch.setattr(f"speechprep.tokenizers.alignment.boundary_refiner.{name}", value)
        monkeypatch.setattr(f"speechprep.pipelines.backends.aligners.boundaries.artifact.{name}", value, raising=False)
    folder = shared_data / "timit-sample"
    rows = [json.loads(line) for line in (folder / "manifest.jsonl").read_text().splitlines()]
    speakers = sorted({row["speaker"] for row in rows})
    first = [row for row in rows if row["speaker"] in speakers[:6]]
    lines = [
        json.dumps({"id": r["id"], "audio": str(folder / r["audio"]), "text": r["text"], "speaker": r["speaker"]})
        for r in first
    ]
    (tmp_path / "corpus.jsonl").write_text("\n".join(lines))
    run, out = tmp_path / "run", tmp_path / "b"
    assert call("ingest", "--input", tmp_path / "corpus.jsonl", "--out", run / "utterances", "--quiet") == 0
    assert call("align", "--input", run, "--out", run / "words", "--quiet") == 0
    labels = write_labels(
        tmp_path / "words.csv", [(r["id"], w["start"], w["end"], w["w"]) for r in first for w in r["words"]]
    )
    capsys.readouterr()
    arguments = ("--labels", labels, "--licence", "CC BY-NC-SA", "--out", out, "--snr", "none", "--json")
    assert call("fit", "boundaries", run, *arguments) == 0
    body = json.loads(capsys.readouterr().out)
    level = body["evaluation"]["refiner"]["levels"][0]
    assert (body["refiner"], body["no_refiner_because"]) == (True, None)
    assert level["after"] < level["offsets"] < level["before"]
    assert 0.84 <= level["coverage"] <= 0.96
    plain, fitted = PocketSphinxAligner(), PocketSphinxAligner(boundaries=str(out))
    errors: dict[str, list[float]] = {}
    for name, aligner in {"plain": plain, "fitted": fitted}.items():
        aligner.load()
        for row in rows:
            if row["speaker"] in speakers[6:]:
                samples = audio.decode(folder / row["audio"], sample_rate=16_000)
                words = aligner.align(samples, " ".join(w["w"] for w in row["words"])).words
                assert all(word.start < word.end for word in words)
                for word, true in zip(words, row["words"], strict=True):
                    errors.setdefault(name, []).append(abs(word.start - true["start"]) + abs(word.end - true["end"]))
    assert np.mean(errors["fitted"]) < 0.85 * np.mean(errors["plain"])
