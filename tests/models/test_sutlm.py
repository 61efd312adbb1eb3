"""SUTLM: packed documents do not see each other, folders restore the model, classes come from the vocabulary."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

from transformers import OPTForCausalLM  # noqa: E402

from speechprep.artifacts import manifest  # noqa: E402
from speechprep.errors import ConfigError  # noqa: E402
from speechprep.models.data import position_ids  # noqa: E402
from speechprep.models.decoder import document_positions, opt_config  # noqa: E402
from speechprep.models.sutlm.config import SutlmConfig  # noqa: E402
from speechprep.models.sutlm.model import SutlmForCausalLM  # noqa: E402
from speechprep.tokenizers.subword.vocabulary import MODALITIES  # noqa: E402

pytestmark = pytest.mark.reference


@pytest.fixture(scope="module")
def model(run, vocab):
    config = SutlmConfig.for_vocabulary(vocab, manifest.read(str(run / "subword")).content, size="tiny", context=64)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return SutlmForCausalLM(config).eval()


def tokens(model, rows: int, length: int, seed: int = 0) -> torch.Tensor:
    return torch.randint(0, model.config.vocab_size, (rows, length), generator=torch.Generator().manual_seed(seed))


def test_a_document_in_a_packed_row_has_the_logits_it_has_alone(model):
    ids = tokens(model, 1, 40)
    documents = torch.tensor([[0] * 10 + [1] * 22 + [-1] * 8])
    with torch.no_grad():
        packed = model(ids, document_ids=documents).logits
        assert torch.allclose(packed[0, 10:32], model(ids[:, 10:32]).logits[0], atol=1e-5)
        assert not torch.allclose(packed[0, 10:32], model(ids).logits[0, 10:32], atol=1e-3)


def test_positions_of_the_reader_are_those_that_the_model_makes_itself(model):
    owners = np.array([[0] * 10 + [1] * 22 + [-1] * 8, [0] + [1] * 39, [3] * 40], np.int32)
    documents, places = torch.from_numpy(owners.astype(np.int64)), torch.from_numpy(position_ids(owners))
    assert torch.equal(document_positions(documents), places)
    ids = tokens(model, 3, 40)
    with torch.no_grad():
        made = model(ids, document_ids=documents).logits
        assert torch.equal(model(ids, document_ids=documents, position_ids=places).logits, made)
        assert not torch.allclose(model(ids, document_ids=documents, position_ids=places + 1).logits, made, atol=1e-3)


def test_the_two_ways_of_attention_give_the_same(model, tmp_path):
    model.save_pretrained(tmp_path)
    eager = SutlmForCausalLM.from_pretrained(tmp_path, attn_implementation="eager").eval()
    assert eager.model.config._attn_implementation == "eager"
    ids, documents = tokens(model, 2, 30), torch.tensor([[0] * 12 + [1] * 18, [0] * 25 + [-1] * 5])
    with torch.no_grad():
        same = eager(ids, document_ids=documents).logits
        assert torch.allclose(model(ids, document_ids=documents).logits, same, atol=1e-5)


def test_a_saved_model_comes_back_with_its_classes(model, vocab, tmp_path):
    model.save_pretrained(tmp_path)
    back = SutlmForCausalLM.from_pretrained(tmp_path).eval()
    assert back.token_class.tolist() == vocab.token_modality.tolist()
    assert back.config.vocabulary == model.config.vocabulary
    with torch.no_grad():
        assert torch.equal(back(tokens(model, 1, 9)).logits, model(tokens(model, 1, 9)).logits)


def test_it_is_transformers_opt_with_the_same_weights(model):
    opt = OPTForCausalLM(model.config.decoder).eval()
    opt.model.load_state_dict(model.model.state_dict())
    opt.tie_weights()
    ids = tokens(model, 2, 20)
    with torch.no_grad():
        assert torch.allclose(opt(ids).logits, model(ids).logits, atol=1e-5)
        assert float(opt(ids, labels=ids).loss) == pytest.approx(float(model(ids, labels=ids).loss), abs=1e-5)


def test_losses_by_class_add_up_to_the_mean_over_all_tokens(model):
    ids = tokens(model, 2, 40)
    out = model(ids, labels=ids)
    assert int(out.counts.sum()) == 2 * 39
    assert float(out.loss.detach()) == pytest.approx(float(out.sums.sum() / out.counts.sum()), rel=1e-6)
    unit = MODALITIES["unit"]
    assert int(out.counts[unit]) == int((model.token_class[ids[:, 1:]] == unit).sum())
    assert torch.equal(model.target_counts(labels=ids), out.counts)


def test_the_350m_shape_is_opts_without_its_projection():
    config = opt_config("350m", 1000, 2048)
    shape = (config.num_hidden_layers, config.hidden_size, config.num_attention_heads, config.ffn_dim)
    assert shape == (24, 1024, 16, 4096)
    assert config.word_embed_proj_dim == 1024
    assert config.do_layer_norm_before
    with pytest.raises(ConfigError, match="huge"):
        opt_config("huge", 1000, 2048)
