"""`speechprep rejects` shows each rejected record of a run once, with its reason."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import numpy as np
import pytest
import soundfile

from speechprep.cli import main


def call(*arguments: object) -> int:
    with pytest.raises(SystemExit) as left:
        main([str(a) for a in arguments])
    return int(left.value.code or 0)


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A run of one good recording and two bad ones: one not audio, one too short for alignment."""
    corpus = tmp_path / "corpus"
    corpus.mkdir()
    noise = np.random.default_rng(0).normal(0, 0.1, 16000).astype(np.float32)
    soundfile.write(corpus / "good.wav", noise, 16000)
    soundfile.write(corpus / "short.wav", noise[:40], 16000)
    (corpus / "short.txt").write_text("this text is far too long for such a recording")
    (corpus / "broken.wav").write_bytes(b"RIFF no audio here")
    out = tmp_path / "run"
    common = ("--max-reject-fraction", "1", "--quiet")
    assert call("ingest", "--input", corpus, "--out", out / "utterances", *common) == 0
    assert call("align", "--input", out, "--out", out / "words", *common) == 0
    return out


def test_the_table_counts_the_rejects_by_stage_and_reason(run, capsys):
    capsys.readouterr()
    assert call("rejects", run) == 0
    text = capsys.readouterr().out
    assert "ingest" in text
    assert "broken" in text
    assert "short" in text


def test_csv_and_json_have_every_reject_in_the_order_of_the_chain(run, capsys):
    capsys.readouterr()
    assert call("rejects", run, "--csv") == 0
    rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert [row["stage"] for row in rows] == sorted((r["stage"] for r in rows), key=["ingest", "align"].index)
    assert call("rejects", run, "--json") == 0
    assert [json.loads(line)["id"] for line in capsys.readouterr().out.splitlines()] == [row["id"] for row in rows]
    assert call("rejects", run, "--json", "--stage", "align") == 0
    assert {json.loads(line)["stage"] for line in capsys.readouterr().out.splitlines()} == {"align"}


def test_a_folder_of_something_else_is_one_line(tmp_path, capsys):
    assert call("rejects", tmp_path) == 2
    assert "no dataset, artifact or run" in capsys.readouterr().err
