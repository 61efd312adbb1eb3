"""`speechprep eval`: what it prints, its JSON, and its errors in one line."""

from __future__ import annotations

import json

import pytest

from speechprep.cli import main


def call(*args) -> int:
    with pytest.raises(SystemExit) as left:
        main([str(a) for a in args])
    return int(left.value.code or 0)


@pytest.fixture
def files(tmp_path):
    """write(references, hypotheses) -> the arguments that name them; rows of JSON Lines."""

    def write(references, hypotheses):
        for name, rows in (("ref", references), ("hyp", hypotheses)):
            (tmp_path / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
        return "--references", tmp_path / "ref.jsonl", "--hypotheses", tmp_path / "hyp.jsonl"

    return write


@pytest.fixture
def transcripts(files):
    right = [{"id": f"u{i}", "text": "THE CAT SAT DOWN", "speaker": f"s{i % 4}"} for i in range(8)]
    said = [{"id": f"u{i}", "text": "the cat sat" if i < 3 else "the cat sat down"} for i in reversed(range(8))]
    return files(right, said)


def test_it_says_the_rate_its_interval_and_its_counts(transcripts, capsys):
    assert call("eval", "wer", *transcripts) == 0
    said = capsys.readouterr().out
    assert said.startswith("wer 9.38 % (95% interval ")
    assert "1,000 samples of 8 utterances" in said
    assert "normalisation: librispeech" in said
    assert "deletions" in said
    assert call("eval", "wer", *transcripts, "--speaker-column", "speaker", "--level", "0.9", "--samples", "50") == 0
    said = capsys.readouterr().out
    assert "(90% interval" in said
    assert "50 samples of 4 speakers" in said


def test_json_is_the_whole_score_and_the_same_each_time(transcripts, capsys):
    assert call("eval", "wer", *transcripts, "--json", "--seed", "5") == 0
    first = capsys.readouterr().out
    body = json.loads(first)
    assert (body["score"], body["counts"]["words"], body["interval"]["samples"]) == (3 / 32, 32, 1000)
    assert call("eval", "wer", *transcripts, "--json", "--seed", "5") == 0
    assert capsys.readouterr().out == first
    assert call("eval", "wer", *transcripts, "--json", "--samples", "0") == 0
    assert json.loads(capsys.readouterr().out)["interval"] is None


def test_options_reach_the_scorer(transcripts, capsys):
    assert call("eval", "wer", *transcripts, "--normalise", "none", "--json") == 0
    assert json.loads(capsys.readouterr().out)["score"] == 1.0
    assert call("eval", "cer", *transcripts, "--json") == 0
    assert json.loads(capsys.readouterr().out)["counts"]["deletions"] == 3 * len(" down")


def test_alternatives_of_sclite_are_read_from_trn(tmp_path, capsys):
    (tmp_path / "r.trn").write_text("FOR { @ / AN } INVESTOR (S-1)\n")
    (tmp_path / "h.trn").write_text("for investor (s-1)\n")
    given = ("--references", tmp_path / "r.trn", "--hypotheses", tmp_path / "h.trn", "--json")
    assert call("eval", "wer", *given, "--alternations") == 0
    assert json.loads(capsys.readouterr().out)["score"] == 0


def test_captions_take_several_references(tmp_path, capsys):
    (tmp_path / "r.csv").write_text(
        'clip,caption\na,"A dog barks, then stops"\na,Dog barking\nb,Rain falls on a roof\n'
    )
    (tmp_path / "h.csv").write_text("clip,caption\nb,Rain on a roof\na,A dog barks then stops\n")
    columns = ("--id-column", "clip", "--reference-column", "caption", "--hypothesis-column", "caption")
    given = ("--references", tmp_path / "r.csv", "--hypotheses", tmp_path / "h.csv", *columns)
    assert call("eval", "captions", *given, "--json") == 0
    body = json.loads(capsys.readouterr().out)
    assert (body["counts"]["items"], body["counts"]["references"]) == (2, 3)
    assert body["others"]["cider_x100"] == pytest.approx(100 * body["score"])
    assert call("eval", "captions", *given) == 0
    said = capsys.readouterr().out
    assert said.startswith("cider ")
    assert "%" not in said.splitlines()[0].replace("95%", "")
    assert "rouge l" in said


@pytest.mark.reference
def test_bleu_shows_the_signature_of_sacrebleu(files, capsys):
    pytest.importorskip("sacrebleu")
    given = files(
        [{"id": "a", "text": ["it rains in the city today"]}], [{"id": "a", "text": "it rains in the city today"}]
    )
    assert call("eval", "bleu", *given) == 0
    said = capsys.readouterr().out
    assert "bleu 100.0000" in said
    assert "tok:13a" in said


def test_sentiment_shows_each_class(files, capsys):
    right = [
        {"id": str(i), "sentiment": label} for i, label in enumerate(["Positive", "<mixed>", "Negative", "Neutral"])
    ]
    said = [{"id": str(i), "sentiment": "Neutral" if i else "Positive"} for i in range(4)]
    assert call("eval", "slue-sa", *files(right, said)) == 0
    shown = capsys.readouterr().out
    assert "macro_f1 60.00 %" in shown
    assert "Neutral" in shown
    assert "weighted f1" in shown


def test_entities_are_read_from_tagged_text_and_from_the_release(files, tmp_path, capsys):
    said = [{"id": "a", "text": "in % paris ] & today ]"}]
    tagged = files([{"id": "a", "text": "in % paris ] today"}], said)
    (tmp_path / "dev.tsv").write_text("id\tnormalized_text\tnormalized_ner\na\tin paris today.\t[['GPE', 3, 5]]\n")
    for given in (tagged, ("--references", tmp_path / "dev.tsv", *tagged[2:])):
        assert call("eval", "slue-ner", *given, "--json") == 0
        body = json.loads(capsys.readouterr().out)
        assert body["score"] == pytest.approx(2 / 3)
        assert body["by"]["WHEN"]["precision"] == 0


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (("--reference-column", "txt"), "has no column 'txt'; name one of 'id', 'text', 'speaker'"),
        (("--speaker-column", "spk"), "has no column 'spk'"),
        (
            ("--normalise", "nist"),
            "unknown normalisation 'nist'; set one of none, librispeech, unicode, whisper, whisper-basic",
        ),
        (("--level", "95"), "level 95"),
    ],
)
def test_a_mistake_is_one_line(transcripts, capsys, more, message):
    assert call("eval", "wer", *transcripts, *more) == 2
    said = capsys.readouterr()
    assert message in said.err
    assert said.err.count("\n") == 1
    assert not said.out


def test_ids_that_do_not_agree_are_named(files, capsys):
    given = files([{"id": "a", "text": "x"}, {"id": "b", "text": "x"}], [{"id": "a", "text": "x"}])
    assert call("eval", "wer", *given) == 2
    assert "error: id 'b' has a reference and no hypothesis" in capsys.readouterr().err
    assert call("eval", "wer", "--references", "none.jsonl", *given[2:]) == 2
    assert "none.jsonl: no such file" in capsys.readouterr().err


def test_without_a_benchmark_it_shows_what_there_is(capsys):
    assert call("eval") == 0
    said = capsys.readouterr().out
    assert "slue-ner" in said
    assert "speechprep eval wer --references" in said
