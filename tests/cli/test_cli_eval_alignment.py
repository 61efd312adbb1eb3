"""`speechprep eval alignment`: its figures, its noise, and its errors in one line."""

from __future__ import annotations

import json

import numpy as np
import pytest

from speechprep.artifacts.run import open_run
from speechprep.cli import main
from speechprep.demo import corpus_path
from speechprep.pipelines.noisy_alignment import with_noise


def call(*args) -> int:
    with pytest.raises(SystemExit) as left:
        main([str(a) for a in args])
    return int(left.value.code or 0)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """Utterances and words of the demo corpus."""
    folder = tmp_path_factory.mktemp("run")
    assert call("ingest", "--input", corpus_path() / "speech", "--out", folder / "utterances", "--quiet") == 0
    assert call("align", "--input", folder, "--out", folder / "words", "--quiet", "--workers", 2) == 0
    return folder


@pytest.fixture(scope="module")
def moved(run, tmp_path_factory):
    """CTM files with the words of the run, 30 ms earlier."""
    folder = tmp_path_factory.mktemp("reference")
    for row in open_run(str(run))["words"].records(["id", "words"]):
        lines = [f"{row['id']} 1 {w['start'] - 0.03:.4f} {w['end'] - w['start']:.4f} {w['text']}" for w in row["words"]]
        name = row["id"].replace("/", "-")
        (folder / f"{name}.ctm").write_text("\n".join(lines) + "\n")
    return folder


def test_the_table_and_json_show_the_errors(run, moved, capsys):
    assert call("eval", "alignment", run, "--reference", moved, "--json") == 0
    body = json.loads(capsys.readouterr().out)
    (stored,) = body["levels"]
    assert stored["mean"] == pytest.approx(30, abs=0.1)
    assert stored["onset"]["bias"] == pytest.approx(30, abs=0.1)
    assert stored["counts"]["not_found"] == 0
    assert (stored["onset"]["within"]["20"], stored["offset"]["within"]["50"]) == (0, 1)
    assert call("eval", "alignment", run / "words", "--reference", moved) == 0
    text = capsys.readouterr().out
    assert "word-boundary error, ms" in text
    assert "30.0" in text


def test_noise_changes_the_times_and_is_the_same_each_time(run, capsys):
    arguments = ("eval", "alignment", run, "--reference", run / "words", "--json", "--samples", 0)
    assert call(*arguments, "--snr", "30,0", "--seed", 3) == 0
    first = capsys.readouterr().out
    stored, quiet, loud = json.loads(first)["levels"]
    assert stored["mean"] == 0
    assert 0 < quiet["mean"] < loud["mean"]
    assert quiet["snr"] == 30
    assert call(*arguments, "--snr", "30,0", "--seed", 3) == 0
    assert capsys.readouterr().out == first


def test_the_noise_has_the_wanted_level_and_follows_seed_and_id():
    tone = np.sin(np.arange(160_000) / 7).astype(np.float32)
    noise = with_noise(tone, 10.0, 0, "a") - tone
    assert 10 * np.log10(np.mean(tone**2) / np.mean(noise**2)) == pytest.approx(10, abs=0.1)
    np.testing.assert_array_equal(with_noise(tone, 10.0, 0, "a"), with_noise(tone, 10.0, 0, "a"))
    assert not np.array_equal(with_noise(tone, 10.0, 0, "b"), with_noise(tone, 10.0, 0, "a"))
    assert not np.array_equal(with_noise(tone, 10.0, 1, "a"), with_noise(tone, 10.0, 0, "a"))
    assert len(with_noise(tone[:0], 10.0, 0, "a")) == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--snr", "loud"), "'loud' is not a ratio in dB"),
        (("--reference", "absent"), "absent: no such file or folder"),
        (("--snr", "10", "--level", "2"), "a level between 0 and 1"),
    ],
)
def test_errors_are_one_line(run, moved, arguments, message, capsys):
    given = ("--reference", moved, *arguments)
    assert call("eval", "alignment", run, *given) == 2
    text = capsys.readouterr().err
    assert message in text
    assert text.count("\n") == 1


def test_references_of_other_utterances_are_refused(run, tmp_path, capsys):
    (tmp_path / "a.ctm").write_text("elsewhere 1 0 1 word\n")
    assert call("eval", "alignment", run, "--reference", tmp_path) == 2
    assert "no utterance of" in capsys.readouterr().err


def test_timit_boundaries_are_within_the_figures_of_the_docs(shared_data, tmp_path, capsys):
    assert call("ingest", "--input", shared_data / "timit-sample", "--out", tmp_path / "utterances", "--quiet") == 0
    arguments = ("--set", "given_words=ignore", "--quiet", "--workers", 2)
    assert call("align", "--input", tmp_path, "--out", tmp_path / "words", *arguments) == 0
    assert call("eval", "alignment", tmp_path, "--reference", tmp_path, "--snr", "0", "--json") == 0
    stored, noisy = json.loads(capsys.readouterr().out)["levels"]
    assert stored["counts"]["words"] == 883
    assert stored["counts"]["not_found"] == noisy["counts"]["not_found"] == 0
    assert stored["mean"] < 21
    assert noisy["mean"] < 45
    assert stored["interval"]["groups"] == 10
