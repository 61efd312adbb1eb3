"""Losses by class: against a plain reference, over parts, and with a class that is not there."""

from __future__ import annotations

import math

import pytest

torch = pytest.importorskip("torch")

from speechprep.models.losses import IGNORE, class_counts, class_losses, combine, next_tokens  # noqa: E402

pytestmark = pytest.mark.reference
LAMBDAS = (0.25, 0.93, 0.25)
VOCAB, CLASSES = 30, 3
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
    assert float(combine(found.sums.detach(), found.counts, LAMBDAS, by_class=True)) == pytest.approx(whole, abs=1e-5)


def test_the_plain_loss_is_torchs_mean_over_all_tokens():
    logits, targets = random_batch(7)
    found = parts_of(logits, targets)
    wanted = torch.nn.functional.cross_entropy(logits.transpose(1, 2), targets, ignore_index=IGNORE)
    assert float(combine(found.sums.detach(), found.counts, [1.0] * 3, by_class=False)) == pytest.approx(
        float(wanted), abs=1e-6
    )


@pytest.mark.parametrize("by_class", [True, False])
def test_an_absent_class_adds_nothing_and_no_target_at_all_gives_zero(by_class):
    logits, targets = random_batch(3)
    targets[CLASS[targets.clamp_min(0)] == 2] = IGNORE
    logits.requires_grad_()
    found = parts_of(logits, targets)
    assert found.counts[2] == 0
    loss = combine(found.sums, found.counts, LAMBDAS, by_class=by_class)
    loss.backward()
    assert torch.isfinite(loss)
    assert torch.isfinite(logits.grad).all()
    nothing = parts_of(logits, torch.full_like(targets, IGNORE))
    assert combine(nothing.sums, nothing.counts, LAMBDAS, by_class=by_class).item() == 0


@pytest.mark.parametrize("by_class", [True, False])
def test_one_batch_of_eight_rows_is_eight_of_one_and_four_of_two(by_class):
    logits, targets = random_batch(11)
    counts = class_counts(targets, CLASS, CLASSES)
    found = []
    for size in (8, 2, 1):
        leaf = logits.clone().requires_grad_()
        for at in range(0, 8, size):
            part = parts_of(leaf[at : at + size], targets[at : at + size])
            combine(part.sums, counts, LAMBDAS, by_class=by_class).backward()
        found.append(leaf.grad)
    assert torch.allclose(found[0], found[1], atol=1e-7)
    assert torch.allclose(found[0], found[2], atol=1e-7)


def test_nothing_is_predicted_across_the_end_of_a_document_nor_on_padding():
    ids = torch.arange(8)[None]
    documents = torch.tensor([[0, 0, 0, 1, 1, 2, -1, -1]])
    assert next_tokens(ids, documents).tolist() == [[1, 2, IGNORE, 4, IGNORE, IGNORE, IGNORE]]
    assert next_tokens(ids).tolist() == [[1, 2, 3, 4, 5, 6, 7]]
