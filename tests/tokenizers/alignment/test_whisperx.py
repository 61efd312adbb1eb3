"""The trellis of WhisperX: its words, times and scores on the same emissions, failures and odd texts included."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from speechprep.tokenizers.alignment.whisperx import align_segment, token_times
from speechprep.tokenizers.arrays.compiled import has_numba

ENGINES = [False, True] if has_numba() else [False]
LETTERS = "|etaonihsrdlumwcfgypbvk'xjqz"
DICTIONARY = {"<pad>": 0, "<s>": 1, "</s>": 2, "<unk>": 3, **{c: i + 4 for i, c in enumerate(LETTERS)}}
PIECES = [
    "hello", "it's", "1984", "$5", "\u201cwell\u201d", "\u6771\u4eac", "Mr. Smith", "end.", "A", "-", "na\u00efve", "|",
    "antidisestablishmentarianism", "ok?  Two", "!", " ", "\u00a0", "\n",
]  # fmt: skip


def log_softmax(x):
    return (x - np.log(np.exp(x).sum(axis=1, keepdims=True))).astype(np.float32)


def planted(text, frames, seed, noise=1.0):
    """Emissions with the characters of a text in order, as far as there is room."""
    rng = np.random.default_rng(seed)
    logits = rng.standard_normal((frames, len(DICTIONARY))) * noise
    logits[:, 0] += 4
    ids = [DICTIONARY.get(c, 3) for c in text.lower().replace(" ", "|")][: frames // 2]
    at = np.sort(rng.choice(max(frames // 2, 1), len(ids), replace=False)) * 2
    logits[at, 0] -= 4
    logits[at, ids] += 6
    return log_softmax(logits)


@settings(max_examples=80)
@given(st.integers(0, 2**32 - 1), st.integers(1, 50), st.integers(1, 30), st.integers(1, 9))
def test_neither_block_size_nor_engine_nor_ties_change_the_times(seed, frames, n, block):
    rng = np.random.default_rng(seed)
    scores = (rng.integers(-12, 0, (frames, 5)) / 4).astype(np.float32)
    tokens = rng.integers(1, 5, n)
    whole = token_times(scores, tokens, numba=False)
    for engine in ENGINES:
        again = token_times(scores, tokens, numba=engine, block=block)
        if whole is None:
            assert again is None
            continue
        for name in ("starts", "ends", "scores"):
            np.testing.assert_array_equal(getattr(again, name), getattr(whole, name))


def test_more_tokens_than_frames_fail():
    assert token_times(np.zeros((3, 4), np.float32), [1, 2, 3, 1, 2]) is None


def test_a_text_without_characters_has_no_words():
    assert align_segment(np.zeros((9, len(DICTIONARY)), np.float32), "   ", DICTIONARY, 0.0, 1.0) is None


@pytest.fixture(scope="module")
def alignment(tmp_path_factory):
    """whisperx.alignment with a sentence splitter of the test, so nothing is downloaded."""
    pytest.importorskip("whisperx")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYANNOTE_METRICS_ENABLED", "0")
        patch.setenv("HF_HUB_OFFLINE", "1")
        nltk = pytest.importorskip("nltk")
        folder = tmp_path_factory.mktemp("nltk")
        punkt = folder / "tokenizers" / "punkt_tab" / "english"
        punkt.mkdir(parents=True)
        (punkt / "abbrev_types.txt").write_text("mr\n")
        for name in ("collocations.tab", "sent_starters.txt", "ortho_context.tab"):
            (punkt / name).write_text("")
        patch.setattr(nltk.data, "path", [str(folder)])
        module = pytest.importorskip("whisperx.alignment")
        patch.setattr(module.logger, "disabled", True)
        yield module


reference = [pytest.mark.reference, pytest.mark.filterwarnings("ignore")]


def with_marks(function):
    for mark in reference:
        function = mark(function)
    return function


@with_marks
def test_tokens_are_where_whisperx_has_them(alignment):
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(0)
    failures = 0
    for case in range(300):
        frames = int(rng.integers(1, 60))
        tokens = rng.integers(1, 8, int(rng.integers(1, frames + 4))).tolist()
        logits = rng.standard_normal((frames, 8)).astype(np.float32) * 3
        scores = np.round(logits) if case % 3 == 0 else log_softmax(logits)  # round: ties
        emission = torch.from_numpy(scores)
        path = alignment.backtrack(alignment.get_trellis(emission, tokens), emission, tokens)
        for engine in ENGINES:
            times = token_times(scores, tokens, numba=engine)
            if path is None:
                failures += 1
                assert times is None
                continue
            segments = alignment.merge_repeats(path, "x" * len(tokens))
            assert [s.start for s in segments] == times.starts.tolist()
            assert [s.end for s in segments] == times.ends.tolist()
            np.testing.assert_allclose(times.scores, [s.score for s in segments], atol=2e-7)
    assert failures > 10


def whisperx_words(alignment, logits, text, language, start, end):
    """Words of WhisperX for the logits of a model, and the log-probabilities of the logits."""
    import torch

    def model(waveform, lengths=None):
        return torch.from_numpy(logits)[None], lengths

    segment = {"text": text, "start": start, "end": end}
    meta = {"language": language, "dictionary": DICTIONARY, "type": "torchaudio"}
    audio = np.zeros(round(end * 16_000) + 1, np.float32)
    aligned = alignment.align([segment], model, meta, audio, "cpu")["word_segments"]
    words = [(w["word"], w.get("start"), w.get("end"), w.get("score")) for w in aligned]
    return words, torch.log_softmax(torch.from_numpy(logits)[None], dim=-1)[0].numpy()


def ours(scores, text, language, start, end, sentences, engine):
    aligned = align_segment(
        scores, text, DICTIONARY, start, end, spaces=language not in ("ja", "zh"), sentences=sentences, numba=engine
    )
    return [(w.text, w.start, w.end, w.score) for w in aligned or []]


@with_marks
@pytest.mark.parametrize("language", ["en", "ja"])
def test_words_times_and_scores_are_those_of_whisperx_align(alignment, language):
    pytest.importorskip("torch")
    splitter = alignment.nltk_load("tokenizers/punkt_tab/english.pickle")
    rng = np.random.default_rng(7)
    for case in range(250):
        pieces = [PIECES[int(i)] for i in rng.integers(len(PIECES), size=int(rng.integers(1, 14)))]
        text = " " * int(rng.integers(3)) + " ".join(pieces) + " " * int(rng.integers(2))
        frames = int(rng.integers(5, 6 * len(text) + 6))
        scores = planted(text, frames, case, noise=1.0 if case % 2 else 3.0)
        if case % 4 == 0:
            scores = np.round(scores)
        start, end = round(float(rng.uniform(0, 5)), 3), round(float(rng.uniform(6, 30)), 3)
        expected, scores = whisperx_words(alignment, scores, text, language, start, end)
        spans = list(splitter.span_tokenize(text))
        for engine in ENGINES:
            assert ours(scores, text, language, start, end, spans, engine) == expected, (case, text)


@with_marks
def test_the_sentence_splitter_does_not_matter_where_words_are_divided_by_single_spaces(alignment):
    pytest.importorskip("torch")
    plain = [piece for piece in PIECES if piece.split(" ") == piece.split() and piece != "|"]
    rng = np.random.default_rng(8)
    for case in range(100):
        text = " ".join(plain[int(i)] for i in rng.integers(len(plain), size=12))
        scores = planted(text, 4 * len(text), case)
        expected, scores = whisperx_words(alignment, scores, text, "en", 0.0, 9.0)
        assert ours(scores, text, "en", 0.0, 9.0, None, ENGINES[-1]) == expected
