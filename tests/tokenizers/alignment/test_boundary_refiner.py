"""Refined borders: found in synthetic spectra, in order, with intervals that hold."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from speechprep.tokenizers.alignment import boundary_refiner
from speechprep.tokenizers.alignment.border_inputs import BANDS, FACTS, MARGIN, REACH, STEP, BorderInput
from speechprep.tokenizers.alignment.boundary_refiner import TrueBorder, ordered


def borders(count, seed=0, groups=4):
    """Borders with a jump of the spectrum at the true border, up to 75 ms from the border as aligned."""
    random = np.random.default_rng(seed)
    made = []
    for number in range(count):
        move = int(random.integers(-15, 16))
        strip = random.normal(0, 0.3, (2 * (REACH + MARGIN) + 1, BANDS)).astype(np.float32)
        strip[REACH + MARGIN + move :] += 1
        side = ("onset", "offset")[number % 2]
        border = BorderInput(1.0, 200, f"{side} stop vowel", strip, np.zeros(FACTS, np.float32))
        made.append(TrueBorder(border, 1.0 + move * STEP, str(number % groups), None))
    return made


@pytest.fixture(scope="module")
def fitted():
    """A refiner of two small folds of one network each."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(boundary_refiner, "NETWORKS", 1)
        patch.setattr(boundary_refiner, "FOLDS", 2)
        patch.setattr(boundary_refiner, "FEWEST_STEPS", 150)
        patch.setattr(boundary_refiner, "EPOCHS", 0)
        return boundary_refiner.fit(borders(400))


def test_a_jump_of_the_spectrum_is_found_on_other_groups(fitted):
    refiner, evaluation = fitted
    level = evaluation["levels"][0]
    assert evaluation["folds"] == 2
    assert level["before"] > 30
    assert level["offsets"] > 30
    assert level["after"] < 5
    held_out = borders(100, seed=1)
    places = refiner.places([border.border for border in held_out])
    errors = [abs(place.time - border.true) for place, border in zip(places, held_out, strict=True)]
    assert np.mean(errors) < 0.005


def test_intervals_hold_nine_of_ten_borders_and_contain_the_time(fitted):
    refiner, evaluation = fitted
    assert 0.85 <= evaluation["levels"][0]["coverage"] <= 0.95
    held_out = borders(400, seed=2)
    places = refiner.places([border.border for border in held_out])
    inside = [place.low <= border.true <= place.high for place, border in zip(places, held_out, strict=True)]
    assert 0.85 <= np.mean(inside) <= 0.96
    assert all(place.low <= place.time <= place.high for place in places)


def test_the_fit_is_the_same_again_and_reports_its_trainings(monkeypatch):
    monkeypatch.setattr(boundary_refiner, "NETWORKS", 2)
    monkeypatch.setattr(boundary_refiner, "FEWEST_STEPS", 3)
    monkeypatch.setattr(boundary_refiner, "EPOCHS", 0)
    calls = []
    runs = [boundary_refiner.fit(borders(40), 0, lambda *numbers: calls.append(numbers)) for _ in range(2)]
    places = [refiner.places([border.border for border in borders(5)]) for refiner, _ in runs]
    assert places[0] == places[1]
    assert runs[0][1] == runs[1][1]
    assert calls == 2 * [(number, 5) for number in range(1, 6)]


def test_one_group_has_no_refiner_and_no_borders_have_no_places(fitted):
    assert boundary_refiner.fit(borders(20, groups=1)) is None
    assert boundary_refiner.fit([]) is None
    assert fitted[0].places([]) == []


@pytest.mark.parametrize(
    ("level", "expected"),
    [(0.5, 0.0), (0.25, -STEP / 4), (0.75, STEP / 4), (1.0, STEP / 2)],
)
def test_a_quantile_of_one_sure_candidate_is_within_its_frame(level, expected):
    found = np.zeros((1, 2 * REACH + 1))
    found[0, REACH] = 1
    assert boundary_refiner._quantile(found, level)[0] == pytest.approx(expected)


def test_words_in_order_are_not_changed_and_an_overlap_is_halved():
    words = [(0.1, 0.4), (0.4, 0.6), (0.8, 1.0)]
    assert ordered(words, [0.02] * 3, 1.0) == words
    assert ordered([(0.1, 0.5), (0.4, 0.6)], [0.02] * 2, 1.0) == [(0.1, 0.45), (0.45, 0.6)]


time = st.floats(-1, 3)


@given(st.lists(st.tuples(time, time, st.floats(0.01, 0.1)), max_size=15))
def test_ordered_words_do_not_overlap_and_keep_a_length(rows):
    words, shortest = [row[:2] for row in rows], [row[2] for row in rows]
    found = ordered(words, shortest, 2.0)
    before = 0.0
    for (start, end), least in zip(found, shortest, strict=True):
        assert before - 1e-9 <= start
        assert end - start >= least - 1e-9
        before = end
    assert before <= 2.0 + 1e-9
