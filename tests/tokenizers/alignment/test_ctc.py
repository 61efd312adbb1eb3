"""CTC alignment: the best path for every block size and engine, with the paths and scores of torchaudio."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from speechprep.errors import BadInput
from speechprep.tokenizers.alignment.ctc import ctc_align, frames_needed, greedy_decode
from speechprep.tokenizers.arrays.compiled import has_numba

ENGINES = [False, True] if has_numba() else [False]


def log_softmax(x):
    return (x - np.log(np.exp(x).sum(axis=1, keepdims=True))).astype(np.float32)


def emissions(seed, frames, size):
    return log_softmax(np.random.default_rng(seed).standard_normal((frames, size)) * 3)


@st.composite
def cases(draw, most=40, size=6):
    tokens = draw(st.lists(st.integers(1, size - 1), min_size=1, max_size=most // 2))
    frames = draw(st.integers(frames_needed(tokens), frames_needed(tokens) + most))
    return draw(st.integers(0, 2**32 - 1)), frames, size, tokens


def collapsed(labels):
    return [int(b) for a, b in zip([None, *labels], labels, strict=False) if b != a and b != 0]


@settings(max_examples=60)
@given(cases(most=5, size=3))
def test_the_path_is_the_best_of_all_that_say_the_tokens(case):
    seed, frames, size, tokens = case
    if frames > 8:
        frames = max(8, frames_needed(tokens))
    if frames > 9:
        return
    scores = emissions(seed, frames, size)
    totals = [
        sum(float(scores[t, label]) for t, label in enumerate(labels))
        for labels in product(range(size), repeat=frames)
        if collapsed(labels) == tokens
    ]
    path = ctc_align(scores, tokens, numba=False)
    assert float(path.frame_scores.astype(np.float64).sum()) == pytest.approx(max(totals), abs=1e-4)
    assert collapsed(path.labels(tokens).tolist()) == tokens


@settings(max_examples=100)
@given(cases(), st.integers(1, 9))
def test_neither_block_size_nor_engine_nor_ties_change_the_path(case, block):
    seed, frames, size, tokens = case
    # Multiples of 1/4 add up without rounding, and make many ties.
    scores = (np.random.default_rng(seed).integers(-12, 0, (frames, size)) / 4).astype(np.float32)
    whole = ctc_align(scores, tokens, numba=False)
    for engine in ENGINES:
        for size_of_block in (block, 4096):
            again = ctc_align(scores, tokens, numba=engine, block=size_of_block)
            np.testing.assert_array_equal(again.states, whole.states)
            np.testing.assert_array_equal(again.scores, whole.scores)


@settings(max_examples=50)
@given(cases())
def test_every_token_has_its_frames_in_order(case):
    seed, frames, size, tokens = case
    path = ctc_align(emissions(seed, frames, size), tokens)
    assert (path.ends > path.starts).all()
    assert (path.starts[1:] >= path.ends[:-1]).all()
    assert 0 <= path.starts[0] <= path.ends[-1] <= frames
    steps = np.diff(path.states)
    assert ((steps >= 0) & (steps <= 2)).all()


@pytest.mark.reference
@pytest.mark.filterwarnings("ignore")
@settings(max_examples=200)
@given(cases())
def test_paths_and_scores_are_those_of_torchaudio(case):
    torch = pytest.importorskip("torch")
    functional = pytest.importorskip("torchaudio.functional")
    seed, frames, size, tokens = case
    scores = emissions(seed, frames, size)
    labels, frame_scores = functional.forced_align(torch.from_numpy(scores)[None], torch.tensor([tokens]))
    spans = functional.merge_tokens(labels[0], frame_scores[0])
    for engine in ENGINES:
        path = ctc_align(scores, tokens, numba=engine)
        np.testing.assert_array_equal(path.labels(tokens), labels[0].numpy())
        np.testing.assert_array_equal(path.frame_scores, frame_scores[0].numpy())
        assert [(s.start, s.end) for s in spans] == list(zip(path.starts.tolist(), path.ends.tolist(), strict=True))
        np.testing.assert_allclose(path.scores, [s.score for s in spans], rtol=1e-5)


def test_repeats_count_when_a_text_is_too_long():
    scores = emissions(0, 5, 4)
    assert ctc_align(scores, [1, 1, 2, 3]).states[-1] == 7
    with pytest.raises(BadInput, match="at least 6 frames, but the audio has 5") as error:
        ctc_align(scores, [1, 1, 1, 2])
    assert error.value.code == "text_too_long"


def test_impossible_tokens_and_nan_are_refused():
    scores = emissions(0, 5, 4)
    scores[:, 3] = -np.inf
    with pytest.raises(BadInput, match="no path"):
        ctc_align(scores, [1, 3])
    scores[2, 1] = np.nan
    with pytest.raises(BadInput, match="NaN"):
        ctc_align(scores, [1, 2])
    with pytest.raises(ValueError, match="other than the blank"):
        ctc_align(emissions(0, 5, 4), [1, 0])


def test_no_token_is_all_blank_and_one_frame_is_enough_for_one_token():
    assert not ctc_align(emissions(0, 5, 4), []).states.any()
    path = ctc_align(emissions(0, 1, 4), [2])
    assert path.states.tolist() == [1]
    assert (path.starts.tolist(), path.ends.tolist()) == ([0], [1])


def test_back_pointers_do_not_grow_with_the_audio(monkeypatch):
    sizes = []
    zeros = np.zeros

    def counted(shape, *args, **kwargs):
        array = zeros(shape, *args, **kwargs)
        sizes.append(array.nbytes)
        return array

    tokens = [1 + i % 3 for i in range(2000)]
    scores = emissions(0, 8000, 4)
    monkeypatch.setattr("speechprep.tokenizers.alignment.ctc.np.zeros", counted)
    ctc_align(scores, tokens, block=100, numba=False)
    assert max(sizes) <= 2 * 100 * 103 + 4 * 8000


def test_greedy_merges_repeats_and_drops_blanks():
    labels = np.array([0, 2, 2, 0, 2, 1, 1, 0], np.int32)
    scores = -np.arange(8, dtype=np.float32)
    emitted = greedy_decode(labels, scores)
    assert [(e.token, e.start, e.end, e.score) for e in emitted] == [(2, 1, 3, -1.5), (2, 4, 5, -4.0), (1, 5, 7, -5.5)]
    assert greedy_decode(labels[:0], scores[:0]) == []
