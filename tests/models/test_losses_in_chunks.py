"""Losses over a large vocabulary: chunks of logits give the same loss and gradients, and stay small."""

from __future__ import annotations

import weakref

import pytest

torch = pytest.importorskip("torch")

from torch.utils._python_dispatch import TorchDispatchMode  # noqa: E402
from torch.utils._pytree import tree_leaves  # noqa: E402

from speechprep.models import losses  # noqa: E402

pytestmark = pytest.mark.reference
VOCABULARY, CLASSES, DIM = 50, 3, 8


def inputs(seed: int, share: float = 0.3):
    draw = torch.Generator().manual_seed(seed)
    hidden = torch.randn(4, 13, DIM, generator=draw, dtype=torch.float64, requires_grad=True)
    embedding = torch.randn(VOCABULARY, DIM, generator=draw, dtype=torch.float64, requires_grad=True)
    targets = torch.randint(0, VOCABULARY, (4, 12), generator=draw)
    targets[torch.rand(4, 12, generator=draw) < share] = losses.IGNORE
    return hidden, targets, embedding, torch.randint(0, CLASSES, (VOCABULARY,), generator=draw)


def results(chunk_rows: int, monkeypatch, *, seed: int, share: float = 0.3, everywhere: bool = False):
    """Sums, counts and gradients with chunks of so many rows; `everywhere`: at positions without a target too."""
    monkeypatch.setattr(losses, "LOGITS_BYTES", 4 * VOCABULARY * chunk_rows)
    hidden, targets, embedding, classes = inputs(seed, share)
    if everywhere:
        monkeypatch.setattr(losses, "COMPACT", ())
    found = losses.target_losses(hidden, targets, embedding, classes, CLASSES)
    (found.sums * torch.tensor([0.3, 2.0, 1.0])).sum().backward()
    return found.sums.detach(), found.counts, hidden.grad, embedding.grad


@pytest.mark.parametrize("rows", [1, 5, 7, 48])
@pytest.mark.parametrize("share", [0.0, 0.3, 1.0])
@pytest.mark.parametrize("everywhere", [False, True])
def test_chunks_give_the_sums_counts_and_gradients_of_one_product(monkeypatch, rows, share, everywhere):
    whole = results(10_000, monkeypatch, seed=1, share=share)
    chunked = results(rows, monkeypatch, seed=1, share=share, everywhere=everywhere)
    for expected, got in zip(whole, chunked, strict=True):
        assert (expected is None) == (got is None)
        if expected is not None:
            torch.testing.assert_close(got, expected, atol=1e-5, rtol=1e-5)


class PeakBytes(TorchDispatchMode):
    """Largest sum of the storages alive at once that were made inside."""

    def __init__(self) -> None:
        super().__init__()
        self.alive: dict[int, int] = {}
        self.peak = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        for tensor in tree_leaves(out):
            if isinstance(tensor, torch.Tensor):
                storage = tensor.untyped_storage()
                if storage._cdata not in self.alive:
                    self.alive[storage._cdata] = storage.nbytes()
                    weakref.finalize(storage, self.alive.pop, storage._cdata, None)
                    self.peak = max(self.peak, sum(self.alive.values()))
        return out


def test_logits_of_16k_targets_over_42k_tokens_take_less_than_1_gb():
    hidden = torch.empty(8, 2049, 768, device="meta", requires_grad=True)
    embedding = torch.empty(42_000, 768, device="meta", requires_grad=True)
    targets = torch.empty(8, 2048, dtype=torch.int64, device="meta")
    classes = torch.empty(42_000, dtype=torch.int64, device="meta")
    with PeakBytes() as memory:
        losses.target_losses(hidden, targets, embedding, classes, 3).sums.sum().backward()
    assert 100e6 < memory.peak < 1e9
