"""`speechprep eval abx`, `speechprep compare`, and the agreement with labels on screen, on a run of tones."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import soundfile

from speechprep.cli import app

RATE = 16_000
TONES = {"low": 150.0, "middle": 700.0, "high": 2500.0}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with `phones.csv` and a run of four speakers; each label is a tone of 0.2 s with some noise."""
    folder = tmp_path_factory.mktemp("tones")
    rng = np.random.default_rng(0)
    rows, labels = [], ["id,start,end,label"]
    for number in range(8):
        names = rng.permutation(list(TONES) * 3).tolist()
        t = np.arange(RATE // 5) / RATE
        sound = np.concatenate([0.3 * np.sin(2 * np.pi * TONES[name] * (1 + number % 4 / 40) * t) for name in names])
        sound += 0.02 * rng.standard_normal(len(sound))
        soundfile.write(folder / f"{number}.wav", sound, RATE, subtype="PCM_16")
        rows.append({"id": f"u{number}", "audio": f"{number}.wav", "speaker": f"s{number % 4}"})
        labels += [f"u{number},{i / 5},{(i + 1) / 5},{name}" for i, name in enumerate(names)]
    (folder / "m.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (folder / "phones.csv").write_text("\n".join(labels) + "\n")
    call("ingest", "--input", folder / "m.jsonl", "--out", folder / "run/utterances", "--quiet")
    settings = ("--set", "k=6", "--set", f"labels={folder}/phones.csv", "--set", "min_perplexity=0")
    call("cluster", "--input", folder / "run", "--out", folder / "run/codebook", *settings, "--set", "max_unused=1")
    call("units", "--input", folder / "run", "--out", folder / "run/units", "--quiet")
    return folder


def call(*args: object) -> None:
    assert app.run([str(a) for a in args]) == 0


def test_abx_prints_both_rates_their_triples_and_each_phone(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ("eval", "abx", folder / "run", "--phones", folder / "phones.csv", "--context", "phone")
    call(*arguments)
    text = capsys.readouterr().out
    for part in ("within speakers", "across speakers", "context: phone; vectors: one-hot", "seed 0", "low", "high"):
        assert part in text
    call(*arguments, "--json")
    first = capsys.readouterr().out
    call(*arguments, "--json")
    assert capsys.readouterr().out == first
    body = json.loads(first)
    assert body["within"]["error"] < 0.1
    assert body["across"]["error"] < 0.2
    assert set(body["within"]["by_phone"]) == set(TONES)
    assert body["within"]["triples"] == body["within"]["possible_triples"]


def test_compare_prints_a_row_for_each_codebook_and_writes_a_page(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run, page = folder / "run", folder / "page.html"
    call("compare", run, run / "codebook", "--phones", folder / "phones.csv", "--context", "phone", "--out", page)
    text = capsys.readouterr().out
    assert text.count("mfcc") == 2
    assert "PNMI" in text
    assert "ABX across speakers" in text
    assert page.read_text().startswith("<!doctype html>")
    call("compare", run, "--json")
    (row,) = json.loads(capsys.readouterr().out)
    assert row["phones"] == "sample"
    assert row["pnmi"] > 0.5
    assert row["abx_within"] is None


def test_the_agreement_with_labels_is_printed_after_the_fit(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    settings = ("--set", "k=6", "--set", f"labels={folder}/phones.csv", "--set", "min_perplexity=0")
    arguments = ("cluster", "--input", folder / "run", "--out", folder / "run/codebook", *settings)
    call(*arguments, "--set", "max_unused=1")
    pnmi = json.loads((folder / "run/codebook/quality.json").read_text())["labels"]["pnmi"]
    assert f"PNMI of units and labels: {pnmi:.3f} (" in capsys.readouterr().out
    call(*arguments, "--set", "max_unused=1", "--quiet")
    assert "PNMI" not in capsys.readouterr().out
