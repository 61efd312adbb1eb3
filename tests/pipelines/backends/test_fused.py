"""The quick ways through an encoder give what transformers' modules give, and the units that the host would find."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from helpers import tiny_models as tiny

from speechprep.pipelines.backends.extractors.encoder import EncoderExtractor
from speechprep.pipelines.backends.extractors.hubert import HubertExtractor
from speechprep.pipelines.backends.extractors.whisper import WhisperExtractor, log_mel
from speechprep.tokenizers.kmeans.nearest import Centroids

pytestmark = pytest.mark.reference

RATE = 16_000


@pytest.fixture(scope="module")
def make(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Any]:
    """make("hubert", **configuration) -> a loaded extractor of layer 2 on the CPU in fp32."""
    tiny.torch()

    def get(kind: str, layer: int = 2, **config: Any) -> EncoderExtractor:
        folder = tmp_path_factory.mktemp(kind)
        if kind == "whisper":
            made: EncoderExtractor = WhisperExtractor(str(tiny.whisper(folder)), layer, device="cpu")
        else:
            made = HubertExtractor(str(tiny.speech_encoder(folder, kind, **config)), layer, device="cpu")
        made.load()
        return made

    return get


def quick(extractor: EncoderExtractor) -> EncoderExtractor:
    """The same extractor with everything that would run on a GPU, in fp32 on the CPU."""
    extractor._fused, extractor._exact = extractor._fuse(), False
    return extractor


def noise(seconds: float, seed: int = 0) -> np.ndarray:
    made = np.random.default_rng(seed).standard_normal(round(seconds * RATE)) * 0.1 + 0.03
    return made.astype(np.float32)


@pytest.mark.parametrize(
    "config",
    [
        {},
        tiny.LARGE_STYLE,
        {"conv_bias": True},
        {"feat_proj_layer_norm": False},
        {"conv_kernel": (10, 3, 3, 3, 3, 3, 2), "conv_stride": (5, 2, 2, 2, 2, 1, 2)},
    ],
    ids=["base", "large", "biased", "no projection norm", "other kernels"],
)
@pytest.mark.parametrize("layer", [0, 1, 3])
def test_hubert_through_matrix_products_is_the_plain_model(make: Callable, config: dict[str, Any], layer: int) -> None:
    extractor = make("hubert", layer, **config)
    audio = [noise(2.013), noise(0.025, 1), noise(3.3, 2), noise(0.4, 3)]
    wanted = extractor.extract(audio)
    extractor = quick(extractor)
    extractor.batch_seconds = 1e4
    together = extractor.extract(audio)
    extractor.batch_seconds = 0.0
    for a, b, c in zip(wanted, together, extractor.extract(audio), strict=True):
        assert a.shape == b.shape == c.shape
        assert np.abs(a - b).max() < 1e-5 * np.abs(a).max()
        assert np.abs(a - c).max() < 1e-5 * np.abs(a).max()


def test_a_convolution_norm_is_taken_over_the_utterance_alone(make: Callable) -> None:
    """With statistics over the padding, a short utterance beside a long one would be another."""
    extractor = quick(make("hubert"))
    extractor.batch_seconds = 1e4
    alone = extractor.extract([noise(0.5)])[0]
    beside = extractor.extract([noise(0.5), 40 * noise(9.0, 1)])[0]
    assert np.abs(alone - beside).max() < 1e-5 * np.abs(alone).max()


@pytest.mark.parametrize("kind", ["hubert", "whisper"])
def test_silence_is_finite_in_a_batch_and_in_bf16(make: Callable, kind: str) -> None:
    extractor = make(kind)
    extractor.batch_seconds = 1e4
    for frames in extractor.extract([np.zeros(RATE, np.float32), noise(1.5), np.zeros(500, np.float32)]):
        assert np.isfinite(frames).all()
    rounded = type(extractor)(extractor.model, 2, device="cpu", dtype="bf16")
    rounded.load()
    assert np.isfinite(rounded.extract([np.zeros(RATE, np.float32)])[0]).all()


@pytest.mark.parametrize("layer", [0, 2, 3])
def test_whisper_through_fused_layers_is_the_plain_model(make: Callable, layer: int) -> None:
    extractor = make("whisper", layer)
    wanted = extractor.extract([noise(1.3)])[0]
    assert np.abs(quick(extractor).extract([noise(1.3)])[0] - wanted).max() < 1e-5 * np.abs(wanted).max()


@pytest.mark.parametrize("kind", ["hubert", "whisper"])
def test_bf16_stays_near_whatever_its_company(make: Callable, kind: str) -> None:
    exact = make(kind)
    rounded = type(exact)(exact.model, 2, device="cpu", dtype="bf16", batch_seconds=1e4)
    rounded.load()
    audio = [noise(1.3), noise(0.7, 1), noise(2.9, 2)]
    for a, b in zip(exact.extract(audio), rounded.extract(audio), strict=True):
        assert 0 < np.abs(a - b).max() < 0.05 * np.abs(a).max()


def test_the_mel_made_on_a_device_is_that_of_transformers(make: Callable) -> None:
    tools = make("whisper")._mel
    audio = [noise(1.3), noise(29.9, 1), np.zeros(4000, np.float32)]
    padded = np.zeros((3, max(map(len, audio))), np.float32)
    for row, sound in zip(padded, audio, strict=True):
        row[: len(sound)] = sound
    found = log_mel(tiny.torch().from_numpy(padded), tools.mel_filters, tools.n_samples).numpy()
    for sound, mel in zip(audio, found, strict=True):
        wanted = tools(sound, sampling_rate=RATE, return_tensors="np").input_features[0]
        assert mel.shape == wanted.shape
        assert np.abs(mel - wanted).max() < 1e-4


def test_units_on_a_device_are_those_of_the_host() -> None:
    from speechprep.pipelines.backends.extractors.device_units import UNDECIDED, DeviceCentroids

    torch = tiny.torch()
    rng = np.random.default_rng(0)
    centroids = rng.standard_normal((60, 24)).astype(np.float32)
    centroids[50:] = centroids[:10]  # equals: the lowest number wins
    centroids[40:50] = centroids[30:40] * np.float32(1 + 1e-6)  # and some hardly unlike
    frames = rng.standard_normal((3, 400, 24)).astype(np.float32)
    frames[0, :60] = centroids
    frames[1, :30] = (centroids[:30] + centroids[30:]) / 2  # between two
    frames += 100  # far from zero, where products in float32 cannot tell the near ones apart
    book = Centroids(centroids + 100)
    on_device = DeviceCentroids(book, torch.device("cpu"))
    found = on_device.decided(torch.from_numpy(frames)).numpy()
    quick = on_device(torch.from_numpy(frames)).numpy()
    assert np.array_equal(quick[quick != UNDECIDED], found[quick != UNDECIDED])
    for mine, theirs in zip(found, frames, strict=True):
        assert np.array_equal(mine, book.assign(theirs))
    assert found.max() < 50


@pytest.mark.parametrize("kind", ["hubert", "whisper"])
def test_units_are_the_nearest_centroids_of_the_frames(make: Callable, kind: str) -> None:
    extractor = make(kind)
    audio = [noise(1.3), noise(0.7, 1), noise(2.9, 2)]
    frames = extractor.extract(audio)
    book = Centroids(np.ascontiguousarray(np.concatenate(frames)[::5]))
    wanted = [book.assign(own) for own in frames]
    assert all(np.array_equal(a, b) for a, b in zip(extractor.units(audio, book), wanted, strict=True))
    streamed = np.concatenate(list(extractor.units_stream(iter(np.array_split(audio[2], 7)), book)))
    assert np.array_equal(streamed, wanted[2])
    assert streamed.dtype == book.dtype


def test_a_stream_in_batches_of_windows_has_the_frames_of_the_whole(make: Callable) -> None:
    extractor = HubertExtractor(make("hubert").model, 2, device="cpu", window=1.0, overlap=0.2, batch_seconds=3.5)
    extractor.load()
    audio = noise(9.7)
    streamed = np.concatenate(list(extractor.extract_stream(np.array_split(audio, 31))))
    assert len(streamed) == extractor.grid.num_frames(len(audio))
    extractor.batch_seconds = 0.0
    assert np.abs(streamed - extractor.extract([audio])[0]).max() < 1e-5 * np.abs(streamed).max()
