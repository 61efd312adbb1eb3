"""PELM: the judge's perplexity is transformers' own, copies and repetitions are seen, every direction gives text."""

from __future__ import annotations

import math

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

from tokenizers import Tokenizer, models, pre_tokenizers  # noqa: E402
from transformers import OPTForCausalLM, PreTrainedTokenizerFast  # noqa: E402

from speechprep.artifacts import manifest  # noqa: E402
from speechprep.errors import MissingBackend  # noqa: E402
from speechprep.models.decoder import opt_config  # noqa: E402
from speechprep.models.evaluation.context_pairs import load_pairs  # noqa: E402
from speechprep.models.evaluation.pelm import ExternalLM, pelm, score_texts  # noqa: E402
from speechprep.models.generation import Decoding  # noqa: E402
from speechprep.models.sutlm.config import SutlmConfig  # noqa: E402
from speechprep.models.sutlm.model import SutlmForCausalLM  # noqa: E402
from speechprep.tokenizers.subword.vocabulary import Vocabulary  # noqa: E402

pytestmark = pytest.mark.reference
WORDS = ["<unk>", "</s>", "you", "are", "how", "today", "don't", "a", "I", "the", "naïve"]


@pytest.fixture(scope="module")
def external(tmp_path_factory):
    folder = tmp_path_factory.mktemp("judge")
    inner = Tokenizer(models.WordLevel({word: i for i, word in enumerate(WORDS)}, unk_token="<unk>"))
    inner.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    PreTrainedTokenizerFast(tokenizer_object=inner, unk_token="<unk>", eos_token="</s>").save_pretrained(folder)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        OPTForCausalLM(opt_config("tiny", len(WORDS), 128, init_std=0.3)).save_pretrained(folder)
    return ExternalLM.load(str(folder))


@pytest.fixture(scope="module")
def pairs(run):
    return load_pairs(str(run), Vocabulary.load(run / "subword"), min_words=8)[::12]


def test_likelihoods_are_those_of_transformers_loss(external):
    total, n = external.log_likelihood("how are you", "today the a")
    ids = torch.tensor([[WORDS.index(w) for w in ["how", "are", "you", "today", "the", "a"]]])
    labels = ids.clone()
    labels[:, :3] = -100
    loss = float(external.model(ids, labels=labels).loss.detach())
    assert n == 3
    assert -total / n == pytest.approx(loss, rel=1e-5)


def test_perplexity_is_over_all_tokens_and_empty_ones_are_counted(external, pairs):
    texts = ["you are the", "", "a"]
    score = score_texts("pelm", pairs[:3], texts, external)
    parts = [external.log_likelihood(p.context.words, t) for p, t in zip(pairs, texts, strict=False) if t]
    assert score.score == pytest.approx(math.exp(-sum(p[0] for p in parts) / 4))
    assert score.counts == {"continuations": 3, "empty": 1, "tokens": 4}


def test_a_copy_of_the_prompt_and_a_loop_are_seen(external, pairs):
    pair = pairs[0]
    copy = score_texts("pelm", [pair], [pair.context.words], external)
    assert copy.others["copied"] == 1.0
    loop = score_texts("pelm", [pair], ["zebra " * 10], external)
    assert (loop.others["copied"], loop.others["repeated"]) == (0.0, pytest.approx(7 / 8))
    assert score_texts("pelm", [pair], [pair.continuation.words], external).others["length"] == 1.0


def test_every_direction_is_judged_beside_the_true_continuations(run, external, pairs):
    vocab = Vocabulary.load(run / "subword")
    config = SutlmConfig.for_vocabulary(vocab, manifest.read(str(run / "subword")).content, size="tiny", context=512)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = SutlmForCausalLM(config).eval()
    how = Decoding(max_new_tokens=6, sample=True, top_k=50, top_p=0.9)
    scores = pelm(model, vocab, pairs, external, how=how, samples=2)
    assert [s.metric for s in scores] == [
        "pelm.true.text",
        "pelm.true.units",
        *(f"pelm.{d}" for d in ("u2u", "t2t", "u2t", "t2u")),
    ]
    assert scores[0].score > 1
    assert [s.counts["continuations"] for s in scores] == [len(pairs)] * 2 + [2 * len(pairs)] * 4
    assert [s.score for s in pelm(model, vocab, pairs, external, how=how, samples=2)] == [s.score for s in scores]


def test_a_judge_that_is_not_there_is_one_line(tmp_path):
    with pytest.raises(MissingBackend, match="no causal language model"):
        ExternalLM.load(str(tmp_path / "none"))


def test_the_transcriber_has_its_word_error_rate_and_every_row_its_interval(run, vocab, external):
    pairs = load_pairs(str(run), vocab, min_words=8)[:6]
    right = iter([pair.continuation.words for pair in pairs])

    def knows(units):
        return [next(right, "you") for _ in units]

    fingerprint = manifest.read(str(run / "subword")).content
    model = SutlmForCausalLM(SutlmConfig.for_vocabulary(vocab, fingerprint, size="tiny", context=512)).eval()
    scores = pelm(model, vocab, pairs, external, directions=("u2u",), samples=2, transcribe=knows,
                  how=Decoding(max_new_tokens=4, sample=True))  # fmt: skip
    true = next(score for score in scores if score.metric == "pelm.true.units")
    assert true.others["transcriber_wer"] == 0
    assert true.score == pytest.approx(scores[0].score)
    for score in scores:
        assert score.interval.groups == 6
        assert score.interval.low <= score.score <= score.interval.high
