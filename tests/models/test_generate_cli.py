"""Every task of a trained model from the command line: transcripts, translations, captions, and prompts of a file."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from speechprep.cli import app
from speechprep.errors import BadInput, ConfigError, StaleArtifact
from speechprep.models.prompts import read_prompts

pytest.importorskip("torch")
pytest.importorskip("accelerate")

pytestmark = pytest.mark.reference
SHARES = "shares={asr: 1, t2s: 1, i2t: 1, s2tt_de: 1}"


@pytest.fixture(scope="module")
def references(run, tmp_path_factory) -> Path:
    """Translations of 6 utterances, two of one."""
    path = tmp_path_factory.mktemp("de") / "de.jsonl"
    ids = [f"s{i % 4}-{i:03d}" for i in range(6)]
    path.write_text("".join(json.dumps({"id": id, "text": "you are the"}) + "\n" for id in [*ids, ids[0]]))
    return path


@pytest.fixture(scope="module")
def dmlm(run, references, tmp_path_factory) -> str:
    out = str(tmp_path_factory.mktemp("dmlm") / "model")
    settings = ["size=tiny", "context=512", "steps=3", "rows=4", "dedup=true", SHARES, f"translations.de={references}"]
    command = ["train", "dmlm", "-q", "-d", str(run), "-o", out]
    assert app.run([*command, *(part for setting in settings for part in ("--set", setting))]) == 0
    return out


@pytest.fixture(scope="module")
def sutlm(run, tmp_path_factory) -> str:
    out = str(tmp_path_factory.mktemp("sutlm") / "model")
    settings = ["size=tiny", "context=512", "steps=3", "rows=2"]
    command = ["train", "sutlm", "-q", "-d", str(run), "-o", out]
    assert app.run([*command, *(part for setting in settings for part in ("--set", setting))]) == 0
    return out


def lines(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def test_translations_are_scored_against_the_given_references(run, dmlm, references, tmp_path, capsys):
    out = tmp_path / "out.jsonl"
    asked = ["eval", "s2tt", "-m", dmlm, "-d", str(run), "--language", "de", "--references", str(references)]
    assert app.run([*asked, "--max-new-tokens", "4", "--out", str(out), "--json"]) == 0
    score = json.loads(capsys.readouterr().out)
    assert score["metric"] == "bleu"
    assert score["interval"]["groups"] == 6
    assert [len(row["references"]) for row in lines(out)] == [2, 1, 1, 1, 1, 1]
    with pytest.raises(ConfigError, match="<S2TT_FR>"):
        app.run([*asked[:-3], "fr", "--references", str(references)])


def test_captions_are_scored_against_those_of_the_run(run, dmlm, tmp_path, capsys):
    out = tmp_path / "out.jsonl"
    assert (
        app.run(["eval", "i2t", "-m", dmlm, "-d", str(run), "--max-new-tokens", "4", "--out", str(out), "--json"]) == 0
    )
    score = json.loads(capsys.readouterr().out)
    assert "rouge_l" in score["others"]
    assert [(row["id"], row["references"]) for row in lines(out)] == [
        (f"image-{i}", ["a you", "the"]) for i in range(6)
    ]


def write_prompts(path: Path) -> str:
    rows = [{"id": "t", "text": "you are"}, {"units": [3, 3, 3, 7, 7, 1]}, {"id": "long", "units": [1, 2] * 20}]
    path.write_text("\n" + "".join(json.dumps(row) + "\n" for row in rows))
    return str(path)


@pytest.mark.parametrize("kind", ["sutlm", "dmlm"])
@pytest.mark.parametrize("to", ["text", "units"])
def test_prompts_of_text_and_units_give_outputs_in_the_modality_asked_for(request, tmp_path, capsys, kind, to):
    model, prompts = request.getfixturevalue(kind), write_prompts(tmp_path / "prompts.jsonl")
    asked = ["generate", "-m", model, "--prompts", prompts, "--to", to, "--max-new-tokens", "6"]
    assert app.run([*asked, "--temperature", "1.2", "--samples", "2", "--seed", "4"]) == 0
    told = capsys.readouterr().out
    rows = [json.loads(line) for line in told.splitlines()]
    assert [(row["id"], row["sample"]) for row in rows] == [(i, n) for i in ("t", "3", "long") for n in (0, 1)]
    assert all(set(row) == {"id", "sample", to, "tokens"} for row in rows)
    assert all(0 <= row["tokens"] <= 6 for row in rows)
    if to == "units":
        assert all(0 <= unit < 20 for row in rows for unit in row["units"])
    assert any(rows[2 * i][to] != rows[2 * i + 1][to] for i in range(3))
    assert app.run([*asked, "--temperature", "1.2", "--samples", "2", "--seed", "4"]) == 0
    assert capsys.readouterr().out == told
    out = tmp_path / "out.jsonl"
    assert app.run([*asked, "--beams", "2", "--out", str(out)]) == 0
    assert [row["id"] for row in lines(out)] == ["t", "3", "long"]


def test_a_prompt_has_its_outputs_whatever_the_other_prompts(sutlm, tmp_path, capsys):
    asked = ["generate", "-m", sutlm, "--to", "text", "--temperature", "1", "--max-new-tokens", "6", "--prompts"]
    app.run([*asked, write_prompts(tmp_path / "all.jsonl")])
    rows = capsys.readouterr().out.splitlines()
    alone = tmp_path / "alone.jsonl"
    alone.write_text('{"id": "t", "text": "you are"}\n')
    app.run([*asked, str(alone)])
    assert capsys.readouterr().out.splitlines() == rows[:1]


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("{", "line 2: not JSON"),
        ("[]", "line 2: needs text or units"),
        ('{"text": "a", "units": [1]}', "line 2: needs text or units, and not both"),
        ('{"text": "  "}', "line 2: text '  ' is no text"),
        ('{"units": [1, -1]}', "line 2: units are no list"),
        ('{"units": [true]}', "line 2: units are no list"),
        ('{"id": "a", "text": "b"}', "line 2: id 'a' stands twice"),
    ],
)
def test_a_line_that_is_no_prompt_is_named(tmp_path, line, told):
    path = tmp_path / "prompts.jsonl"
    path.write_text('{"id": "a", "text": "a"}\n' + line + "\n")
    with pytest.raises(BadInput, match=told):
        read_prompts(str(path))


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["--to", "image"], "'image'"),
        (["--samples", "2"], "set a temperature"),
        (["--temperature", "1", "--beams", "2"], "beams=2"),
        (["--prompts", "nowhere.jsonl"], "no such file"),
    ],
)
def test_options_that_cannot_be_are_one_line(sutlm, tmp_path, options, told):
    prompts = write_prompts(tmp_path / "prompts.jsonl")
    with pytest.raises(ConfigError, match=told):
        app.run(["generate", "-m", sutlm, "--prompts", prompts, *options])
    far = tmp_path / "far.jsonl"
    far.write_text('{"id": "f", "units": [99]}\n')
    with pytest.raises(BadInput, match="prompt 'f': unit 99"):
        app.run(["generate", "-m", sutlm, "--prompts", str(far)])
    with pytest.raises(StaleArtifact, match="no trained model"):
        app.run(["generate", "-m", str(tmp_path), "--prompts", prompts])
