"""CRA: a perfect model scores 1, a constant one 1/N, oracles without content stand beside each figure."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")


from speechprep.artifacts import manifest  # noqa: E402
from speechprep.errors import BadInput, ConfigError, StaleArtifact  # noqa: E402
from speechprep.models.evaluation.context_pairs import FOLDS, Half, Pair, folded, load_pairs, prompt  # noqa: E402
from speechprep.models.evaluation.retrieval.accuracy import Resampling, chances, hits  # noqa: E402
from speechprep.models.evaluation.retrieval.candidates import choose  # noqa: E402
from speechprep.models.evaluation.retrieval.cra import Retrieval, cra, random_weights  # noqa: E402
from speechprep.models.evaluation.retrieval.likelihoods import likelihoods  # noqa: E402
from speechprep.models.evaluation.retrieval.oracles import oracle_tables  # noqa: E402
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


def half(n: int, words: str) -> Half:
    return Half(np.zeros(n, np.int32), np.zeros(n, np.int32), words)


def fake(n: int, speakers: int = 5, corpora: int = 1, lengths: int = 1) -> list[Pair]:
    return [
        Pair(
            f"u{i:04d}", f"s{i % speakers}", half(10 + i // speakers % lengths, f"words {i}"), half(5, "more"),
            corpus=f"c{i % speakers % corpora}", recording=f"r{i % speakers}-{i // 50}",
        )
        for i in range(n)
    ]  # fmt: skip


def accuracy(table, chosen):
    won = hits(table, chosen)
    return float(np.nanmean(won)), Resampling.of(fake(len(table), 50), "utterances").interval(won, ~np.isnan(won))


def test_a_model_that_knows_the_answer_scores_one():
    chosen = choose(fake(200), "other", 50, 0)
    score, interval = accuracy(np.where(np.eye(200, dtype=bool), -1.0, -2.0), chosen)
    assert (score, interval.low, interval.high) == (1.0, 1.0, 1.0)
    assert chances(chosen).tolist() == pytest.approx([1 / 49] * 200)  # 12 of each of 4 other speakers, and the true one


def test_a_uniform_model_scores_one_in_n_within_its_interval():
    pairs, within = fake(400, speakers=50), 0
    for seed in range(40):
        chosen = choose(pairs, "other", 20, seed)
        _, interval = accuracy(np.random.default_rng(seed).standard_normal((400, 400)), chosen)
        within += interval.low <= 1 / 20 <= interval.high
    assert within >= 33  # of 40 intervals of 95 %


def test_contexts_that_are_equally_likely_share_the_hit():
    chosen = choose(fake(100, 50), "other", 20, 0)
    assert accuracy(np.zeros((100, 100)), chosen)[0] == pytest.approx(1 / 20)


@pytest.mark.parametrize("seed", range(4))
def test_candidates_have_the_corpus_and_length_of_the_true_context_and_equal_numbers_for_each_speaker(seed):
    rng = np.random.default_rng(seed)
    pairs = [
        Pair(
            f"u{i:03d}", f"s{rng.integers(5)}" if rng.random() < 0.9 else "", half(int(rng.integers(10, 16)), f"w{i}"),
            half(5, "more"), corpus=f"c{rng.integers(2)}",
        )
        for i in range(90)
    ]  # fmt: skip
    lengths = [len(pair.context.units) for pair in pairs]
    for pool, limit in (("other", 9), ("other", 50), ("same", 5)):
        chosen = choose(pairs, pool, limit, seed, lengths=lengths)
        assert chosen.any()
        for i, row in enumerate(chosen):
            others = [pairs[j] for j in np.flatnonzero(row)]
            assert len(others) < limit
            assert all(other.corpus == pairs[i].corpus and other.id != pairs[i].id for other in others)
            sizes = [(len(other.context.units), lengths[i]) for other in others]
            assert all(max(pair) - min(pair) <= 0.1 * max(pair) for pair in sizes)
            named = [other.speaker or other.id for other in others]
            assert len({named.count(name) for name in named}) <= 1
            if pool == "same":
                assert set(named) <= {pairs[i].speaker}
            else:
                assert (pairs[i].speaker or pairs[i].id) not in named


def test_an_utterance_of_the_same_words_is_no_candidate():
    pairs = [Pair(f"u{i}", "s", half(5, "Nine"[: 4 - i % 2]), half(5, "x")) for i in range(6)]
    assert choose(pairs, "same", 10, 0).sum(1).tolist() == [3] * 6


def test_candidates_do_not_depend_on_the_order_of_pairs():
    pairs = fake(60, speakers=4, lengths=3)
    order = np.random.default_rng(0).permutation(60)
    for pool in ("other", "same"):
        lengths = [len(pair.context.units) for pair in pairs]
        chosen = choose(pairs, pool, 10, 0, lengths=lengths)
        shuffled = choose([pairs[k] for k in order], pool, 10, 0, lengths=[lengths[k] for k in order])
        assert (shuffled == chosen[np.ix_(order, order)]).all()


def test_an_oracle_knows_its_fact_alone():
    """The withdrawn figures: few pairs of a corpus, candidates of all corpora."""
    pairs = [
        Pair(f"u{i:02d}", f"s{i}", half(10, f"w{i}"), half(5 + i, "x"), corpus="small" if i < 3 else "large")
        for i in range(40)
    ]
    lengths = [10 + i for i in range(40)]
    tables = oracle_tables(pairs, lengths, [20 + 2 * i for i in range(40)])
    free = choose(pairs, "other", 40, 0, same_corpus=False)
    assert np.nanmean(hits(tables["corpus"], free)) == pytest.approx((3 / 3 + 37 / 37) / 40)
    assert np.nanmean(hits(tables["corpus"], choose(pairs, "other", 40, 0))) == pytest.approx((3 / 3 + 37 / 37) / 40)
    assert np.nanmean(chances(free)) == pytest.approx(1 / 40)
    assert np.nanmean(hits(tables["speaker"], free)) == 1
    assert np.nanmean(hits(tables["lengths"], free)) > 0.9  # the lengths of both halves go together here
    assert np.nanmean(hits(oracle_tables(pairs, [9] * 40, lengths)["lengths"], free)) == pytest.approx(1 / 40)


def test_the_interval_is_over_speakers_else_over_recordings_else_over_utterances():
    for pairs, over in ((fake(60), "speakers"), (fake(400, 1), "recordings"), (fake(60, 2), "utterances")):
        assert Resampling.of(pairs, "auto").over == over
    values = np.repeat([0.0, 1.0], 30)
    speakers = [Pair(f"u{i}", f"s{i // 10}", half(1, "a"), half(1, "a")) for i in range(60)]
    wide = Resampling.of(speakers, "speakers").interval(values, np.ones(60, bool))
    narrow = Resampling.of(speakers, "utterances").interval(values, np.ones(60, bool))
    assert (wide.groups, narrow.groups, wide.over) == (6, 60, "speakers")
    assert wide.high - wide.low > 1.5 * (narrow.high - narrow.low)


def test_the_shared_cache_gives_the_likelihoods_of_whole_sequences(model, pairs):
    some = pairs[:6]
    contexts = [prompt(pair.context, "u2t", "ast", model.config.markers) for pair in some]
    followed = [pair.continuation.text.tolist() for pair in some]
    start, stop = model.config.ranges["text"]
    tables = likelihoods(model, contexts, followed, np.ones((6, 6), bool), (start, stop))
    assert len({len(y) for y in followed}) > 1
    with torch.no_grad():
        for i, y in enumerate(followed):
            for j, c in enumerate(contexts):
                logits = model(torch.tensor([[*c, *y]])).logits[0, len(c) - 1 : -1]
                log_p = logits.log_softmax(-1)[torch.arange(len(y)), y].sum()
                assert tables.paper[i, j] == pytest.approx(float(log_p), abs=1e-3)
                log_p = logits[:, start:stop].log_softmax(-1)[torch.arange(len(y)), torch.tensor(y) - start].sum()
                assert tables.renormalised[i, j] == pytest.approx(float(log_p), abs=1e-3)


def test_a_mask_of_minus_infinity_gives_finite_scores_for_continuations_of_unequal_length(model):
    class Masked(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.config, self.device = model.config, model.device

        def forward(self, ids, **other):
            out = model(ids, **other)
            out.logits[..., : model.config.ranges["text"][0]] = -torch.inf
            return out

    first = model.config.ranges["text"][0]
    tables = likelihoods(
        Masked(), [[4], [5]], [[first], [first, first + 1, first + 2]], np.ones((2, 2), bool), (first, first + 9)
    )
    assert np.isfinite(tables.paper).all()
    assert np.isfinite(tables.renormalised).all()


def test_the_renormalised_score_does_not_hold_the_probability_of_the_modality(model):
    """More logit for all text tokens after one context changes the paper's score alone."""

    class Biased(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.config, self.device = model.config, model.device

        def forward(self, ids, **other):
            out = model(ids, **other)
            start, stop = model.config.ranges["text"]
            out.logits[..., start:stop] += 3.0
            return out

    start, stop = model.config.ranges["text"]
    asked = ([[4, 20]], [[start + 1, start + 2]], np.ones((1, 1), bool), (start, stop))
    plain, biased = likelihoods(model, *asked), likelihoods(Biased(), *asked)
    assert biased.renormalised[0, 0] == pytest.approx(plain.renormalised[0, 0], abs=1e-4)
    assert biased.paper[0, 0] > plain.paper[0, 0] + 0.1


def test_what_is_not_wanted_is_not_scored(model, pairs):
    wanted = np.eye(3, dtype=bool)
    contexts = [prompt(pair.context, "t2t", "ast", model.config.markers) for pair in pairs[:3]]
    followed = [pair.continuation.text.tolist() for pair in pairs[:3]]
    tables = likelihoods(model, contexts, followed, wanted, model.config.ranges["text"])
    assert (np.isfinite(tables.paper) == wanted).all()
    assert (np.isfinite(tables.renormalised) == wanted).all()


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
    how = Retrieval(candidates=4, directions=("u2u", "t2u"), pools=("other",), tasks=("cra",), tolerance=1)
    scores = cra([learner.eval(), random_weights(model, 5)], few, how, names=["learner", "random"])
    assert [score.metric for score in scores] == [
        f"cra.{d}.other.{m}" for d in ("u2u", "t2u") for m in ("renormalised", "paper")
    ]
    for score in scores:
        learnt, random = (figures["accuracy"] for figures in score.by.values())
        assert learnt == 1.0
        assert random < 1
        assert score.score == pytest.approx((learnt + random) / 2)
        assert score.others["oracle speaker"] == 1
        assert "speaker 100.0%" in score.how["warning"]
        assert score.counts == {"pairs": len(few), "left_out": 0, "models": 2}


def test_speech_and_its_transcript_are_asked_without_discourse(model, pairs):
    how = Retrieval(tasks=("transcript",), pools=("same",), tolerance=1, spread=(2,), samples=20)
    scores = cra([model], pairs, how)
    assert {score.metric.rpartition(".")[0] for score in scores} == {"transcript.u2t.same", "transcript.t2u.same"}
    for score in scores:
        assert score.how["join"] == "cst"
        assert score.others["lowest over threads"] <= score.score <= score.others["highest over threads"]
        assert score.others["oracle speaker"] == pytest.approx(score.others["chance"])
        assert "speaker" not in score.how.get("warning", "")


def test_long_pairs_are_left_out_on_request(model, pairs):
    longest = max(pairs, key=lambda pair: len(pair.context.units) + len(pair.continuation.units))
    cut = len(longest.context.units) + len(longest.continuation.units)
    config = SutlmConfig.from_dict(model.config.to_dict())
    config.decoder.max_position_embeddings = cut
    small = SutlmForCausalLM(config).eval()
    how = Retrieval(tasks=("cra",), directions=("u2u",), pools=("other",), tolerance=1, samples=5)
    with pytest.raises(ConfigError, match=r"context 's\d-\d+' has .* positions; skip long pairs"):
        cra([small], pairs, how)
    scores = cra([small], pairs, replace(how, skip_long=True))
    assert 0 < scores[0].counts["left_out"] < len(pairs)


def test_case_and_punctuation_are_folded_on_request(run, vocab):
    assert folded("Don't  stop, Mr.\u2009O\u2019Neil!", "upper") == "DON'T STOP MR O\u2019NEIL"
    assert folded("Don't stop.", "lower") == "don't stop"
    assert folded("Don't  stop.", "none") == "Don't  stop."
    assert FOLDS == ("none", "lower", "upper")
    for pair in load_pairs(str(run), vocab, min_words=8, fold="upper"):
        assert pair.context.words == pair.context.words.upper()
    with pytest.raises(ConfigError, match="title"):
        load_pairs(str(run), vocab, fold="title")


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
    half_ = Half(np.array([300], np.int32), np.array([20, 21], np.int32), "a")
    marks = {name: getattr(vocab, name) for name in ("u_start", "u_end", "t_start", "t_end", "u2t", "t2u")}
    assert prompt(half_, "u2t", "ast", marks) == [vocab.u_start, 300, vocab.u2t]
    assert prompt(half_, "t2u", "cst", marks) == [vocab.t_start, 20, 21, vocab.t_end, vocab.u_start]
    assert prompt(half_, "u2u", "ast", marks) == [vocab.u_start, 300]


def test_what_cannot_be_asked_is_refused(run, vocab, model, pairs):
    with pytest.raises(StaleArtifact, match="40 words"):
        load_pairs(str(run), vocab, min_words=40)
    with pytest.raises(StaleArtifact, match="another-book"):
        load_pairs(str(run), vocab, min_words=8, codebook="another-book")
    with pytest.raises(ConfigError, match="x2x"):
        cra([model], pairs, Retrieval(directions=("x2x",)))
    for bad in ({"pools": ("any",)}, {"candidates": 1}, {"tolerance": 1.5}, {"threads": 0}, {"resample": "words"}):
        with pytest.raises(ConfigError, match=str(next(iter(bad.values()))).strip("(),'")):
            Retrieval(**bad)
    with pytest.raises(ConfigError, match="512 positions"):
        likelihoods(model, [[4] * 500], [[5] * 50], np.ones((1, 1), bool), (0, 9))
    with pytest.raises(BadInput, match="length-tolerance"):
        cra([model], pairs[:1])
