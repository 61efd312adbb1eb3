"""Losses by class: against a plain reference, over parts, and with a class that is not there."""

from __future__ import annotations

import math
import subprocess
import sys

import pytest

torch = pytest.importorskip("torch")

from speechprep.models.losses import (  # noqa: E402
    IGNORE,
    LossTerm,
    class_counts,
    class_losses,
    combine,
    contrastive,
    next_tokens,
)

pytestmark = pytest.mark.reference
LAMBDAS = (0.25, 0.93, 0.25)
VOCAB, CLASSES = 30, 3
NAMES = ("speech", "text", "image")
EACH = tuple(map(LossTerm, NAMES, LAMBDAS))  # a denominator for each
TOGETHER = tuple(LossTerm(name, group="tokens") for name in NAMES)
CLASS = torch.tensor([0] * 10 + [1] * 12 + [2] * 8)


def random_batch(seed: int, rows: int = 8, length: int = 12) -> tuple[torch.Tensor, torch.Tensor]:
    draw = torch.Generator().manual_seed(seed)
    targets = torch.randint(0, VOCAB, (rows, length), generator=draw)
    targets[torch.rand(rows, length, generator=draw) < 0.2] = IGNORE
    return torch.randn(rows, length, VOCAB, generator=draw), targets


def parts_of(logits: torch.Tensor, targets: torch.Tensor):  # type: ignore[no-untyped-def]
    chosen = targets != IGNORE
    return class_losses(logits[chosen], targets[chosen], CLASS, CLASSES)


def plain_reference(logits: torch.Tensor, targets: torch.Tensor) -> tuple[list[float], float]:
    """Mean of each class, token by token in Python floats, and the weighted sum."""
    sums, counts = [0.0] * CLASSES, [0] * CLASSES
    for row, wanted in zip(logits.reshape(-1, VOCAB).double(), targets.reshape(-1).tolist(), strict=True):
        if wanted != IGNORE:
            sums[int(CLASS[wanted])] -= float(row[wanted]) - math.log(sum(math.exp(x) for x in row.tolist()))
            counts[int(CLASS[wanted])] += 1
    means = [s / n if n else 0.0 for s, n in zip(sums, counts, strict=True)]
    return means, sum(w * m for w, m in zip(LAMBDAS, means, strict=True))


@pytest.mark.parametrize("seed", range(5))
def test_means_of_the_classes_and_the_loss_are_those_of_a_plain_loop(seed):
    logits, targets = random_batch(seed)
    found = parts_of(logits, targets)
    means, whole = plain_reference(logits, targets)
    assert (found.sums / found.counts).tolist() == pytest.approx(means, abs=1e-5)
    assert float(combine(EACH, found.sums.detach(), found.counts)) == pytest.approx(whole, abs=1e-5)


def test_the_plain_loss_is_torchs_mean_over_all_tokens():
    logits, targets = random_batch(7)
    found = parts_of(logits, targets)
    wanted = torch.nn.functional.cross_entropy(logits.transpose(1, 2), targets, ignore_index=IGNORE)
    assert float(combine(TOGETHER, found.sums.detach(), found.counts)) == pytest.approx(float(wanted), abs=1e-6)


@pytest.mark.parametrize("terms", [EACH, TOGETHER], ids=["each", "together"])
def test_an_absent_class_adds_nothing_and_no_target_at_all_gives_zero(terms):
    logits, targets = random_batch(3)
    targets[CLASS[targets.clamp_min(0)] == 2] = IGNORE
    logits.requires_grad_()
    found = parts_of(logits, targets)
    assert found.counts[2] == 0
    loss = combine(terms, found.sums, found.counts)
    loss.backward()
    assert torch.isfinite(loss)
    assert torch.isfinite(logits.grad).all()
    nothing = parts_of(logits, torch.full_like(targets, IGNORE))
    assert combine(terms, nothing.sums, nothing.counts).item() == 0


@pytest.mark.parametrize("terms", [EACH, TOGETHER], ids=["each", "together"])
def test_one_batch_of_eight_rows_is_eight_of_one_and_four_of_two(terms):
    logits, targets = random_batch(11)
    counts = class_counts(targets, CLASS, CLASSES)
    found = []
    for size in (8, 2, 1):
        leaf = logits.clone().requires_grad_()
        for at in range(0, 8, size):
            part = parts_of(leaf[at : at + size], targets[at : at + size])
            combine(terms, part.sums, counts).backward()
        found.append(leaf.grad)
    assert torch.allclose(found[0], found[1], atol=1e-7)
    assert torch.allclose(found[0], found[2], atol=1e-7)


def test_nothing_is_predicted_across_the_end_of_a_document_nor_on_padding():
    ids = torch.arange(8)[None]
    documents = torch.tensor([[0, 0, 0, 1, 1, 2, -1, -1]])
    assert next_tokens(ids, documents).tolist() == [[1, 2, IGNORE, 4, IGNORE, IGNORE, IGNORE]]
    assert next_tokens(ids).tolist() == [[1, 2, 3, 4, 5, 6, 7]]


def test_six_terms_of_three_kinds_are_the_formula():
    """Two groups that share a denominator, two terms of their own, one without weight."""
    terms = (
        LossTerm("mlm", 1.0, "text"), LossTerm("mlm_matched", 1.0, "text"), LossTerm("audio", 0.5, "audio"),
        LossTerm("audio_matched", 0.5, "audio"), LossTerm("contrastive", 2.0), LossTerm("accuracy", 0.0),
    )  # fmt: skip
    sums = torch.tensor([6.0, 2.0, 5.0, 1.0, 8.0, 99.0])
    counts = torch.tensor([3, 1, 10, 0, 4, 7])
    assert float(combine(terms, sums, counts)) == pytest.approx(8 / 4 + 0.5 * 6 / 10 + 2 * 8 / 4)


def test_a_contrastive_term_is_the_plain_softmax_over_the_batch():
    draw = torch.Generator().manual_seed(0)
    queries, keys = (torch.nn.functional.normalize(torch.randn(5, 4, generator=draw), dim=1) for _ in range(2))
    total, count = contrastive(queries, keys, 0.1)
    plain = 0.0
    for i in range(5):
        scores = [float(queries[i] @ keys[j]) / 0.1 for j in range(5)]
        plain -= scores[i] - math.log(sum(math.exp(score) for score in scores))
    assert count == 5
    assert float(total) == pytest.approx(plain, rel=1e-5)


RANK = """
import sys, torch
import torch.distributed as dist
from speechprep.models.losses import LossTerm, combine, contrastive
rank, world, store, out = int(sys.argv[1]), 2, sys.argv[2], sys.argv[3]
dist.init_process_group("gloo", init_method=f"file://{store}", rank=rank, world_size=world)
data = torch.load(f"{out}/data.pt")
weight = data["weight"].clone().requires_grad_()
x, y = data["x"][4 * rank : 4 * rank + 4], data["y"][4 * rank : 4 * rank + 4]
total, count = contrastive(x @ weight, y @ weight, 0.5)
counts = torch.tensor([count]); dist.all_reduce(counts)
loss = combine((LossTerm("contrastive"),), total[None], counts) * world
loss.backward()
dist.all_reduce(weight.grad); weight.grad /= world  # as DistributedDataParallel averages
torch.save(weight.grad, f"{out}/grad{rank}.pt")
dist.destroy_process_group()
"""


def test_contrastive_losses_of_two_ranks_have_the_gradient_of_one_process(tmp_path):
    draw = torch.Generator().manual_seed(1)
    data = {name: torch.randn(8, 6, generator=draw) for name in ("x", "y")}
    data["weight"] = torch.randn(6, 3, generator=draw)
    torch.save(data, tmp_path / "data.pt")
    command = [sys.executable, "-c", RANK]
    ranks = [subprocess.Popen([*command, str(rank), str(tmp_path / "store"), str(tmp_path)]) for rank in range(2)]
    assert [rank.wait(timeout=120) for rank in ranks] == [0, 0]
    weight = data["weight"].clone().requires_grad_()
    total, count = contrastive(data["x"] @ weight, data["y"] @ weight, 0.5)
    combine((LossTerm("contrastive"),), total[None], torch.tensor([count])).backward()
    for rank in range(2):
        assert torch.allclose(torch.load(tmp_path / f"grad{rank}.pt"), weight.grad, atol=1e-6)
