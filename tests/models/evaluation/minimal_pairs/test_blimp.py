"""`speechprep eval blimp`: accuracies, baselines, intervals over paradigms, and refusals."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

from helpers.teacher_runs import LEXICON, write_tokenizer  # noqa: E402

from speechprep.cli import main  # noqa: E402
from speechprep.errors import StaleArtifact  # noqa: E402
from speechprep.models.evaluation.minimal_pairs.blimp import accuracy, evaluate, progress  # noqa: E402
from speechprep.models.evaluation.minimal_pairs.declaration import BlimpOptions  # noqa: E402
from speechprep.models.evaluation.minimal_pairs.pairs import MinimalPair  # noqa: E402

pytestmark = pytest.mark.reference


def benchmark(folder: Path) -> Path:
    """Two paradigms: word order, and one other word."""
    folder.mkdir()
    for name, rows in {
        "order": [("the cat saw a bird", "cat the saw a bird"), ("a dog went home", "a went dog home")],
        "word": [("the old tree", "the old bird"), ("some tall tree", "some tall cat"), ("its friend", "its dog saw")],
    }.items():
        text = "".join(json.dumps({"sentence_good": a, "sentence_bad": b}) + "\n" for a, b in rows)
        (folder / f"{name}.jsonl").write_text(text)
    return folder


def save_bert(folder: Path, **config) -> Path:
    write_tokenizer(folder, LEXICON, 60)
    size = len(transformers.BertTokenizerFast.from_pretrained(folder))
    torch.manual_seed(0)
    shape = {"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 64}
    transformers.BertForMaskedLM(transformers.BertConfig(size, **shape, **config)).save_pretrained(folder)
    return folder


def options(**values) -> BlimpOptions:
    return BlimpOptions.of({"quiet": True, **values})


def test_a_model_that_prefers_a_word_wins_its_pairs(tmp_path):
    folder = save_bert(tmp_path / "m")
    tokenizer = transformers.BertTokenizerFast.from_pretrained(folder)
    model = transformers.BertForMaskedLM.from_pretrained(folder)
    liked = [i for word in ("tree", "friend") for i in tokenizer(word, add_special_tokens=False)["input_ids"]]
    with torch.no_grad():
        model.cls.predictions.bias[liked] += 20
    model.save_pretrained(folder)
    result = evaluate([str(folder)], [str(benchmark(tmp_path / "b"))], options())
    pll, fewer = result.scores
    assert pll.by["word"] == {"accuracy": 1.0, "ties": 0, "support": 3}
    assert pll.counts["pairs"] == 5
    assert fewer.by["order"]["ties"] == 2
    assert fewer.score == pytest.approx(np.mean([0, 1 / 3]))
    assert {record["paradigm"] for record in result.records} == {"order", "word"}


def test_the_unigram_row_cannot_see_the_order(tmp_path):
    (tmp_path / "corpus.txt").write_text("the old tree some tall tree\n" * 5)
    folder, data = save_bert(tmp_path / "m"), benchmark(tmp_path / "b")
    _, unigram, _ = evaluate([str(folder)], [str(data)], options(unigram=str(tmp_path / "corpus.txt"))).scores
    assert unigram.metric == "minimal_pairs.unigram"
    assert unigram.by["order"] == {"accuracy": 0.0, "ties": 2, "support": 2}
    assert unigram.by["word"]["accuracy"] == pytest.approx(1.0)


def test_the_interval_is_over_paradigms():
    pairs = [MinimalPair(f"{p}/{i}", p, p, "f", "a", "b") for p in ("x", "y", "z") for i in range(10)]
    both = np.array([[1.0, 0.0]] * 20 + [[0.0, 1.0]] * 10)
    score = accuracy("pll", pairs, both, options())
    assert (score.score, score.others["over pairs"]) == pytest.approx((2 / 3, 2 / 3))
    assert (score.interval.over, score.interval.groups) == ("paradigms", 3)
    assert (score.interval.low, score.interval.high) == (0.0, 1.0)


def test_the_command_prints_a_table_and_json_and_writes_the_scores(tmp_path, capsys):
    call = ["eval", "blimp", "--model", str(save_bert(tmp_path / "m")), "--data", str(benchmark(tmp_path / "b"))]
    for extra in ([], ["--json", "--out", str(tmp_path / "scores.jsonl")]):
        with pytest.raises(SystemExit) as done:
            main([*call, *extra])
        assert done.value.code == 0
    shown = capsys.readouterr().out
    assert "all, pll" in shown
    assert json.loads(shown[shown.index("[\n") :])[0]["metric"] == "minimal_pairs.pll"
    assert len((tmp_path / "scores.jsonl").read_text().splitlines()) == 5


def test_a_causal_model_is_scored_and_others_are_refused(tmp_path):
    data = str(benchmark(tmp_path / "b"))
    causal = tmp_path / "gpt2"
    write_tokenizer(causal, LEXICON, 60)
    torch.manual_seed(0)
    size = len(transformers.BertTokenizerFast.from_pretrained(causal))
    transformers.GPT2LMHeadModel(
        transformers.GPT2Config(size, n_positions=64, n_embd=32, n_layer=1, n_head=2)
    ).save_pretrained(causal)
    assert evaluate([str(causal)], [data], options()).scores[0].metric == "minimal_pairs.causal"
    with pytest.raises(StaleArtifact, match="'gpt2' without the score 'pll'"):
        evaluate([str(causal)], [data], options(method="pll"))
    with pytest.raises(StaleArtifact, match="no model of transformers"):
        evaluate([str(tmp_path / "b")], [data], options())


def test_a_tokenizer_with_other_special_ids_is_refused_with_both_named(tmp_path):
    ids = {"[PAD]": 0, "[UNK]": 1, "[CLS]": 2, "[SEP]": 3, "[MASK]": 103}
    folder = save_bert(tmp_path / "m", speechprep={"special_ids": ids})
    with pytest.raises(StaleArtifact, match=r"\[MASK\] has id 4 in the tokenizer and id 103 in the model"):
        evaluate([str(folder)], [str(benchmark(tmp_path / "b"))], options())


def test_the_progress_bar_is_on_the_error_stream(capsys, monkeypatch):
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    with progress(3, quiet=False) as advance:
        advance(2)
    printed = capsys.readouterr()
    assert printed.out == ""
    assert "scoring" in printed.err
