"""OPT refuses a boolean attention mask on CUDA: training with document ids failed at its first step.

With SDPA, OPT of transformers 4.57 calls `AttentionMaskConverter._unmask_unattended` if the mask lies on a device of
type cuda, xpu or npu, so tests on a CPU passed. Here a CPU takes this branch too. Scoring and generation pass no
boolean mask: their tests guard this.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

from helpers import small_decoders  # noqa: E402
from transformers.modeling_attn_mask_utils import AttentionMaskConverter  # noqa: E402
from transformers.models.opt.modeling_opt import OPTDecoder, OPTModel  # noqa: E402

from speechprep.models.attention import dense_mask  # noqa: E402
from speechprep.models.data.loader import ReaderDataset  # noqa: E402
from speechprep.models.decoder import document_positions, opt_config  # noqa: E402
from speechprep.models.dmlm.model import DmlmForCausalLM  # noqa: E402
from speechprep.models.evaluation.retrieval.likelihoods import likelihoods  # noqa: E402
from speechprep.models.generation import Decoding, generate  # noqa: E402
from speechprep.models.sutlm.classify import SutlmForSequenceClassification  # noqa: E402
from speechprep.models.sutlm.config import SutlmConfig  # noqa: E402
from speechprep.models.sutlm.model import SutlmForCausalLM  # noqa: E402

pytestmark = pytest.mark.reference
DOCUMENTS = torch.tensor([[0] * 6 + [1] * 7 + [-1] * 3, [0] * 16, [-1] * 16])  # the last row is padding alone


@contextmanager
def as_on_cuda() -> Iterator[list[torch.Tensor]]:
    """OPT prepares masks as on CUDA; the list receives each mask."""
    masks: list[torch.Tensor] = []
    plain = OPTDecoder._update_causal_mask

    def update(self, attention_mask, input_tensor, *rest, **named):
        mask = plain(self, attention_mask, input_tensor, *rest, **named)
        if mask is not None:
            masks.append(mask)
            return AttentionMaskConverter._unmask_unattended(mask, torch.finfo(input_tensor.dtype).min)
        return mask

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(OPTDecoder, "_update_causal_mask", update)
        yield masks


@pytest.fixture
def on_cuda() -> Iterator[list[torch.Tensor]]:
    """See `as_on_cuda`, for a whole test."""
    with as_on_cuda() as masks:
        yield masks


def token_ids() -> torch.Tensor:
    """Text tokens for `DOCUMENTS`."""
    return torch.randint(4, 20, DOCUMENTS.shape, generator=torch.Generator().manual_seed(0))


def sutlm() -> SutlmForCausalLM:
    model = small_decoders.sutlm()
    model.attention = "dense"  # the other kernels pass no mask
    return model


def dmlm() -> DmlmForCausalLM:
    model = small_decoders.dmlm()
    model.attention = "dense"
    return model


@pytest.mark.parametrize("make", [sutlm, dmlm])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_training_step_with_document_ids_takes_a_float_mask(on_cuda, make, dtype):
    model = make().to(dtype)
    ids = token_ids()
    loss = model(ids, document_ids=DOCUMENTS, labels=ids).loss
    loss.backward()
    assert torch.isfinite(loss)
    assert all(torch.isfinite(p.grad).all() for p in model.parameters() if p.grad is not None)
    assert on_cuda
    assert {mask.dtype for mask in on_cuda} == {dtype}


def test_a_training_step_under_autocast_is_finite(on_cuda):
    model = sutlm()
    ids = token_ids()
    with torch.autocast("cpu", torch.bfloat16):
        loss = model(ids, document_ids=DOCUMENTS, labels=ids).loss
    loss.backward()
    assert torch.isfinite(loss)
    assert on_cuda


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_the_mask_lets_each_position_see_its_own_document_up_to_itself(dtype):
    mask = dense_mask(DOCUMENTS, dtype)
    for row, owners in enumerate(DOCUMENTS.tolist()):
        for i, owner in enumerate(owners):
            for j in range(len(owners)):
                seen = j <= i and owners[j] == owner
                assert mask[row, 0, i, j] == (0 if seen else torch.finfo(dtype).min)


@pytest.mark.parametrize("make", [sutlm, dmlm])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_evaluation_with_document_ids_is_finite_on_padding_too(on_cuda, make, dtype):
    model = make().to(dtype).eval()
    with torch.no_grad():
        logits = model(token_ids(), document_ids=DOCUMENTS).logits
        loss = model(token_ids(), document_ids=DOCUMENTS, labels=token_ids()).loss
    assert torch.isfinite(logits).all()
    assert torch.isfinite(loss)
    assert [mask.dtype for mask in on_cuda] == [dtype, dtype]


@pytest.mark.parametrize("implementation", ["sdpa", "eager"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_hidden_states_and_gradients_equal_those_of_a_boolean_mask_on_a_cpu(implementation, dtype):
    config = opt_config("tiny", 40, 32, pad_token_id=0, bos_token_id=1, eos_token_id=2)
    config._attn_implementation = implementation
    model = OPTModel(config).to(dtype).eval()
    allowed = (DOCUMENTS[:, :, None] == DOCUMENTS[:, None, :]).tril()[:, None]
    if implementation == "eager":  # eager attention adds its mask
        allowed = torch.where(allowed, 0.0, torch.finfo(dtype).min).to(dtype)
    results = []
    for mask in (allowed, dense_mask(DOCUMENTS, dtype)):
        model.zero_grad()
        places = document_positions(DOCUMENTS)
        hidden = model(token_ids(), attention_mask=mask, position_ids=places, use_cache=False).last_hidden_state
        hidden.float().square().mean().backward()
        results.append([hidden.detach(), *(p.grad.clone() for p in model.parameters() if p.grad is not None)])
    assert len(results[0]) > 10
    for before, after in zip(*results, strict=True):
        assert torch.equal(before, after)


def test_scores_of_continuations_are_those_of_a_cpu():
    model = sutlm().eval()
    contexts, continuations = [[5, 6, 7], [8, 9]], [[10, 11, 12, 13], [14, 15]]
    scored = np.ones((2, 2), bool)
    plain = likelihoods(model, contexts, continuations, scored, (5, 20))
    with as_on_cuda() as masks:
        tables = likelihoods(model, contexts, continuations, scored, (5, 20))
    for measure in ("paper", "renormalised"):
        assert np.isfinite(getattr(tables, measure)).all()
        assert np.array_equal(getattr(tables, measure), getattr(plain, measure))
    assert masks
    assert all(mask.is_floating_point() for mask in masks)


@pytest.mark.parametrize("make", [sutlm, dmlm])
@pytest.mark.parametrize("how", [{}, {"sample": True}, {"beams": 2}], ids=["greedy", "sample", "beams"])
def test_generation_from_prompts_of_several_lengths_is_that_of_a_cpu(make, how):
    model = make().eval()
    allowed = torch.ones(model.config.vocab_size, dtype=torch.bool)
    prompts, decoding = [[5, 6, 7], [8], [9, 10, 11, 12, 13]], Decoding(max_new_tokens=4, **how)
    plain = generate(model, prompts, allowed, 2, decoding)
    with as_on_cuda() as masks:
        continuations = generate(model, prompts, allowed, 2, decoding)
    assert continuations == plain
    assert masks  # left padding needs a mask
    assert all(mask.is_floating_point() for mask in masks)


def test_logits_after_left_padding_are_finite(on_cuda):
    """A query at left padding has no key: `_unmask_unattended` lets it attend to all keys."""
    mask = torch.tensor([[0, 0, 0, 1, 1], [1, 1, 1, 1, 1]])
    with torch.no_grad():
        logits = sutlm().eval()(token_ids()[:2, :5], attention_mask=mask).logits
    assert torch.isfinite(logits).all()
    assert (on_cuda[0] == torch.finfo(torch.float32).min).all(-1).any()  # a query without keys


def test_the_classifier_of_slue_passes_no_mask(on_cuda):
    config = SutlmConfig(**{**sutlm().config.to_dict(), "labels": ["negative", "positive"]})
    model = SutlmForSequenceClassification(config)
    model(token_ids(), torch.tensor([13, 16, 1]), labels=torch.tensor([0, 1, 0])).loss.backward()
    assert on_cuda == []


class Documents:
    """Two rows, as a reader gives them."""

    def batches(self, *_):
        ids = DOCUMENTS.numpy().astype("int32")
        names = ("input_ids", "document_ids", "modality_ids", "position_ids", "rows", "sources", "samples")
        yield dict.fromkeys(names, ids)


def test_batches_of_the_loader_have_the_float_mask_of_the_models():
    (batch,) = ReaderDataset(Documents(), labels=False, mask=True)
    assert torch.equal(batch["attention_mask"], dense_mask(DOCUMENTS, torch.float32))
