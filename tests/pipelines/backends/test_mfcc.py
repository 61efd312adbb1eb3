"""The extractor mfcc: equal to its reference, and the same bits however the audio arrives."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from speechprep.errors import BadInput, ConfigError
from speechprep.pipelines.backends.extractors.mfcc import BLOCK, MfccExtractor, delta

WINDOW, STRIDE = 400, 160


def noise(n: int, seed: int = 0) -> np.ndarray:
    return (np.random.default_rng(seed).standard_normal(n) * 0.1).astype(np.float32)


@pytest.fixture(scope="module")
def mfcc() -> MfccExtractor:
    extractor = MfccExtractor()
    extractor.load()
    return extractor


def edge_lengths() -> list[int]:
    """Lengths at which the number of blocks, frames or waiting frames changes."""
    by_frames = [1, 2, 3, 5, 8, 9, BLOCK - 1, BLOCK, BLOCK + 1, BLOCK + 4, BLOCK + 8, 2 * BLOCK, 2 * BLOCK + 5]
    return [WINDOW + (n - 1) * STRIDE + extra for n in by_frames for extra in (0, STRIDE - 1)]


@pytest.mark.parametrize("n", edge_lengths())
def test_the_frame_count_is_that_of_the_grid_at_every_edge(mfcc: MfccExtractor, n: int) -> None:
    frames = mfcc.extract([noise(n)])[0]
    assert frames.shape == (mfcc.grid.num_frames(n), 39)
    assert frames.dtype == np.float32


@settings(max_examples=30)
@given(n=st.integers(WINDOW, 120_000), cuts=st.lists(st.integers(0, 120_000), max_size=12))
def test_audio_in_pieces_gives_the_same_bits_as_whole(n: int, cuts: list[int]) -> None:
    mfcc = MfccExtractor()
    mfcc.load()
    audio = noise(n)
    pieces = np.split(audio, sorted(cut for cut in cuts if cut < n))
    streamed = np.concatenate(list(mfcc.extract_stream(pieces)))
    assert np.array_equal(streamed, mfcc.extract([audio])[0])


@pytest.mark.parametrize("n", edge_lengths())
def test_deltas_across_blocks_are_those_of_the_whole(mfcc: MfccExtractor, n: int) -> None:
    frames = mfcc.extract([noise(n)])[0]
    static = frames[:, :13]
    assert np.array_equal(frames[:, 13:26], delta(static))
    assert np.array_equal(frames[:, 26:], delta(delta(static)))


def test_an_utterance_cut_out_on_a_frame_has_the_cepstra_it_had_in_the_whole(mfcc: MfccExtractor) -> None:
    audio = noise(16_000 * 8)
    whole = mfcc.extract([audio])[0]
    part = mfcc.extract([audio[STRIDE * 101 :]])[0]
    np.testing.assert_allclose(part[:, :13], whole[101:, :13], rtol=0, atol=2e-5)


@pytest.mark.slow
def test_an_hour_in_pieces_is_the_hour_at_once(mfcc: MfccExtractor) -> None:
    audio = np.tile(noise(16_000 * 60 + 77), 60)[: 16_000 * 3600]
    whole = mfcc.extract([audio])[0]
    assert len(whole) == mfcc.grid.num_frames(len(audio)) == 359_998
    streamed = np.concatenate(list(mfcc.extract_stream(np.array_split(audio, 361))))
    assert np.array_equal(whole, streamed)


@pytest.mark.parametrize("n", [0, 1, 399])
def test_less_than_one_window_is_refused_with_its_length(mfcc: MfccExtractor, n: int) -> None:
    with pytest.raises(BadInput, match=f"{n} samples") as caught:
        mfcc.extract([noise(n)])
    assert caught.value.code == "audio_too_short"


def test_digital_silence_gives_finite_frames(mfcc: MfccExtractor) -> None:
    frames = mfcc.extract([np.zeros(16_000, np.float32)])[0]
    assert np.isfinite(frames).all()
    assert np.array_equal(frames[0], frames[-1])


def test_cmvn_gives_mean_zero_and_deviation_one_also_in_pieces() -> None:
    extractor = MfccExtractor(cmvn="utterance")
    extractor.load()
    audio = noise(50_000)
    frames = extractor.extract([audio])[0]
    np.testing.assert_allclose(frames.mean(axis=0), 0, atol=1e-5)
    np.testing.assert_allclose(frames.std(axis=0), 1, atol=1e-5)
    assert np.array_equal(frames, np.concatenate(list(extractor.extract_stream(np.array_split(audio, 7)))))


@pytest.mark.parametrize("deltas", [0, 1])
def test_fewer_deltas_are_the_first_columns(mfcc: MfccExtractor, deltas: int) -> None:
    extractor = MfccExtractor(deltas=deltas)
    extractor.load()
    audio = noise(70_000)
    frames = extractor.extract([audio])[0]
    assert np.array_equal(frames, mfcc.extract([audio])[0][:, : extractor.dim])


@pytest.mark.parametrize("options", [{"cmvn": "speaker"}, {"deltas": 3}])
def test_an_unknown_parameter_value_is_named(options: dict) -> None:
    with pytest.raises(ConfigError, match=str(next(iter(options.values())))):
        MfccExtractor(**options)


@pytest.mark.reference
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("scale", [1.0, 1e-2, 1e-4])
def test_equal_to_torchaudio_as_hubert_used_it(mfcc: MfccExtractor, scale: float) -> None:
    torch = pytest.importorskip("torch")
    torchaudio = pytest.importorskip("torchaudio")
    audio = noise(16_000 * 20) * np.float32(scale)
    audio[:16_000] = 0
    cepstra = torchaudio.compliance.kaldi.mfcc(
        torch.from_numpy(audio)[None], sample_frequency=16_000, use_energy=False
    ).T
    first = torchaudio.functional.compute_deltas(cepstra)
    second = torchaudio.functional.compute_deltas(first)
    reference = torch.cat([cepstra, first, second]).T.numpy()
    np.testing.assert_allclose(mfcc.extract([audio])[0], reference, rtol=0, atol=5e-4)
