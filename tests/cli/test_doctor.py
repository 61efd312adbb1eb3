"""doctor units: what batches and precision do to the units of a codebook."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from helpers import tiny_models as tiny

from speechprep.artifacts.codebook import Codebook
from speechprep.cli import app
from speechprep.errors import StaleArtifact
from speechprep.registry import resolve


def make_codebook(folder: Path, name: str, options: dict) -> Path:
    extractor = resolve("extractors", name)(**options)
    extractor.load()
    noise = (np.random.default_rng(0).standard_normal(64_000) * np.linspace(0.001, 0.3, 64_000)).astype(np.float32)
    codebook = Codebook(
        centroids=extractor.extract([noise])[0][::4].copy(),
        extractor=extractor.identity(),
        grid=extractor.grid,
        backend={"extractor": name, "options": options},
    )
    folder.mkdir()
    codebook.save(folder)
    return folder


@pytest.mark.reference
def test_no_unit_is_missed_in_fp32_and_bf16_has_its_rate_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tiny.torch()
    options = {"model": str(tiny.speech_encoder(tmp_path / "model")), "layer": 2, "device": "cpu"}
    book = make_codebook(tmp_path / "codebook", "hubert", options)
    app.run(["doctor", "units", "--codebook", str(book), "--dtype", "bf16", "--json"])
    rows = json.loads(capsys.readouterr().out)
    assert [(row["dtype"], row["batch"]) for row in rows] == [
        (dtype, batch) for dtype in ("fp32", "bf16") for batch in (1, 8, 32)
    ]
    assert {row["frames"] for row in rows} == {rows[0]["frames"]}
    assert rows[0]["frames"] > 3000
    assert [row["missed"] for row in rows[:3]] == [0, 0, 0]
    assert [row["missed_fp32"] for row in rows[:3]] == [0, 0, 0]
    assert rows[3]["missed_fp32"] > 0


@pytest.mark.reference
def test_a_model_that_is_not_the_codebooks_is_refused(tmp_path: Path) -> None:
    tiny.torch()
    options = {"model": str(tiny.speech_encoder(tmp_path / "model")), "layer": 2, "device": "cpu"}
    book = make_codebook(tmp_path / "codebook", "hubert", options)
    other = tiny.speech_encoder(tmp_path / "other", seed=1)
    with pytest.raises(StaleArtifact, match="revision"):
        app.run(["doctor", "units", "--codebook", str(book), "--model", str(other)])


def test_an_extractor_without_a_choice_of_precision_has_one(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    book = make_codebook(tmp_path / "codebook", "mfcc", {})
    app.run(["doctor", "units", "--codebook", str(book), "--batch", "5"])
    head, _, *rows = [line.split() for line in capsys.readouterr().out.strip().splitlines()]
    assert head[:3] == ["dtype", "batch", "frames"]
    assert [(row[0], row[1], row[3], row[4]) for row in rows] == [
        ("fp32", "1", "0.000", "0.000"),
        ("fp32", "5", "0.000", "0.000"),
    ]


def test_the_shift_test_of_a_codebook_is_printed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    book = make_codebook(tmp_path / "codebook", "mfcc", {})
    body = json.loads((book / "codebook.json").read_text())
    body["quality"] = {
        "shift": {"kept": {"0.5": 0.91, "10": 0.5, "3": 0.876}, "utterances": 16, "frames": 4000},
        "position": {"pnmi": 0.1, "pnmi_mfcc": 0.04, "bins": 60, "frames": 50_000},
    }
    (book / "codebook.json").write_text(json.dumps(body))
    app.run(["doctor", "units", "--codebook", str(book), "--batch", "2"])
    shown = " ".join(capsys.readouterr().out.split())
    assert "before the same speech: 91.0 % after 0.5 s, 87.6 % after 3 s, 50.0 % after 10 s" in shown
    assert "position in the window: 0.100, with MFCC units on the same frames 0.040" in shown
