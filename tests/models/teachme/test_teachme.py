"""Teach me with a Whisper: initial losses, controls, padding, ranks, resume, export and refusals."""

from __future__ import annotations

import json
import math
import os
import shutil
import socket
import subprocess
import sys
from itertools import islice
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")
pytest.importorskip("accelerate")

from helpers.teacher_runs import (  # noqa: E402
    DIM,
    EXTRACTOR,
    LEXICON,
    rows_of,
    vectors_of,
    write_teacher_run,
    write_tokenizer,
    write_vectors,
)
from safetensors.torch import load_file  # noqa: E402

from speechprep.errors import ConfigError, StaleArtifact  # noqa: E402
from speechprep.models.teachme.declaration import MatchOptions  # noqa: E402
from speechprep.models.teachme.evaluations import evaluate_match  # noqa: E402
from speechprep.models.teachme.load import load_student  # noqa: E402
from speechprep.models.teachme.model import HEADS  # noqa: E402
from speechprep.models.teachme.train import TeachMeOptions, training_job  # noqa: E402
from speechprep.models.training.run import train  # noqa: E402

pytestmark = pytest.mark.reference
SMALL = {"size": "tiny", "context": 32, "rows": 8, "steps": 6, "log_every": 2, "save_every": 3, "dropout": 0.0}
KINDS = [{"distill": "nst", "form": form} for form in ("r2", "r5", "r6")] + [
    {"distill": "crd"},
    {"distill": "crd_bank"},
]
NAMES = ["r2", "r5", "r6", "crd", "crd_bank"]


def options_of(**options) -> TeachMeOptions:
    return TeachMeOptions.of({**SMALL, **options})


def fit(run: Path, out: Path, **options) -> bool:
    chosen = options_of(**options)
    return train(training_job([str(run)], chosen), chosen, out, quiet=True)


def first(run: Path, **options):
    """The model and the first batch of a training."""
    torch.manual_seed(0)
    job = training_job([str(run)], options_of(**options))
    return job.model(), next(iter(job.batches(0, 1)))


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return load_file(folder / "model.safetensors") | load_file(folder / HEADS)


def same(a: Path, b: Path) -> bool:
    one, two = weights(a), weights(b)
    return one.keys() == two.keys() and all(torch.equal(one[k], two[k]) for k in one)


def metrics(folder: Path) -> list[dict]:
    rows = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    return [{k: v for k, v in row.items() if "per_second" not in k and k != "data_share"} for row in rows]


@pytest.mark.parametrize("kind", KINDS, ids=NAMES)
def test_the_first_loss_of_mlm_is_the_logarithm_of_the_vocabulary(teacher_run, kind):
    model, batch = first(teacher_run, rows=64, **kind)
    out = model(**batch)
    assert out.sums[0].item() / out.counts[0].item() == pytest.approx(math.log(model.config.vocab_size), rel=0.03)
    assert model.loss_terms()[0].name == "mlm"


def test_the_first_losses_of_crd_are_the_logarithm_of_the_batch(teacher_run):
    model, batch = first(teacher_run, rows=16, distill="crd", temperature=1.0)
    means = model(**batch).sums / model.target_counts(**batch)
    assert means[1:].tolist() == pytest.approx([math.log(16)] * 2, rel=0.03)


@pytest.mark.parametrize("kind", KINDS, ids=NAMES)
def test_padding_changes_no_loss(teacher_run, kind):
    model, batch = first(teacher_run, **kind)
    model.eval()
    before = model(**batch)
    pads = {"input_ids": 0, "attention_mask": 0, "labels": -100}
    wider = {k: torch.nn.functional.pad(v, (0, 5), value=pads[k]) if k in pads else v for k, v in batch.items()}
    after = model(**wider)
    assert torch.equal(before.counts, after.counts)
    assert (before.sums / before.counts).tolist() == pytest.approx((after.sums / after.counts).tolist(), abs=1e-5)


@pytest.mark.parametrize("kind", KINDS, ids=NAMES)
def test_a_swap_of_two_clips_audio_changes_the_loss_of_the_model(teacher_run, kind):
    model, batch = first(teacher_run, **kind)
    model = model.double().eval()
    batch["vectors"] = batch["vectors"].double()
    before = model(**batch).sums[1:].sum().item()
    rows = len(batch["input_ids"])
    for other in range(1, rows):
        order = list(range(rows))
        order[0], order[other] = other, 0
        changed = model(**{**batch, "vectors": batch["vectors"][order]}).sums[1:].sum().item()
        assert abs(changed - before) > 1e-6


@pytest.mark.parametrize("kind", KINDS, ids=NAMES)
def test_audio_of_zeros_leaves_gradients_on_the_side_of_the_audio(teacher_run, kind):
    model, batch = first(teacher_run, **kind)
    batch["vectors"] = torch.zeros_like(batch["vectors"])
    model(**batch).loss.backward()
    side = model.distillation.teacher if kind["distill"] != "nst" else model.distillation.student
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in side.parameters())


def test_teacher_vectors_are_centred_by_the_training_side_alone(teacher_run):
    options = {"validation": 0.4}
    model, _ = first(teacher_run, **options)
    from speechprep.models.split import held_out

    rows = rows_of(64)
    training = ~held_out([row["id"] for row in rows], 0.4)
    expected = vectors_of(rows)[training].astype(np.float64).mean(0)
    assert 0 < training.sum() < 64
    assert np.allclose(model.distillation.centre.numpy(), expected, atol=1e-5)


def batches(run: Path, count: int = 8, **options) -> list[dict]:
    job = training_job([str(run)], options_of(**options))
    return list(islice(iter(job.batches(0, 1)), count))


def own_vectors() -> dict[int, np.ndarray]:
    rows = rows_of(64)
    from speechprep.models.encoder.texts import Text
    from speechprep.models.teachme.teacher import text_hashes

    hashes = text_hashes([Text(row["id"], row["text"]) for row in rows]).astype(np.int64).tolist()
    return dict(zip(hashes, zip(vectors_of(rows), rows, strict=True), strict=True))


@pytest.mark.parametrize("vector", ["mean", "mean_all"])
def test_own_audio_is_the_vector_of_the_text(teacher_run, vector):
    table = own_vectors()
    for batch in batches(teacher_run, vector=vector):
        for text, found in zip(batch["texts"].tolist(), batch["vectors"].numpy(), strict=True):
            assert np.allclose(found, table[text][0] * (0.5 if vector == "mean_all" else 1))


def test_shuffled_audio_is_of_the_same_speaker_of_similar_duration_and_each_is_used_once(teacher_run):
    table = own_vectors()
    by_vector = {vector.tobytes(): row for vector, row in table.values()}
    used, ratios = [], []
    for batch in batches(teacher_run, audio="shuffled"):
        assert batch["paired"].all()
        for text, vector in zip(batch["texts"].tolist(), batch["vectors"].numpy(), strict=True):
            row, other = table[text][1], by_vector[vector.tobytes()]
            assert row["id"] != other["id"]
            assert row["speaker"] == other["speaker"]
            used.append(other["id"])
            ratios.append(max(row["duration"], other["duration"]) / min(row["duration"], other["duration"]))
    assert len(set(used)) == len(used) == 64
    assert np.median(ratios) < 1.2


def test_constant_audio_is_one_vector_that_is_not_centred(teacher_run):
    found = np.concatenate([batch["vectors"].numpy() for batch in batches(teacher_run, audio="constant")])
    assert np.allclose(found, vectors_of(rows_of(64)).mean(0), atol=1e-4)
    assert not first(teacher_run, audio="constant")[0].distillation.centre.any()


def test_duration_vectors_depend_on_the_duration_alone(teacher_run):
    found = [batch["vectors"].numpy() for batch in batches(teacher_run, audio="duration")]
    seconds = {text: row["duration"] for text, (_, row) in own_vectors().items()}
    of = {}
    for batch, vectors in zip(batches(teacher_run, audio="duration"), found, strict=True):
        for text, vector in zip(batch["texts"].tolist(), vectors, strict=True):
            assert of.setdefault(seconds[text], vector.tobytes()) == vector.tobytes()
    assert len(set(of.values())) == len(of) > 8
    assert np.concatenate(found).shape == (64, DIM)


def test_gamma_0_trains_mlm_alone_and_reports_the_distillation(teacher_run, tmp_path):
    model, batch = first(teacher_run, gamma=0.0)
    out = model(**batch)
    out.loss.backward()
    assert out.loss.item() == pytest.approx(out.sums[0].item() / out.counts[0].item())
    assert not any(p.grad.any() for p in model.distillation.parameters())
    fit(teacher_run, tmp_path / "x", gamma=0.0, steps=2)
    assert {"mlm", "crd_text", "crd_audio"} <= metrics(tmp_path / "x")[0].keys()


@pytest.mark.parametrize("kind", [{"distill": "crd"}, {"distill": "crd_bank", "negatives": 16}], ids=["crd", "bank"])
def test_a_stopped_training_resumes_to_the_same_weights(teacher_run, tmp_path, kind):
    assert fit(teacher_run, tmp_path / "whole", dropout=0.1, **kind)
    assert not fit(teacher_run, tmp_path / "x", dropout=0.1, stop_at=4, **kind)
    assert fit(teacher_run, tmp_path / "x", dropout=0.1, **kind)
    assert same(tmp_path / "x", tmp_path / "whole")
    assert metrics(tmp_path / "x") == metrics(tmp_path / "whole")


@pytest.mark.slow
@pytest.mark.parametrize("kind", [KINDS[2], *KINDS[3:]], ids=["r6", "crd", "crd_bank"])
def test_two_ranks_train_what_one_process_does(teacher_run, tmp_path, kind):
    settings = {**SMALL, "steps": 4, "save_every": 4, **kind}
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    launch = [sys.executable, "-m", "torch.distributed.run", "--nproc_per_node=2", f"--master_port={port}"]
    command = ["-m", "speechprep", "train", "teachme", "-q", "--data", str(teacher_run), "--out", str(tmp_path / "two")]
    given = [f"--set={k}={v}" for k, v in {**settings, "rows": 4}.items()]
    done = subprocess.run(
        [*launch, *command, *given],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=400,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    fit(teacher_run, tmp_path / "one", **settings)
    one, two = (load_file(tmp_path / name / "checkpoint-4/model.safetensors") for name in ("one", "two"))
    assert one.keys() == two.keys()
    assert max(float((one[k] - two[k]).abs().max()) for k in one) < 5e-5
    if kind["distill"] == "crd_bank":
        assert {"distillation.bank.text", "distillation.bank.audio", "distillation.bank.scale"} <= one.keys()


@pytest.mark.slow
@pytest.mark.parametrize("kind", [KINDS[2], *KINDS[3:4]], ids=["r6", "crd"])
def test_32_clips_can_be_learnt_by_heart(teacher_run, kind):
    """Under 0.05 above the lowest value a text determines: 0 for CRD and R6. MLM is learnt on fixed masks."""
    torch.manual_seed(0)
    job = training_job([str(teacher_run)], options_of(rows=32, head="mlp", size="mini", **kind))
    model, batch = job.model(), next(iter(job.batches(0, 1)))
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    means = None
    for _ in range(400):
        out = model(**batch)
        means = out.sums / out.counts
        if (means < 0.05).all():
            break
        optimizer.zero_grad()
        out.loss.backward()
        optimizer.step()
    assert (means < 0.05).all(), means


def test_the_student_is_a_plain_bert_with_its_tokenizer(teacher_run, tmp_path):
    from transformers import AutoModelForMaskedLM, AutoTokenizer, BertForMaskedLM

    fit(teacher_run, tmp_path / "x", steps=2)
    bert, loaded = AutoModelForMaskedLM.from_pretrained(tmp_path / "x", output_loading_info=True)
    assert type(bert) is BertForMaskedLM
    assert not loaded["missing_keys"]
    assert not loaded["unexpected_keys"]
    assert len(AutoTokenizer.from_pretrained(tmp_path / "x")) == bert.config.vocab_size
    student, _ = load_student(str(tmp_path / "x"))
    checkpoint = load_file(tmp_path / "x/checkpoint-2/model.safetensors")
    for name, value in student.state_dict().items():
        if name in checkpoint:
            assert torch.equal(value, checkpoint[name])


def test_equal_texts_have_equal_vectors(teacher_run, tmp_path):
    """The student is a function of the text: it cannot hold what differs between two recordings of one text."""
    fit(teacher_run, tmp_path / "x", steps=2)
    student, tokenizer = load_student(str(tmp_path / "x"))
    from speechprep.models.encoder.batches import padded

    text = tokenizer.encode(["the cat saw a bird"]).ids.astype(np.int64)
    longer = tokenizer.encode(["the cat saw a bird and then went home"]).ids.astype(np.int64)
    audio = torch.from_numpy(vectors_of(rows_of(5)))
    both = student.agreement(**padded([text, longer, text], tokenizer), vectors=audio)
    alone = student.agreement(**padded([text], tokenizer), vectors=audio)
    assert torch.equal(both[0], both[2])
    assert torch.allclose(both[0], alone[0], atol=1e-5)


def test_a_trained_student_finds_its_audio_and_the_shuffled_control_does_not(tmp_path):
    run = write_teacher_run(tmp_path / "run", 320)
    options = {"steps": 150, "rows": 32, "lr": 2e-3, "split": "train", "save_every": 500, "log_every": 50, "dim": 32}
    won = {}
    for audio in ("own", "shuffled"):
        fit(run, tmp_path / audio, audio=audio, **options)
        result = evaluate_match([str(tmp_path / audio)], [str(run)], MatchOptions.of({"split": "test"}))
        assert [score.counts["clips"] for score in result.scores] == [64, 64]
        won[audio] = [score.score for score in result.scores]
    assert min(won["own"]) > 0.85, won
    assert won["shuffled"][0] < 0.7, won


@pytest.mark.parametrize("audio", ["own", "duration"])
def test_match_counts_its_comparisons(teacher_run, tmp_path, audio):
    fit(teacher_run, tmp_path / "x", steps=1, validation=0.4, audio=audio)
    same_speaker, others = evaluate_match(
        [str(tmp_path / "x")], [str(teacher_run)], MatchOptions.of({"unseen": True})
    ).scores
    rows = rows_of(64)
    from speechprep.models.split import held_out

    held = [row for row, out in zip(rows, held_out([r["id"] for r in rows], 0.4), strict=True) if out]
    candidates = [
        sum(
            a["speaker"] == b["speaker"] and a is not b
            and max(a["duration"], b["duration"]) / min(a["duration"], b["duration"]) <= 1.2
            for b in held
        )
        for a in held
    ]  # fmt: skip
    assert same_speaker.counts == {"clips": sum(c > 0 for c in candidates), "without_candidates": candidates.count(0)}
    assert same_speaker.others["candidates"] == pytest.approx(sum(candidates) / max(sum(c > 0 for c in candidates), 1))
    assert others.counts["clips"] == len(held)


def broken(source: Path, out: Path) -> Path:
    shutil.copytree(source, out)
    return out


def test_vectors_that_do_not_fit_are_refused_with_both_sides_named(teacher_run, tmp_path):
    rows = rows_of(64)
    ids = [row["id"] for row in rows]
    run = broken(teacher_run, tmp_path / "clips")
    shutil.rmtree(run / "vectors")
    with pytest.raises(StaleArtifact, match="has no 'vectors'"):
        fit(run, tmp_path / "x")
    write_vectors(run / "vectors", [f"{id}#25w0" for id in ids], vectors_of(rows))
    with pytest.raises(StaleArtifact, match=r"ids like 's0-000', the vectors of .* ids like 's0-000#25w0'"):
        fit(run, tmp_path / "x")
    write_vectors(run / "vectors", ids[1:], vectors_of(rows)[1:])
    with pytest.raises(ConfigError, match="1 of 64 texts have no vector, for example 's0-000'"):
        fit(run, tmp_path / "x")
    fit(run, tmp_path / "dropped", missing="drop", steps=1)
    counts = json.loads((tmp_path / "dropped/train.json").read_text())["texts"]
    assert (counts["used"], counts["without_vector"]) == (63, 1)
    other = write_teacher_run(tmp_path / "other", 20, seed=5)
    names = [f"o{id}" for id in ids[:20]]
    from helpers import rowmaking as made

    from speechprep.artifacts.schemas import UTTERANCES

    shutil.rmtree(other / "utterances")
    renamed = [{**row, "id": name} for row, name in zip(rows_of(20, 5), names, strict=True)]
    made.write_dataset(other / "utterances", "utterances", UTTERANCES, [renamed])
    write_vectors(other / "vectors", names, vectors_of(rows_of(20, 5)), {**EXTRACTOR, "layer": 4})
    chosen = options_of()
    with pytest.raises(StaleArtifact, match=r"layer 4.*layer 6"):
        training_job([str(teacher_run), str(other)], chosen)
    fit(teacher_run, tmp_path / "m", steps=1)
    with pytest.raises(StaleArtifact, match=r"trained with vectors of whisper layer 6.*layer 4"):
        evaluate_match([str(tmp_path / "m")], [str(other)], MatchOptions.of({}))


def test_other_tokenizers_and_long_texts_are_refused(teacher_run, tmp_path):
    fit(teacher_run, tmp_path / "m", steps=1)
    write_tokenizer(tmp_path / "w", LEXICON, 70)
    with pytest.raises(StaleArtifact, match="was trained with tokenizer"):
        fit(teacher_run, tmp_path / "x", init=str(tmp_path / "m"), tokenizer=str(tmp_path / "w"))
    with pytest.raises(ConfigError, match=r"texts are longer than context = 8 tokens, for example 's"):
        fit(teacher_run, tmp_path / "x", context=8)
    assert fit(teacher_run, tmp_path / "cut", context=8, long="cut", steps=1)
    with pytest.raises(ConfigError, match="has 32 positions"):
        fit(teacher_run, tmp_path / "x", init=str(tmp_path / "m"), context=64)
    assert fit(teacher_run, tmp_path / "warm", init=str(tmp_path / "m"), steps=1)
    with pytest.raises(StaleArtifact, match="no trained student"):
        load_student(str(teacher_run))
