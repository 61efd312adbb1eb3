"""Fine-tuning on SLUE: a tiny SUTLM learns what its fine-tuning shows, and is asked in both modalities."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")
pytest.importorskip("accelerate")

from speechprep.errors import ConfigError, StaleArtifact  # noqa: E402
from speechprep.models.dmlm.corpus import transcripts  # noqa: E402
from speechprep.models.sutlm import finetune  # noqa: E402
from speechprep.models.sutlm.train import SutlmOptions, training_job  # noqa: E402
from speechprep.models.sutlm.transfer import transfer  # noqa: E402
from speechprep.models.training.run import train  # noqa: E402

pytestmark = pytest.mark.reference


@pytest.fixture(scope="module")
def sutlm(run, tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("base") / "sutlm"
    options = SutlmOptions.of({"size": "tiny", "context": 512, "rows": 4, "steps": 20, "save_every": 1000})
    train(training_job([str(run)], options), options, out, quiet=True)
    return out


@pytest.fixture(scope="module")
def labels(run, tmp_path_factory) -> Path:
    """Sentiment that follows from whether a word occurs; and the first word tagged as a place."""
    folder, rows = tmp_path_factory.mktemp("labels"), []
    for id, text in transcripts(str(run)).items():
        first, rest = text.split()[0], " ".join(text.split()[1:])
        label = "Positive" if "today" in text.split() else "<mixed>"
        rows.append({"id": id, "sentiment": label, "text": f"% {first} ] {rest}"})
    path = folder / "labels.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def fit(run, sutlm, labels, out, **given):
    options = finetune.SlueOptions.of({
        "init": str(sutlm), "labels": str(labels), "rows": 16, "lr": 3e-3, "dropout": 0.0, "log_every": 50,
        "save_every": 1000, **given,
    })  # fmt: skip
    assert train(finetune.training_job([str(run)], options), options, out, quiet=True)
    return str(out)


def test_a_classifier_learns_from_text_and_is_asked_in_both(run, sutlm, labels, tmp_path):
    folder = fit(run, sutlm, labels, tmp_path / "sa", modality="text", steps=120)
    scores = {(a, b): score for a, b, score in transfer([folder], str(run), str(labels))}
    assert scores.keys() == {("text", "speech"), ("text", "text")}
    assert scores["text", "text"].score > 0.9
    assert scores["text", "text"].counts["utterances"] == 48
    assert json.loads((tmp_path / "sa" / "config.json").read_text())["labels"] == ["Neutral", "Positive"]


def test_tagged_text_is_generated_and_scored(run, sutlm, labels, tmp_path):
    folder = fit(run, sutlm, labels, tmp_path / "ner", modality="text", task="ner", steps=120)
    scores = {(a, b): score for a, b, score in transfer([folder], str(run), str(labels))}
    assert scores["text", "text"].others["label_f1"] > 0.9


def test_only_the_tagged_text_is_a_target():
    batch = finetune.collate([([4, 30, 31, 5, 6], [20, 21, 7]), ([4, 5, 6], [22, 7])], 0)
    assert batch["labels"].tolist() == [[-100] * 5 + [20, 21, 7], [-100] * 3 + [22, 7] + [-100] * 3]
    assert batch["document_ids"].tolist() == [[0] * 8, [0] * 5 + [-1] * 3]


def test_what_does_not_fit_is_refused(run, sutlm, labels, tmp_path):
    wrong = tmp_path / "wrong.jsonl"
    wrong.write_text('{"id": "nobody", "sentiment": "Positive"}\n')
    with pytest.raises(ConfigError, match=r"no id of .*wrong.jsonl"):
        fit(run, sutlm, wrong, tmp_path / "x")
    wrong.write_text('{"id": "s0-000", "sentiment": "angry"}\n')
    with pytest.raises(ConfigError, match="'angry'"):
        fit(run, sutlm, wrong, tmp_path / "x")
    with pytest.raises(StaleArtifact, match="no trained SUTLM"):
        fit(run, tmp_path, labels, tmp_path / "x")
    with pytest.raises(StaleArtifact, match="no fine-tuned"):
        transfer([str(sutlm)], str(run), str(labels))


def test_validation_is_kept_out_of_training_and_has_its_line(run, sutlm, labels, tmp_path):
    fit(run, sutlm, labels, tmp_path / "v", modality="text", steps=4, validation=0.4, validate_every=2)
    lines = [json.loads(line) for line in (tmp_path / "v" / "metrics.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines if "eval_label" in line] == [2, 4]
    options = finetune.SlueOptions.of({"init": str(sutlm), "labels": str(labels), "rows": 1, "validation": 0.4,
                                       "validate_batches": 999, "validate_every": 1})  # fmt: skip
    job = finetune.training_job([str(run)], options)
    batches = iter(job.batches(0, 1))

    def texts(rows) -> set[tuple[int, ...]]:
        return {tuple(row["input_ids"][0].tolist()) for row in rows}

    trained_on, validated = texts(next(batches) for _ in range(200)), texts(job.validation(0, 1))
    assert trained_on
    assert validated
    assert not trained_on & validated


def test_validation_of_everything_is_refused(run, sutlm, labels, tmp_path):
    with pytest.raises(ConfigError, match="excludes every utterance from training"):
        fit(run, sutlm, labels, tmp_path / "n", validation=0.999999)
