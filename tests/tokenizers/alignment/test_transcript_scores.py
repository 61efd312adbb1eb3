"""Scores of a transcript, and plausibility of word times."""

from __future__ import annotations

import zlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from speechprep.tokenizers.alignment import plausibility, transcript_scores
from speechprep.tokenizers.alignment.edit_distance import word_errors

RATE = 16_000
TEXT = "the quick brown fox jumps over the lazy dog while nobody is looking at all"
SENTENCE = TEXT.split()


@given(st.lists(st.sampled_from("abcd"), max_size=40), st.lists(st.sampled_from("abcd"), max_size=40))
def test_the_edit_distance_is_that_of_the_plain_table(reference, hypothesis):
    assert transcript_scores.edit_distance(reference, hypothesis) == word_errors(reference, hypothesis)


def test_the_edit_distance_of_known_pairs():
    assert transcript_scores.edit_distance("kitten", "sitting") == 3
    assert transcript_scores.edit_distance("", "abc") == transcript_scores.edit_distance("abc", "") == 3
    assert transcript_scores.edit_distance("a" * 500, "a" * 499 + "b") == 1  # longer than any machine word


def test_character_errors_are_counted_for_each_character_of_the_reference():
    assert transcript_scores.character_error_rate("abcd", "abxd") == 0.25
    assert transcript_scores.character_error_rate("", "") == 0
    assert transcript_scores.character_error_rate("", "ab") == 2


def test_the_compression_ratio_of_a_short_text_is_whispers():
    data = TEXT.encode()
    assert transcript_scores.compression_ratio(SENTENCE) == len(data) / len(zlib.compress(data))
    assert transcript_scores.compression_ratio(["thank", "you"] * 40) > 2.4
    assert transcript_scores.compression_ratio([]) is None


def test_a_loop_in_a_long_text_shows_and_length_alone_does_not():
    rng = np.random.default_rng(0)
    long = ["".join(rng.choice(list("abcdefghijklmnop"), 5)) for _ in range(2000)]
    looped = [*long[:900], *["so", "it", "goes"] * 60, *long[900:]]
    assert transcript_scores.compression_ratio(long) < 2 < 2.4 < transcript_scores.compression_ratio(looped)
    assert transcript_scores.repeated_share(long) < 0.05
    assert transcript_scores.repeated_share(looped) > 0.9


def test_repeats_are_n_grams_that_stood_before_whatever_their_case():
    assert transcript_scores.repeated_share(SENTENCE) == 0
    assert transcript_scores.repeated_share(["Go", "on.", "go", "on,", "GO", "ON!", "go", "on"]) == pytest.approx(4 / 6)
    assert transcript_scores.repeated_share(["word"]) == 0
    assert transcript_scores.repeated_share([]) is None


def test_one_bad_passage_shows_in_the_local_score_and_not_in_the_mean():
    scores = [-1.0] * 200 + [-6.0] * 8 + [-1.0] * 200
    assert transcript_scores.local_score(scores) == -6
    assert np.mean(scores) > -1.2
    assert transcript_scores.local_score([-1.0, None, -3.0]) == -2
    assert transcript_scores.local_score([None]) is None


def test_interpolated_words_are_not_aligned():
    assert transcript_scores.aligned_share(["aligned", "interpolated", "given", "aligned"]) == 0.75
    assert transcript_scores.aligned_share([]) is None


# -- word times and sound ------------------------------------------------------------------------------------------

STARTS = np.array([0.5, 0.9, 1.4, 2.4, 3.0, 3.5, 4.4, 4.9])
ENDS = STARTS + 0.4
LETTERS = [5] * len(STARTS)


def spoken(starts=STARTS, ends=ENDS, seconds=6.0):
    """Noise that is loud within the words."""
    sound = np.random.default_rng(1).standard_normal(round(seconds * RATE)).astype(np.float32)
    gain = np.full(len(sound), 0.001, np.float32)
    for start, end in zip(starts, ends, strict=True):
        gain[round(start * RATE) : round(end * RATE)] = 0.2
    return sound * gain


def evidence(starts, ends, sound=None):
    levels = plausibility.FramePower(RATE)
    levels.add(spoken() if sound is None else sound)
    return plausibility.timing_evidence(starts, ends, LETTERS, levels.power())


def test_right_times_are_trusted():
    result = evidence(STARTS, ENDS)
    assert result == pytest.approx((0, -0.2, 0), abs=1e-9)
    assert result.plausibility == 1


@given(st.floats(0.5, 20), st.sampled_from([-1, 1]), st.integers(1, 6))
def test_words_moved_by_half_a_second_or_more_are_doubted(by, sign, first):
    starts, ends = STARTS.copy(), ENDS.copy()
    starts[first:] += sign * by
    ends[first:] += sign * by
    starts = np.maximum.accumulate(np.clip(starts, 0, 6))
    ends = np.maximum(np.maximum.accumulate(np.clip(ends, 0, 6)), starts)
    assert evidence(starts, ends).plausibility < 0.5


def test_a_word_pulled_over_a_gap_and_words_without_room_are_doubted():
    ends = ENDS.copy()
    ends[2] = 2.4
    assert evidence(STARTS, ends).stretched == pytest.approx(0.4)
    assert evidence(STARTS, ends).plausibility < 0.5
    starts, ends = STARTS.copy(), ENDS.copy()
    starts[5:], ends[5:] = 5.9, 5.9
    assert evidence(starts, ends).squeezed == pytest.approx(0.3)
    assert evidence(starts, ends).plausibility < 0.1


def test_words_whose_length_is_not_known_are_not_measured():
    result = plausibility.timing_evidence([0.0, 3.0], [3.0, 3.0], [0, 0], np.zeros(300, np.float32))
    assert result == (0, 0, 0)


def test_a_hum_or_silence_is_no_speech():
    for sound in (np.zeros(RATE * 3), np.sin(np.arange(RATE * 3) / 20), np.zeros(0)):
        levels = plausibility.FramePower(RATE)
        levels.add(sound.astype(np.float32))
        assert not plausibility.speech_frames(levels.power()).any()


def test_the_loudest_passage_is_measured_in_full_scale():
    def level(sound):
        levels = plausibility.FramePower(RATE)
        levels.add(np.asarray(sound, np.float32))
        return plausibility.loudest_level(levels.power())

    square = np.where(np.arange(RATE) % 80 < 40, 1.0, -1.0)
    assert level(square) == pytest.approx(0)
    assert level(square / 1000) == pytest.approx(-60, abs=1e-3)
    assert level(np.concatenate((np.zeros(RATE), 0.1 * square[: RATE // 10], np.zeros(RATE)))) == pytest.approx(-20)
    assert level(square[: RATE // 50]) == pytest.approx(0)  # 20 ms
    assert level(np.zeros(RATE)) == -120
    assert level(np.zeros(10)) is None


@given(st.lists(st.integers(0, 5000), max_size=8))
def test_levels_do_not_depend_on_the_blocks(cuts):
    sound = spoken(seconds=0.7, starts=[0.1], ends=[0.4])
    whole, parts = plausibility.FramePower(RATE), plausibility.FramePower(RATE)
    whole.add(sound)
    start = 0
    for cut in cuts:
        parts.add(sound[start : start + cut])
        start += cut
    parts.add(sound[start:])
    assert np.array_equal(whole.power(), parts.power())
    assert len(whole.power()) == 70
