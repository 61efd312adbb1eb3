"""Offsets of word borders by the classes of the phones on both sides."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from speechprep.tokenizers.alignment import boundary_offsets
from speechprep.tokenizers.alignment.boundary_offsets import ANY, SHRINKAGE, BoundaryOffset, LabelledBorder, TimedWord
from speechprep.tokenizers.english.letter_to_sound import PHONES

CAT, SAT = ("K", "AE", "T"), ("S", "AE", "T")
times = st.lists(st.floats(0, 5), min_size=2, max_size=12).map(sorted)


def test_the_kind_of_a_border_is_its_side_and_both_classes():
    words = [TimedWord(0.1, 0.4, CAT), TimedWord(0.4, 0.7, SAT), TimedWord(0.9, 1.2, ("AH0", "N"))]
    assert boundary_offsets.kinds(words) == [
        ("onset silence stop", "offset stop fricative"),
        ("onset stop fricative", "offset stop silence"),
        ("onset silence vowel", "offset nasal silence"),
    ]


def test_a_neighbour_without_a_time_counts_as_silence():
    words = [TimedWord(0.1, 0.4, CAT), TimedWord(0.4, 0.7, SAT, aligned=False), TimedWord(0.7, 1.2, CAT)]
    assert boundary_offsets.kinds(words)[::2] == [("onset silence stop", "offset stop silence")] * 2


def test_every_phone_has_a_class_and_only_vowels_are_left():
    vowels = {phone for phone in PHONES if boundary_offsets.phone_class(phone) == "vowel"}
    assert vowels == {phone for phone in PHONES if phone[0] in "AEIOU"} == set(boundary_offsets.VOWELS.split())


def test_the_offset_of_a_kind_is_its_median_shrunk_to_that_of_all_borders():
    errors = {"onset stop vowel": [0.01, 0.02, 0.06], "offset vowel silence": [0.05] * 40}
    borders = [LabelledBorder(kind, error, "a") for kind, values in errors.items() for error in values]
    offsets = boundary_offsets.fit(borders)
    assert offsets[ANY].seconds == 0.05
    assert offsets["onset stop vowel"].seconds == pytest.approx((3 * 0.02 + SHRINKAGE * 0.05) / (3 + SHRINKAGE))
    assert offsets["offset vowel silence"] == BoundaryOffset(0.05, 0.0, 0.0, 40)


def test_intervals_hold_nine_of_ten_errors_of_other_groups():
    rng = np.random.default_rng(0)
    borders = [
        LabelledBorder(kind, float(rng.normal(shift, spread)), str(n % 8))
        for kind, shift, spread in (("a", 0.03, 0.005), ("b", -0.01, 0.02))
        for n in range(400)
    ]
    result = boundary_offsets.cross_validated(borders)
    assert 0.87 <= result["coverage"] <= 0.93
    assert result["after"] < 0.65 * result["before"]
    assert boundary_offsets.cross_validated(borders[::8]) is None


@given(times, times, st.floats(-0.2, 0.2), st.lists(st.booleans(), min_size=12, max_size=12))
def test_moved_times_ascend_and_stay_within_the_audio(starts, lengths, offset, aligned):
    words = [
        TimedWord(start, start + length, CAT, flag)
        for start, length, flag in zip(starts, lengths, aligned, strict=False)
    ]
    offsets = {ANY: BoundaryOffset(offset, 0, 0, 1), "onset silence stop": BoundaryOffset(-offset, 0, 0, 1)}
    moved = boundary_offsets.shifted(words, offsets, 4.0)
    assert all(0 <= start <= end <= 4.0 for start, end in moved)
    for side in (0, 1):
        values = [pair[side] for pair in moved]
        assert values == sorted(values)


def test_offsets_of_one_kind_move_only_its_borders():
    words = [TimedWord(0.1, 0.4, CAT), TimedWord(0.4, 0.7, SAT)]
    offsets = {ANY: BoundaryOffset(0.0, 0, 0, 1), "offset stop silence": BoundaryOffset(0.05, 0, 0, 1)}
    assert boundary_offsets.shifted(words, offsets, 2.0) == [(0.1, 0.4), (0.4, pytest.approx(0.65))]


def test_the_interval_of_a_border_is_that_of_its_kind_around_its_corrected_time():
    """An error is aligned minus true, so the largest error is the earliest true border."""
    words = [TimedWord(0.1, 0.4, CAT), TimedWord(0.4, 0.7, SAT), TimedWord(0.7, 0.8, CAT, aligned=False)]
    offsets = {
        ANY: BoundaryOffset(0.01, -0.02, 0.03, 9),
        "onset stop fricative": BoundaryOffset(0.0, -0.05, 0.04, 9),
    }
    first, second, untimed = boundary_offsets.intervals(words, offsets, 0.7)
    assert first == pytest.approx((0.06, 0.11, 0.36, 0.41))
    assert second == pytest.approx((0.36, 0.45, 0.66, 0.7))
    assert untimed is None
