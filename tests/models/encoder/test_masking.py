"""Masks of MLM: shares, whole words, and draws that depend on seed, epoch and id alone."""

from __future__ import annotations

import numpy as np
import pytest
from helpers.teacher_runs import LEXICON, write_tokenizer
from hypothesis import given, settings
from hypothesis import strategies as st

pytest.importorskip("torch")

from speechprep.models.encoder.masking import Masking
from speechprep.models.losses import IGNORE
from speechprep.tokenizers.wordpiece.tokenizer import WordPiece

pytestmark = pytest.mark.reference


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory) -> WordPiece:
    folder = tmp_path_factory.mktemp("wordpiece")
    write_tokenizer(folder, LEXICON, 60)
    return WordPiece.load(folder)


def applied(masking: Masking, name: str, epoch: int, ids: np.ndarray, begins: np.ndarray, seed: int = 0):
    return masking.apply(masking.keys(seed, [name]), epoch, ids, begins)


@settings(deadline=None, max_examples=60)
@given(
    st.lists(st.booleans(), min_size=1, max_size=40),
    st.floats(0.05, 0.9),
    st.booleans(),
    st.text(min_size=1, max_size=4),
)
def test_the_number_of_targets_is_the_share_and_whole_words_are_whole(tokenizer, starts, share, whole, name):
    begins = np.array([True, *starts[1:]])
    ids = np.arange(len(begins)) % (tokenizer.size - 5) + 5
    masked, labels = applied(Masking(tokenizer, share, whole), name, 0, ids, begins)
    target = labels != IGNORE
    assert (labels[target] == ids[target]).all()
    assert (masked[~target] == ids[~target]).all()
    wanted = max(1, round(share * len(ids)))
    if not whole:
        assert target.sum() == wanted
        return
    word = np.cumsum(begins) - 1
    sizes, chosen = np.bincount(word), np.bincount(word, target)
    assert set((chosen / sizes).tolist()) <= {0.0, 1.0}
    assert wanted <= target.sum() < wanted + sizes.max()


def test_targets_are_masked_replaced_and_kept_in_eighty_ten_ten(tokenizer):
    ids, begins = np.full(20_000, 9), np.ones(20_000, bool)
    masked, labels = applied(Masking(tokenizer, 0.5), "a", 0, ids, begins)
    of_targets = masked[labels != IGNORE]
    assert np.mean(of_targets == tokenizer.mask) == pytest.approx(0.8, abs=0.02)
    replaced = of_targets[(of_targets != tokenizer.mask) & (of_targets != 9)]
    assert len(replaced) / len(of_targets) == pytest.approx(0.1, abs=0.02)
    assert set(replaced.tolist()) == set(range(5, tokenizer.size)) - {9}
    places = np.flatnonzero(labels != IGNORE)
    assert np.abs(np.histogram(places, 10, (0, 20_000))[0] / 1000 - 1).max() < 0.15


def test_masks_change_with_epoch_id_and_seed_and_with_nothing_else(tokenizer):
    ids, begins = np.arange(5, 45), np.ones(40, bool)
    masking = Masking(tokenizer)
    first = applied(masking, "a", 0, ids, begins)
    again = applied(masking, "a", 0, ids, begins)
    assert all(np.array_equal(x, y) for x, y in zip(first, again, strict=True))
    for other in (("a", 1, 0), ("b", 0, 0), ("a", 0, 1)):
        changed = applied(masking, other[0], other[1], ids, begins, seed=other[2])
        assert not np.array_equal(first[1], changed[1])
