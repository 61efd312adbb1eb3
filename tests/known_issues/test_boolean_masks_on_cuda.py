"""transformers refuses a boolean attention mask on CUDA: training with document ids failed at its first step.

OPT and GPT-2 call `AttentionMaskConverter._unmask_unattended` on CUDA alone, so tests on a CPU passed. Here a CPU takes
that branch too.
"""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

from transformers.modeling_attn_mask_utils import AttentionMaskConverter  # noqa: E402
from transformers.models.opt.modeling_opt import OPTDecoder  # noqa: E402

from speechprep.models.data.loader import ReaderDataset  # noqa: E402
from speechprep.models.decoder import document_mask, opt_config  # noqa: E402
from speechprep.models.dmlm.config import DELIMITERS, DmlmConfig  # noqa: E402
from speechprep.models.dmlm.model import DmlmForCausalLM  # noqa: E402
from speechprep.models.generation import Decoding, generate  # noqa: E402
from speechprep.models.sutlm.config import SutlmConfig  # noqa: E402
from speechprep.models.sutlm.model import SutlmForCausalLM  # noqa: E402

pytestmark = pytest.mark.reference
DOCUMENTS = torch.tensor([[0] * 6 + [1] * 7 + [-1] * 3, [0] * 16])


@pytest.fixture
def on_cuda(monkeypatch):
    """OPT prepares masks as on CUDA; the list receives each mask."""
    masks = []
    plain = OPTDecoder._update_causal_mask

    def as_on_cuda(self, attention_mask, input_tensor, *rest, **named):
        mask = plain(self, attention_mask, input_tensor, *rest, **named)
        if mask is not None:
            masks.append(mask)
            return AttentionMaskConverter._unmask_unattended(mask, torch.finfo(input_tensor.dtype).min)
        return mask

    monkeypatch.setattr(OPTDecoder, "_update_causal_mask", as_on_cuda)
    return masks


def sutlm() -> SutlmForCausalLM:
    decoder = opt_config("tiny", 40, 32, pad_token_id=0, bos_token_id=1, eos_token_id=2)
    config = SutlmConfig(decoder=decoder, vocabulary="v", ranges={"text": [4, 22], "unit": [22, 40]})
    return SutlmForCausalLM(config)


def dmlm() -> DmlmForCausalLM:
    size = 20 + 10 + 4 + len(DELIMITERS)
    decoder = opt_config("tiny", size, 32, pad_token_id=0, bos_token_id=1, eos_token_id=2)
    config = DmlmConfig(decoder=decoder, n_text=20, n_speech=10, n_image=4, special=[*DELIMITERS])
    return DmlmForCausalLM(config)


@pytest.mark.parametrize("make", [sutlm, dmlm])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_training_step_with_document_ids_takes_a_float_mask(on_cuda, make, dtype):
    model = make().to(dtype)
    ids = torch.randint(4, 20, DOCUMENTS.shape, generator=torch.Generator().manual_seed(0))
    loss = model(ids, document_ids=DOCUMENTS, labels=ids).loss
    loss.backward()
    assert torch.isfinite(loss)
    assert all(torch.isfinite(p.grad).all() for p in model.parameters() if p.grad is not None)
    assert on_cuda
    assert {mask.dtype for mask in on_cuda} == {dtype}


def test_a_training_step_under_autocast_is_finite(on_cuda):
    model = sutlm()
    ids = torch.randint(4, 20, DOCUMENTS.shape, generator=torch.Generator().manual_seed(0))
    with torch.autocast("cpu", torch.bfloat16):
        loss = model(ids, document_ids=DOCUMENTS, labels=ids).loss
    loss.backward()
    assert torch.isfinite(loss)
    assert on_cuda


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_the_mask_lets_each_position_see_its_own_document_up_to_itself(dtype):
    mask = document_mask(DOCUMENTS, dtype)
    for row, owners in enumerate(DOCUMENTS.tolist()):
        for i, owner in enumerate(owners):
            for j in range(len(owners)):
                seen = j <= i and owners[j] == owner
                assert mask[row, 0, i, j] == (0 if seen else torch.finfo(dtype).min)


def test_generation_with_prompts_of_several_lengths_takes_a_float_mask(on_cuda):
    model = sutlm().eval()
    continuations = generate(model, [[5, 6, 7], [8]], torch.ones(40, dtype=torch.bool), 2, Decoding(max_new_tokens=4))
    assert len(continuations) == 2
    assert all(mask.is_floating_point() for mask in on_cuda)


class Documents:
    """Two rows, as a reader gives them."""

    def batches(self, *_):
        ids = DOCUMENTS.numpy().astype("int32")
        names = ("input_ids", "document_ids", "modality_ids", "position_ids", "rows", "sources", "samples")
        yield dict.fromkeys(names, ids)


def test_batches_of_the_loader_have_the_float_mask_of_the_models():
    (batch,) = ReaderDataset(Documents(), labels=False, mask=True)
    assert torch.equal(batch["attention_mask"], document_mask(DOCUMENTS, torch.float32))
