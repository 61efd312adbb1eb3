"""The commands as a user types them: train, ask, and what is said when that cannot be."""

from __future__ import annotations

import json

import pytest

from speechprep.cli import app
from speechprep.errors import ConfigError


def test_a_model_or_option_that_there_is_not_is_named(tmp_path):
    with pytest.raises(ConfigError, match=r"no model 'gpt'; there are: sutlm, dmlm, slue"):
        app.run(["train", "gpt", "--data", "run", "--out", str(tmp_path / "x")])
    with pytest.raises(ConfigError, match=r"no option 'stepz'"):
        app.run(["train", "sutlm", "--data", "run", "--out", str(tmp_path / "x"), "--set", "stepz=3"])
    with pytest.raises(ConfigError, match="no such file"):
        app.run(["train", "sutlm", "--data", "run", "--out", str(tmp_path / "x"), "--config", "none.yaml"])
    with pytest.raises(ConfigError, match="OPTION=VALUE"):
        app.run(["train", "sutlm", "--data", "run", "--out", str(tmp_path / "x"), "--set", "steps"])
    assert not (tmp_path / "x").exists()


def test_the_help_of_a_model_lists_its_options_and_no_others(capsys):
    app.run(["train", "sutlm", "--help"])
    text = capsys.readouterr().out
    assert "batch_tokens" in text
    assert "mixture_cst" in text
    assert "prompt_targets" not in text
    app.run(["train", "--help"])
    text = capsys.readouterr().out
    assert all(f"  {name}  " in text for name in ("sutlm", "dmlm", "slue"))
    assert "SUTLM: one decoder over speech units and text\n" in text
    assert "..." not in text.partition("Commands:")[2]


@pytest.mark.reference
def test_a_sutlm_is_trained_and_asked_from_the_command_line(run, tmp_path, capsys):
    pytest.importorskip("torch")
    pytest.importorskip("accelerate")
    config = tmp_path / "x.yaml"
    config.write_text("size: tiny\ncontext: 512\nsteps: 4\nrows: 2\nlog_every: 2\nvalidation: 0.5\n")
    out = str(tmp_path / "model")
    assert app.run(["train", "sutlm", "-d", str(run), "-o", out, "--config", str(config), "--set", "steps=2"]) == 0
    told = capsys.readouterr().out.splitlines()
    assert told[0].startswith("step 1/2  loss ")
    assert told[-1] == f"{out}: done"
    ask = ["eval", "cra", "-m", out, "-d", str(run), "--min-words", "8", "--candidates", "5", "--unseen"]
    ask += ["--length-tolerance", "1", "--samples", "10"]
    app.run([*ask, "--direction", "u2t", "--task", "cra", "--json"])
    found = json.loads(capsys.readouterr().out)
    assert [score["metric"] for score in found] == [
        f"cra.u2t.{pool}.{measure}" for pool in ("other", "same") for measure in ("renormalised", "paper")
    ]
    assert "oracle lengths" in found[0]["others"]
    assert 0 < found[0]["counts"]["pairs"] < 48
    app.run([*ask, "--direction", "t2u", "-m", out])
    told = " ".join(capsys.readouterr().out.split())
    assert "training seeds 0, 0; CPU threads 1" in told
    assert "can be reached without content: speaker 100.0%" in told


@pytest.mark.reference
def test_a_dmlm_is_trained_and_asked_from_the_command_line(run, tmp_path, capsys):
    pytest.importorskip("torch")
    pytest.importorskip("accelerate")
    out, answers = str(tmp_path / "model"), tmp_path / "answers.jsonl"
    settings = ["size=tiny", "context=512", "steps=2", "rows=2", "shares={asr: 1}"]
    command = ["train", "dmlm", "-q", "-d", str(run), "-o", out]
    assert app.run([*command, *(part for s in settings for part in ("--set", s))]) == 0
    app.run(["eval", "asr", "-m", out, "-d", str(run), "--max-new-tokens", "3", "--out", str(answers), "--json"])
    assert json.loads(capsys.readouterr().out)["metric"] == "wer"
    rows = [json.loads(line) for line in answers.read_text().splitlines()]
    assert len(rows) == 48
    assert all(row["reference"] for row in rows)
