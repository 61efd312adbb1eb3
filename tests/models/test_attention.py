"""Attention inside documents: all kernels give the loss and the gradients of the dense mask."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

from helpers.small_decoders import dmlm, sutlm  # noqa: E402

from speechprep.errors import ConfigError  # noqa: E402
from speechprep.models import attention  # noqa: E402

pytestmark = pytest.mark.reference
KERNELS = ["split", "flex"]


def batch(seed: int, rows: int = 3, length: int = 32) -> tuple[torch.Tensor, torch.Tensor]:
    """Tokens and document ids, with padding at the end of some rows."""
    rng = np.random.default_rng(seed)
    documents = np.sort(rng.integers(0, 4, (rows, length)), axis=1)
    documents[rng.random(rows) < 0.5, rng.integers(length // 2, length) :] = -1
    return torch.from_numpy(rng.integers(4, 34, (rows, length))), torch.from_numpy(documents)


def loss_and_gradients(model, kernel, ids, documents):
    model.attention = kernel
    model.zero_grad()
    loss = model(ids, document_ids=documents, labels=ids).loss
    loss.backward()
    return loss.detach(), {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}


@pytest.mark.parametrize("make", [sutlm, dmlm])
@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("seed", range(4))
def test_loss_and_gradients_are_those_of_the_dense_mask(make, kernel, seed):
    model, (ids, documents) = make().train(), batch(seed)
    for module in model.modules():
        if isinstance(module, torch.nn.Dropout) or hasattr(module, "dropout"):
            module.dropout = 0.0
    expected, reference = loss_and_gradients(model, "dense", ids, documents)
    loss, gradients = loss_and_gradients(model, kernel, ids, documents)
    torch.testing.assert_close(loss, expected, atol=1e-5, rtol=1e-5)
    assert gradients.keys() == reference.keys()
    assert len(reference) > 10
    for name, gradient in gradients.items():
        torch.testing.assert_close(gradient, reference[name], atol=1e-5, rtol=1e-5, msg=name)


@pytest.mark.parametrize("kernel", [*KERNELS, "dense"])
def test_a_document_in_a_packed_row_has_the_logits_of_the_document_alone(kernel):
    model, (ids, documents) = sutlm().eval(), batch(1)
    model.attention = kernel
    with torch.no_grad():
        packed = model(ids, document_ids=documents).logits
        for row, start, stop in attention.spans(documents):
            if documents[row, start] >= 0:
                alone = model(ids[row : row + 1, start:stop]).logits[0]
                torch.testing.assert_close(packed[row, start:stop], alone, atol=1e-5, rtol=1e-5)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.lists(st.integers(-1, 2), min_size=5, max_size=5), min_size=1, max_size=4))
def test_spans_cover_each_position_once_and_hold_one_document(rows):
    documents, covered = torch.tensor(rows), torch.zeros(len(rows), 5)
    for row, start, stop in attention.spans(documents):
        assert documents[row, start:stop].unique().numel() == 1
        assert start == 0 or documents[row, start] != documents[row, start - 1]
        covered[row, start:stop] += 1
    assert (covered == 1).all()


@pytest.mark.parametrize("kernel", KERNELS)
def test_queries_in_groups_share_keys_and_values(kernel):
    """4 heads of queries over 2 of keys, as in Llama, against a loop over heads and positions."""
    torch.manual_seed(0)
    query, key, value = (torch.randn(2, heads, 12, 8) for heads in (4, 2, 2))
    documents = torch.tensor([[0] * 5 + [1] * 7, [0] * 12])
    config = type("Config", (), {"_attn_implementation": "sdpa"})
    named = attention.arguments(documents, config, kernel, torch.float32)
    out, _ = attention.attend(torch.nn.Module(), query, key, value, None, **named, scaling=0.5)
    for row in range(2):
        for head in range(4):
            for i in range(12):
                seen = [j for j in range(i + 1) if documents[row, j] == documents[row, i]]
                weights = torch.softmax(0.5 * query[row, head, i] @ key[row, head // 2, seen].T, -1)
                torch.testing.assert_close(out[row, i, head], weights @ value[row, head // 2, seen])


def test_the_kernel_is_chosen_by_the_device():
    assert [attention.kernel_for(torch.device(name)) for name in ("cpu", "cuda", "mps")] == ["split", "flex", "dense"]
    assert attention.kernel_for(torch.device("cuda"), "dense") == "dense"
    with pytest.raises(ConfigError, match="attention 'fast' is unknown; set one of auto, dense, split, flex"):
        attention.kernel_for(torch.device("cpu"), "fast")


def test_dropout_of_attention_weights_is_refused_where_the_kernel_has_none():
    query = torch.randn(1, 2, 4, 8)
    config = type("Config", (), {"_attn_implementation": "sdpa"})
    named = attention.arguments(torch.zeros(1, 4, dtype=torch.int64), config, "flex", torch.float32)
    with pytest.raises(ConfigError, match="set attention=dense"):
        attention.attend(torch.nn.Module(), query, query, query, None, **named, dropout=0.1)


def test_gradient_checkpointing_computes_the_same_gradients():
    model, (ids, documents) = sutlm().train(), batch(2)
    model.model.decoder.dropout = 0.0
    for layer in model.model.decoder.layers:
        layer.dropout = 0.0
    _, plain = loss_and_gradients(model, "split", ids, documents)
    model.gradient_checkpointing_enable({"use_reentrant": False})
    _, again = loss_and_gradients(model, "split", ids, documents)
    for name, gradient in plain.items():
        torch.testing.assert_close(again[name], gradient, msg=name)
