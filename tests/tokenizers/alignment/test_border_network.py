"""The network over candidates of a border: its inputs, gradients and training."""

from __future__ import annotations

import numpy as np
import pytest

from speechprep.tokenizers.alignment import border_inputs, border_network
from speechprep.tokenizers.alignment.border_inputs import BANDS, FACTS, MARGIN, RATE, REACH, STEP, STRIDE
from speechprep.tokenizers.alignment.border_network import CANDIDATES, CONTEXT
from speechprep.tokenizers.alignment.boundary_offsets import TimedWord

FRAMES = 2 * (REACH + MARGIN) + 1
CAT, SAT = ("K", "AE", "T"), ("S", "AE", "T")


def examples(count, seed=0):
    random = np.random.default_rng(seed)
    return random.normal(size=(count, FRAMES, BANDS)).astype(np.float32), random.normal(size=(count, FACTS)).astype(
        np.float32
    )


@pytest.mark.parametrize("frame", [0, 1, 40, 99])
def test_frame_k_of_the_spectrum_is_centred_on_k_steps(frame):
    audio = np.random.default_rng(0).normal(0, 1e-3, RATE // 2).astype(np.float32)
    audio[frame * STRIDE] += 1
    assert int(border_inputs.spectrum(audio).mean(1).argmax()) == frame


def test_the_spectrum_does_not_depend_on_the_level_or_the_block(monkeypatch):
    audio = np.random.default_rng(1).normal(0, 0.1, RATE).astype(np.float32)
    levels = border_inputs.spectrum(audio)
    assert levels.shape == (1 + RATE // STRIDE, BANDS)
    np.testing.assert_allclose(border_inputs.spectrum(audio / 4), levels, atol=1e-3)
    monkeypatch.setattr(border_inputs, "BLOCK", 7)
    np.testing.assert_array_equal(border_inputs.spectrum(audio), levels)


def test_inputs_have_the_spectrum_around_the_border_and_both_sounds():
    audio = np.random.default_rng(2).normal(0, 0.1, RATE).astype(np.float32)
    levels = border_inputs.spectrum(audio)
    words = [TimedWord(0.3, 0.5, CAT), TimedWord(0.5, 0.7, SAT)]
    (onset, offset), (second, _) = border_inputs.border_inputs(audio, words)
    assert onset.kind == "onset silence stop"
    assert offset.kind == "offset stop fricative"
    assert (offset.grid, offset.time) == (100, 0.5)
    np.testing.assert_array_equal(offset.strip, levels[100 - REACH - MARGIN : 101 + REACH + MARGIN])
    assert onset.strip.shape == offset.strip.shape == (FRAMES, BANDS)
    assert not np.array_equal(offset.facts, second.facts)
    changed = border_inputs.border_inputs(audio, [words[0], TimedWord(0.5, 0.7, ("Z", "AE", "T"))])
    assert not np.array_equal(changed[0][1].facts, offset.facts)
    np.testing.assert_array_equal(changed[0][0].facts, onset.facts)


@pytest.mark.parametrize("length", [0, 1, 100, 5000])
def test_audio_shorter_than_the_context_has_inputs(length):
    pairs = border_inputs.border_inputs(np.zeros(length, np.float32), [TimedWord(0.0, length / RATE, CAT)])
    assert all(np.isfinite(border.strip).all() and border.strip.shape == (FRAMES, BANDS) for border in pairs[0])


def test_windows_are_means_over_the_context_of_each_candidate():
    strips, _ = examples(2)
    found = border_network.windows(strips)
    for row in range(2):
        for candidate in range(CANDIDATES):
            at = MARGIN + candidate
            plain = [strips[row, at + first : at + last + 1].mean(0) for first, last in CONTEXT]
            np.testing.assert_allclose(found[row, candidate], np.concatenate(plain), atol=1e-5)


def test_gradients_are_those_of_finite_differences():
    strips, facts = (array.astype(np.float64) for array in examples(3))
    random = np.random.default_rng(3)
    weights = tuple(random.normal(0, 0.1, shape) for shape in border_network.SHAPES)
    inputs = border_network.windows(strips).astype(np.float64)
    target = border_network.targets(np.array([0.01, -0.03, 0.2])).astype(np.float64)
    kept = (random.random((3, border_network.HIDDEN)) > 0.2) / 0.8

    def loss(changed):
        return -(target * np.log(border_network._forward(changed, inputs, facts, kept)[1])).sum(1).mean()

    found = border_network._gradients(weights, inputs, facts, target, kept)
    for number, shape in enumerate(border_network.SHAPES):
        for _ in range(4):
            at = tuple(int(random.integers(size)) for size in shape)
            losses = []
            for step in (1e-5, -1e-5):
                changed = [array.copy() for array in weights]
                changed[number][at] += step
                losses.append(loss(tuple(changed)))
            assert found[number][at] == pytest.approx((losses[0] - losses[1]) / 2e-5, rel=1e-3, abs=1e-7)


def test_the_target_is_centred_on_the_true_border_and_stays_in_reach():
    found = border_network.targets(np.array([0.0, 0.035, 1.0, -1.0]))
    np.testing.assert_allclose(found.sum(1), 1, rtol=1e-5)
    assert (found.argmax(1) - REACH).tolist() == [0, round(0.035 / STEP), REACH, -REACH]


def test_training_depends_on_the_seed_only_and_weights_survive_packing():
    strips, facts = examples(5)
    moves = np.linspace(-0.05, 0.05, 5)
    first, again, other = (border_network.trained(strips, facts, moves, 5, seed) for seed in (0, 0, 1))
    assert border_network.packed(first).tobytes() == border_network.packed(again).tobytes()
    assert border_network.packed(first).tobytes() != border_network.packed(other).tobytes()
    for array, restored in zip(first, border_network.unpacked(border_network.packed(first)), strict=True):
        np.testing.assert_array_equal(array, restored)
