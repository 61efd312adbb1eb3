"""Fine-tuning over seeds: it learns, keeps the best validation, resumes, and refuses what it cannot use."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")
pytest.importorskip("accelerate")
pytest.importorskip("h5py")

from helpers.mosei_files import BAD, GOOD, PLAIN, videos, write_mosei  # noqa: E402
from helpers.teacher_runs import rows_of, write_tokenizer  # noqa: E402

from speechprep.cli import main  # noqa: E402
from speechprep.errors import BadInput, ConfigError, StaleArtifact  # noqa: E402
from speechprep.models.evaluation.finetuning.declaration import FinetuneOptions, MoseiOptions  # noqa: E402
from speechprep.models.evaluation.finetuning.of_mosei import evaluate as evaluate_mosei  # noqa: E402
from speechprep.models.evaluation.finetuning.of_run import evaluate  # noqa: E402

pytestmark = [pytest.mark.reference, pytest.mark.slow, pytest.mark.timeout(1200)]
SMALL = {"seeds": [0, 1], "epochs": 5, "lr": 5e-3, "rows": 8, "dropout": 0.0, "samples": 50}


def save_bert(folder: Path, texts: list[str]) -> str:
    write_tokenizer(folder, texts, 120)
    size = len(transformers.BertTokenizerFast.from_pretrained(folder))
    torch.manual_seed(0)
    shape = {"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 64}
    transformers.BertForMaskedLM(transformers.BertConfig(size, **shape)).save_pretrained(folder)
    return str(folder)


@pytest.fixture(scope="module")
def bert(tmp_path_factory) -> str:
    return save_bert(tmp_path_factory.mktemp("bert") / "m", [" ".join([*GOOD, *BAD, *PLAIN])] * 3)


@pytest.fixture(scope="module")
def student(teacher_run, tmp_path_factory) -> str:
    return save_bert(tmp_path_factory.mktemp("student") / "m", [row["text"] for row in rows_of(64)])


@pytest.fixture(scope="module")
def words(tmp_path_factory) -> Path:
    """Labels of the teacher run: does the text have the word cat? And its number of words."""
    path = tmp_path_factory.mktemp("labels") / "labels.jsonl"
    rows = [
        {
            "id": row["id"],
            "label": "cat" if "cat" in row["text"].split() else "none",
            "n": str(len(row["text"].split())),
        }
        for row in rows_of(64)
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def test_mosei_is_learnt_and_every_figure_stands_beside_its_majority(bert, tmp_path):
    write_mosei(tmp_path / "mosei", rows=videos(60))
    result = evaluate_mosei([bert], [str(tmp_path / "mosei")], MoseiOptions.of({**SMALL, "lr": 3e-3, "epochs": 20}))
    scores = {score.metric: score for score in result.scores}
    assert len(scores) == len(result.scores) == 8 + 12
    accuracy = scores["mosei.sentiment.acc2 positive"]
    assert accuracy.score > accuracy.others["majority"] + 0.2
    assert scores["mosei.sentiment.pearson"].score > 0.7
    assert scores["mosei.sentiment.mae"].score < scores["mosei.sentiment.mae"].others["majority"] / 2
    assert scores["mosei.happy.accuracy"].score > scores["mosei.happy.accuracy"].others["majority"] + 0.1
    assert scores["mosei.fear.accuracy"].score == scores["mosei.fear.accuracy"].others["majority"] == 1.0
    assert accuracy.counts["seeds"] == 2
    assert (accuracy.interval.over, accuracy.interval.groups) == ("videos", 6)
    assert "segments: train" in result.notes[-1]


def test_the_best_validation_is_kept_and_the_same_command_resumes(student, teacher_run, words, tmp_path):
    keep = tmp_path / "kept"
    options = FinetuneOptions.of({**SMALL, "labels": str(words), "keep": str(keep)})
    first = evaluate([student], [str(teacher_run)], options)
    for seed in (0, 1):
        folder = keep / f"labels-seed{seed}"
        lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
        losses = {line["step"]: line["eval_label"] for line in lines if "eval_label" in line}
        finished = json.loads((folder / "finished.json").read_text())
        assert len(losses) == 5
        assert losses[finished["best_step"]] == min(losses.values())
        model = transformers.AutoModelForSequenceClassification.from_pretrained(folder)
        assert model.config.id2label == {0: "cat", 1: "none"}
        tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
        with torch.no_grad():
            logits = model(**tokenizer("the cat saw a bird", return_tensors="pt")).logits
        assert torch.isfinite(logits).all()
    times = {path: path.stat().st_mtime_ns for path in keep.rglob("*.safetensors")}
    again = evaluate([student], [str(teacher_run)], options)
    assert again.scores == first.scores
    assert times == {path: path.stat().st_mtime_ns for path in keep.rglob("*.safetensors")}
    with pytest.raises(ConfigError, match="another training"):
        evaluate([student], [str(teacher_run)], FinetuneOptions.of({**options.model_dump(), "lr": 1e-3}))


def test_classes_of_a_run_are_learnt_and_speakers_stay_on_one_side(student, teacher_run, words):
    options = FinetuneOptions.of({**SMALL, "lr": 2e-3, "epochs": 20, "labels": str(words), "test_share": 0.3})
    result = evaluate([student], [str(teacher_run)], options)
    accuracy, macro, _ = result.scores
    assert accuracy.score > accuracy.others["majority"] + 0.15
    assert macro.metric == "finetune.macro f1"
    assert accuracy.interval is None  # one speaker
    assert accuracy.counts["rows"] == 16
    assert "texts: train 32, valid 16, test 16" in result.notes[-1]


def test_numbers_of_a_run_are_learnt_and_splits_are_used(student, teacher_run, words):
    options = FinetuneOptions.of(
        {**SMALL, "lr": 2e-3, "epochs": 20, "labels": str(words), "column": "n", "task": "number", "test_split": "test"}
    )
    pearson, mae = evaluate([student], [str(teacher_run)], options).scores
    tested = [len(row["text"].split()) for row in rows_of(64) if row["split"] == "test"]
    trained = [len(r["text"].split()) for r in rows_of(64) if r["split"] != "test"]
    assert pearson.counts["rows"] == len(tested)
    assert mae.others["majority"] == pytest.approx(np.abs(np.array(tested) - np.median(trained)).mean(), abs=0.5)
    assert pearson.score > 0.8
    assert mae.score < mae.others["majority"] / 2


@pytest.mark.parametrize(
    ("lines", "options", "error", "reason"),
    [
        ([{"id": "x", "label": "a"}], {}, ConfigError, "no label for a text of"),
        ([{"id": r["id"], "label": "a"} for r in rows_of(64)], {}, BadInput, "the only class is 'a'"),
        (
            [{"id": r["id"], "label": r["speaker"]} for r in rows_of(64)], {}, BadInput,
            r"the class 's\d' has no training text",
        ),
        ([{"id": r["id"], "label": "high"} for r in rows_of(64)], {"task": "number"}, BadInput, "'high' is no number"),
        (
            [{"id": r["id"], "label": "ab"[i % 2]} for i, r in enumerate(rows_of(64)) if r["speaker"] < "s2"], {},
            BadInput, "2 speakers for 3 sides",
        ),
    ],
)  # fmt: skip
def test_unusable_labels_are_refused(student, teacher_run, tmp_path, lines, options, error, reason):
    path = tmp_path / "labels.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    with pytest.raises(error, match=reason):
        evaluate([student], [str(teacher_run)], FinetuneOptions.of({**SMALL, "labels": str(path), **options}))


def test_a_folder_without_a_bert_is_refused(teacher_run, words, tmp_path):
    write_tokenizer(tmp_path / "m", ["the cat"], 60)
    with pytest.raises(StaleArtifact, match=r"has no BERT|of another kind"):
        evaluate([str(tmp_path / "m")], [str(teacher_run)], FinetuneOptions.of({"labels": str(words)}))


def test_the_command_prints_a_table_and_json(bert, tmp_path, capsys):
    write_mosei(tmp_path / "mosei")
    call = ["eval", "mosei", "--model", bert, "--data", str(tmp_path / "mosei"), "--task", "sentiment", "--epochs", "1"]
    for extra in (["--seed", "3"], ["--seed", "3", "--json"]):
        with pytest.raises(SystemExit) as done:
            main([*call, *extra])
        assert done.value.code == 0
    shown = capsys.readouterr().out
    assert "sentiment, acc7 rounded" in shown
    assert "left out 0 without text" in shown
    assert json.loads(shown[shown.index("[\n") :])[0]["by"].keys() == {"seed 3"}
