"""Generation: one modality at a time, the same in any batch, and equal to a plain loop."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

from transformers import OPTForCausalLM  # noqa: E402

from speechprep.errors import ConfigError  # noqa: E402
from speechprep.models.decoder import opt_config  # noqa: E402
from speechprep.models.generation import Decoding, allowed_tokens, generate  # noqa: E402

pytestmark = pytest.mark.reference
VOCAB, STOP = 50, 2
PROMPTS = [[5, 6, 7], [9], [30, 31, 8, 40, 12, 11]]
RANGE = (20, 40)


@pytest.fixture(scope="module")
def model():
    with torch.random.fork_rng():
        torch.manual_seed(1)
        return OPTForCausalLM(opt_config("tiny", VOCAB, 64, init_std=0.3)).eval()


@pytest.fixture(scope="module")
def allowed():
    return allowed_tokens(VOCAB, [RANGE], [STOP])


HOW = {
    "greedy": Decoding(max_new_tokens=12),
    "beam": Decoding(max_new_tokens=12, beams=4),
    "sampled": Decoding(max_new_tokens=12, sample=True, temperature=0.9, top_k=10, top_p=0.95, seed=3),
}


@pytest.mark.parametrize("name", HOW)
def test_only_the_asked_modality_comes_and_a_batch_changes_nothing(model, allowed, name):
    together = generate(model, PROMPTS, allowed, STOP, HOW[name])
    alone = [generate(model, [p], allowed, STOP, HOW[name], keys=[str(i)])[0] for i, p in enumerate(PROMPTS)]
    assert together == alone
    assert all(RANGE[0] <= token < RANGE[1] for ids in together for token in ids)
    assert any(together)


def test_greedy_is_the_best_allowed_token_each_time(model, allowed):
    for prompt, found in zip(PROMPTS, generate(model, PROMPTS, allowed, STOP, HOW["greedy"]), strict=True):
        ids = list(prompt)
        with torch.no_grad():
            for _ in range(12):
                logits = model(torch.tensor([ids])).logits[0, -1].masked_fill(~allowed, -torch.inf)
                ids.append(int(logits.argmax()))
                if ids[-1] == STOP:
                    break
        assert found == [token for token in ids[len(prompt) :] if token != STOP]


def test_a_beam_as_wide_as_the_modality_finds_the_best_pair_of_tokens(model):
    allowed = allowed_tokens(VOCAB, [RANGE])
    tokens = torch.arange(*RANGE)

    def log_p(ids: torch.Tensor) -> torch.Tensor:
        with torch.no_grad():
            return model(ids).logits[:, -1].masked_fill(~allowed, -torch.inf).log_softmax(-1)

    for prompt in PROMPTS:
        start = torch.tensor([prompt])
        pairs = torch.cat([start.expand(len(tokens), -1), tokens[:, None]], 1)
        both = log_p(start)[0, tokens][:, None] + log_p(pairs)[:, tokens]
        first, second = divmod(int(both.argmax()), len(tokens))
        how = Decoding(max_new_tokens=2, beams=len(tokens))
        assert generate(model, [prompt], allowed, STOP, how) == [[RANGE[0] + first, RANGE[0] + second]]


def test_samples_follow_the_model_and_the_seed(model, allowed):
    one = Decoding(max_new_tokens=1, sample=True)
    prompts = [PROMPTS[0]] * 2000
    drawn = [ids[0] if ids else STOP for ids in generate(model, prompts, allowed, STOP, one, batch=500)]
    with torch.no_grad():
        logits = model(torch.tensor([PROMPTS[0]])).logits[0, -1].masked_fill(~allowed, -torch.inf)
    wanted = logits.softmax(-1)
    seen = torch.bincount(torch.tensor(drawn), minlength=VOCAB) / 2000
    assert float((seen - wanted).abs().sum()) / 2 < 0.06
    assert generate(model, prompts[:5], allowed, STOP, one) == generate(model, prompts[:5], allowed, STOP, one)
    other = Decoding(max_new_tokens=1, sample=True, seed=1)
    assert generate(model, prompts[:50], allowed, STOP, one) != generate(model, prompts[:50], allowed, STOP, other)


def test_sampling_leaves_the_global_random_state_alone(model, allowed):
    before = torch.random.get_rng_state()
    generate(model, PROMPTS, allowed, STOP, HOW["sampled"])
    assert torch.equal(before, torch.random.get_rng_state())


def test_what_cannot_be_decoded_is_refused(model, allowed):
    with pytest.raises(ConfigError, match="beams"):
        Decoding(sample=True, beams=2)
    with pytest.raises(ConfigError, match="temperature"):
        Decoding(temperature=0)
    with pytest.raises(ConfigError, match="64 tokens"):
        generate(model, [[1] * 64], allowed, STOP, Decoding())
