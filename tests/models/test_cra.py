"""CRA: a perfect model scores 1, a constant one 1/N, and the shared cache changes nothing."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

from speechprep.artifacts import manifest  # noqa: E402
from speechprep.errors import ConfigError, StaleArtifact  # noqa: E402
from speechprep.models.evaluation.context_pairs import Half, Pair, load_pairs, prompt  # noqa: E402
from speechprep.models.evaluation.cra import accuracy, choose, cra, log_likelihoods, wilson  # noqa: E402
from speechprep.models.sutlm.config import SutlmConfig  # noqa: E402
from speechprep.models.sutlm.model import SutlmForCausalLM  # noqa: E402

pytestmark = pytest.mark.reference


@pytest.fixture(scope="module")
def pairs(run, vocab):
    return load_pairs(str(run), vocab, min_words=8)


@pytest.fixture(scope="module")
def model(run, vocab):
    config = SutlmConfig.for_vocabulary(
        vocab, manifest.read(str(run / "subword")).content, size="tiny", context=512, init_std=0.2, dropout=0.0
    )
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return SutlmForCausalLM(config).eval()


def fake(n: int, speakers: int = 5) -> list[Pair]:
    half = Half(np.zeros(1, np.int32), np.zeros(1, np.int32), "")
    return [Pair(f"u{i:04d}", f"s{i % speakers}", half, half) for i in range(n)]


def test_a_model_that_knows_the_answer_scores_one():
    chosen = choose(fake(200), "other", 50, 0)
    table = np.where(np.eye(200, dtype=bool), -1.0, -2.0)
    score = accuracy(table, chosen, "cra")
    assert (score.score, score.counts["pairs"], score.others["chance"]) == (1.0, 200, pytest.approx(0.02))
    assert score.interval.high == pytest.approx(1.0)
    assert score.interval.low > 0.97


def test_a_uniform_model_scores_one_in_n_within_its_interval():
    pairs, within = fake(400, speakers=50), 0
    for seed in range(40):
        chosen = choose(pairs, "other", 20, seed)
        score = accuracy(np.random.default_rng(seed).standard_normal((400, 400)), chosen, "cra")
        within += score.interval.low <= 1 / 20 <= score.interval.high
    assert within >= 35  # of 40 intervals of 95 %


def test_contexts_that_are_equally_likely_share_the_hit():
    chosen = choose(fake(100), "other", 20, 0)
    assert accuracy(np.zeros((100, 100)), chosen, "cra").score == pytest.approx(1 / 20)


def test_candidates_are_of_the_pool_and_do_not_depend_on_the_order_of_pairs():
    pairs = fake(60, speakers=4)
    for pool in ("other", "same"):
        chosen = choose(pairs, pool, 10, 0)
        assert (chosen.sum(1) == 9).all()
        i, j = np.nonzero(chosen)
        assert all((pairs[a].speaker == pairs[b].speaker) == (pool == "same") for a, b in zip(i, j, strict=True))
        order = np.random.default_rng(0).permutation(60)
        assert (choose([pairs[k] for k in order], pool, 10, 0) == chosen[np.ix_(order, order)]).all()


def test_the_shared_cache_gives_the_likelihoods_of_whole_sequences(model, pairs):
    some = pairs[:6]
    contexts = [prompt(pair.context, "u2t", "ast", model.config.markers) for pair in some]
    followed = [pair.continuation.text.tolist() for pair in some]
    table = log_likelihoods(model, contexts, followed, np.ones((6, 6), bool))
    with torch.no_grad():
        for i, y in enumerate(followed):
            for j, c in enumerate(contexts):
                log_p = model(torch.tensor([[*c, *y]])).logits[0].log_softmax(-1)[len(c) - 1 : -1]
                assert table[i, j] == pytest.approx(float(log_p[torch.arange(len(y)), y].sum()), abs=1e-3)


def test_what_is_not_wanted_is_not_scored(model, pairs):
    wanted = np.eye(3, dtype=bool)
    contexts = [prompt(pair.context, "t2t", "ast", model.config.markers) for pair in pairs[:3]]
    table = log_likelihoods(model, contexts, [pair.continuation.text.tolist() for pair in pairs[:3]], wanted)
    assert (np.isfinite(table) == wanted).all()


def test_a_model_that_learnt_the_pairs_by_heart_retrieves_every_context(model, pairs):
    few = pairs[::8]  # of all speakers
    learner = SutlmForCausalLM(model.config)
    learner.load_state_dict(model.state_dict())
    sequences = [
        [
            *prompt(p.context, d, "ast", model.config.markers),
            *(p.continuation.units if d[2] == "u" else p.continuation.text),
        ]
        for p in few
        for d in ("u2u", "t2u")
    ]
    width = max(map(len, sequences))
    ids = torch.tensor([[int(t) for t in s] + [0] * (width - len(s)) for s in sequences])
    documents = torch.tensor([[0] * len(s) + [-1] * (width - len(s)) for s in sequences])
    optimizer = torch.optim.AdamW(learner.parameters(), lr=3e-3)
    for _ in range(60):
        optimizer.zero_grad()
        learner(ids, document_ids=documents, labels=ids).loss.backward()
        optimizer.step()
    scores = cra(learner.eval(), few, candidates=4, directions=("u2u", "t2u"), pools=("other",))
    assert [score.score for score in scores] == [1.0, 1.0]


def test_halves_are_whole_utterances_cut_at_a_word(run, vocab, pairs):
    assert len(pairs) > 40
    for pair in pairs[:10]:
        words = pair.context.words.split() + pair.continuation.words.split()
        assert len(words) >= 8
        assert abs(len(pair.context.words.split()) - len(words) / 2) <= 2
        text = vocab.decode_text(pair.context.text) + vocab.decode_text(pair.continuation.text)
        assert text.split() == words
        units = [vocab.decode_units(half.units) for half in (pair.context, pair.continuation)]
        assert units[0][-1] != units[1][0]


def test_a_change_of_modality_is_written_as_the_model_was_trained(vocab):
    half = Half(np.array([300], np.int32), np.array([20, 21], np.int32), "a")
    marks = {name: getattr(vocab, name) for name in ("u_start", "u_end", "t_start", "t_end", "u2t", "t2u")}
    assert prompt(half, "u2t", "ast", marks) == [vocab.u_start, 300, vocab.u2t]
    assert prompt(half, "t2u", "cst", marks) == [vocab.t_start, 20, 21, vocab.t_end, vocab.u_start]
    assert prompt(half, "u2u", "ast", marks) == [vocab.u_start, 300]


def test_what_cannot_be_asked_is_refused(run, vocab, model, pairs):
    with pytest.raises(StaleArtifact, match="40 words"):
        load_pairs(str(run), vocab, min_words=40)
    with pytest.raises(StaleArtifact, match="another-book"):
        load_pairs(str(run), vocab, min_words=8, codebook="another-book")
    with pytest.raises(ConfigError, match="x2x"):
        cra(model, pairs, directions=("x2x",))
    with pytest.raises(ConfigError, match="512 positions"):
        log_likelihoods(model, [[4] * 500], [[5] * 50], np.ones((1, 1), bool))


def test_the_wilson_interval_is_the_textbooks():
    assert wilson(5, 10) == pytest.approx((0.2366, 0.7634), abs=1e-4)
    assert wilson(0, 10) == pytest.approx((0.0, 0.2775), abs=1e-4)
