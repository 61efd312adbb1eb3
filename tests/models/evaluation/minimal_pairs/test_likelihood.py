"""Likelihoods of sentences equal naive loops, whatever the batches."""

from __future__ import annotations

import math

import numpy as np
import pytest

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

from helpers.teacher_runs import LEXICON, write_tokenizer  # noqa: E402

from speechprep.models.evaluation.minimal_pairs.likelihood import (  # noqa: E402
    Sentence,
    encode,
    log_likelihoods,
    pseudo_log_likelihoods,
    unigram_bits,
)

pytestmark = pytest.mark.reference
TEXTS = [
    "the cat saw a bird",
    "the cat saw a tree",
    "a dog",
    "home",
    "its old friend went home, then",
    "the cat saw a bird",
]


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory):
    folder = tmp_path_factory.mktemp("wordpiece")
    write_tokenizer(folder, LEXICON, 200)
    return transformers.BertTokenizerFast.from_pretrained(folder)


def model_of(kind: str, size: int, seed: int = 0):
    torch.manual_seed(seed)
    if kind == "bert":
        config = transformers.BertConfig(
            size,
            hidden_size=32,
            num_hidden_layers=2,
            num_attention_heads=2,
            intermediate_size=64,
            initializer_range=0.3,
        )
        return transformers.BertForMaskedLM(config).eval()
    if kind == "roberta":
        config = transformers.RobertaConfig(
            size, hidden_size=32, num_hidden_layers=2, num_attention_heads=2, intermediate_size=64, pad_token_id=0,
            max_position_embeddings=64, initializer_range=0.3,
        )  # fmt: skip
        return transformers.RobertaForMaskedLM(config).eval()
    config = transformers.GPT2Config(size, n_positions=64, n_embd=32, n_layer=2, n_head=2, initializer_range=0.3)
    return transformers.GPT2LMHeadModel(config).eval()


@torch.no_grad()
def naive_pll(model, ids: list[int], mask: int) -> float:
    """One forward pass for each piece, as in the definition."""
    total = 0.0
    for place in range(1, len(ids) - 1):
        masked = torch.tensor([ids])
        masked[0, place] = mask
        logits = model(input_ids=masked).logits[0, place].double()
        total += float(logits[ids[place]] - logits.logsumexp(0)) / math.log(2)
    return total


@pytest.mark.parametrize("batch_tokens", [1, 17, 4096])
@pytest.mark.parametrize("kind", ["bert", "roberta"])
def test_pll_equals_the_naive_loop(tokenizer, kind, batch_tokens):
    model = model_of(kind, len(tokenizer))
    finished = []
    ours = pseudo_log_likelihoods(
        model, encode(tokenizer, TEXTS, 64), tokenizer.mask_token_id, batch_tokens=batch_tokens, advance=finished.append
    )
    plain = [naive_pll(model, tokenizer(text)["input_ids"], tokenizer.mask_token_id) for text in TEXTS]
    assert np.abs(ours - plain).max() < 1e-4
    assert ours[0] == pytest.approx(ours[5], abs=1e-9)
    pieces = [len(tokenizer(text)["input_ids"]) - 2 for text in TEXTS]
    assert sum(finished) == sum(pieces) - pieces[0] - 1  # an equal sentence, and one masked row shared by two sentences


@pytest.mark.parametrize("start_token", [False, True])
def test_causal_log_likelihood_equals_the_sum_over_a_loop(tokenizer, start_token):
    model = model_of("gpt2", len(tokenizer))
    sentences = encode(tokenizer, TEXTS, 64)
    if not start_token:  # a tokenizer without special tokens: the start is added
        sentences = [Sentence(s.ids[1:-1], tuple(range(len(s.scored)))) for s in sentences]
    ours = log_likelihoods(model, sentences, tokenizer.cls_token_id, batch_tokens=30)
    for text, value in zip(TEXTS, ours, strict=True):
        ids = tokenizer(text)["input_ids"][:-1]
        expected = 0.0
        for stop in range(1, len(ids)):
            with torch.no_grad():
                logits = model(input_ids=torch.tensor([ids[:stop]])).logits[0, -1].double()
            expected += float(logits[ids[stop]] - logits.logsumexp(0)) / math.log(2)
        assert value == pytest.approx(expected, abs=1e-4)


def test_unigrams_are_counts_raised_by_one():
    counts = np.array([0, 3, 1])
    sentences = [Sentence((9, 1, 2), (1, 2)), Sentence((0,), (0,))]
    assert unigram_bits(counts, [Sentence((1, 1, 2), (1, 2)), sentences[1]]).tolist() == pytest.approx(
        [math.log2(4 / 7) + math.log2(2 / 7), math.log2(1 / 7)]
    )


def test_sentences_that_do_not_fit_are_named(tokenizer):
    from speechprep.errors import ConfigError

    with pytest.raises(ConfigError, match=r"'the cat saw a bird' has \d+ tokens, the model has 4 positions"):
        encode(tokenizer, TEXTS[:1], 4)
