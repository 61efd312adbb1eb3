"""whisper: the encoder frames of the plain transformers model, of the utterance alone, and nothing run in vain."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from helpers import tiny_models as tiny

from speechprep.errors import BadInput, ConfigError, MissingBackend
from speechprep.pipelines.backends.extractors.whisper import WhisperExtractor
from speechprep.pipelines.stages import pool
from speechprep.tokenizers.kmeans.nearest import Centroids

pytestmark = pytest.mark.reference

RATE = 16_000
LONG = 30 * RATE


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    tiny.torch()
    return tiny.whisper(tmp_path_factory.mktemp("whisper"))


def loaded(folder: Path, layer: int = 2, **options: Any) -> WhisperExtractor:
    extractor = WhisperExtractor(str(folder), layer, device="cpu", **options)
    extractor.load()
    return extractor


def plain(folder: Path, audio: np.ndarray) -> list[np.ndarray]:
    """All hidden states of the plain transformers encoder, each (1500, dim)."""
    import transformers

    encoder = transformers.WhisperModel.from_pretrained(folder).eval().encoder
    heard = transformers.AutoFeatureExtractor.from_pretrained(folder)(audio, sampling_rate=RATE, return_tensors="pt")
    with tiny.torch().inference_mode():
        return [h[0].numpy() for h in encoder(heard.input_features, output_hidden_states=True).hidden_states]


def noise(n: int, seed: int = 0) -> np.ndarray:
    return (np.random.default_rng(seed).standard_normal(n) * 0.1).astype(np.float32)


def test_every_layer_is_bit_for_bit_that_of_the_plain_model(model: Path) -> None:
    audio = noise(20_011)
    tiny.torch().set_num_threads(1)
    for layer, wanted in enumerate(plain(model, audio)):
        assert np.array_equal(loaded(model, layer).extract([audio])[0], wanted[:63]), f"layer {layer}"


def test_layers_above_and_the_decoder_are_not_read(model: Path) -> None:
    assert len(loaded(model, 1)._module.layers) == 1


@pytest.mark.parametrize(("n", "frames"), [(1, 1), (320, 1), (321, 2), (LONG - 1, 1500), (LONG, 1500)])
def test_an_utterance_has_the_frames_that_its_own_samples_reach(model: Path, n: int, frames: int) -> None:
    extractor = loaded(model, 1)
    assert extractor.extract([noise(n)])[0].shape == (frames, 32) == (extractor.grid.num_frames(n), extractor.dim)


def test_no_unit_depends_on_the_batch_or_the_order(model: Path) -> None:
    rng = np.random.default_rng(3)
    audio = [noise(int(n), i) for i, n in enumerate(rng.integers(300, 4 * RATE, 12))]
    alone = loaded(model).extract(audio)
    everything = np.concatenate(alone)
    centroids = Centroids(everything[rng.permutation(len(everything))[:100]].copy())
    together = loaded(model, batch_seconds=1e4)
    for size in (1, 5, 12):
        order = rng.permutation(len(audio))
        for start in range(0, len(order), size):
            picked = order[start : start + size]
            for i, frames in zip(picked, together.extract([audio[i] for i in picked]), strict=True):
                assert np.array_equal(centroids.assign(frames), centroids.assign(alone[i]))


def test_long_audio_has_all_its_frames_and_a_stream_gives_the_same(model: Path) -> None:
    extractor = loaded(model, 1)
    audio = noise(2 * LONG + 7 * RATE + 123)
    whole = extractor.extract([audio])[0]
    assert len(whole) == extractor.grid.num_frames(len(audio)) == 3351
    assert np.array_equal(np.concatenate(list(extractor.extract_stream(np.array_split(audio, 41)))), whole)
    # The overlap rule: the first window gives its frames up to the middle of the overlap of 2 s.
    assert np.array_equal(whole[:1450], extractor.extract([audio[:LONG]])[0][:1450])
    # The last window ends with the audio.
    tail = extractor.extract([audio[(3351 - 1500) * 320 :]])[0]
    assert np.array_equal(whole[-500:], tail[-500:])


def test_truncate_runs_over_the_own_frames_and_is_another_extractor(model: Path) -> None:
    short = loaded(model, truncate=True)
    assert short.identity() != loaded(model).identity()
    audio = [noise(20_011), noise(20_011, 1), noise(333)]
    frames = short.extract(audio)
    assert [len(f) for f in frames] == [63, 63, 2]
    assert not np.allclose(frames[0], loaded(model).extract(audio[:1])[0], atol=1e-4)
    assert np.allclose(frames[0], loaded(model, truncate=True, batch_seconds=1e4).extract(audio)[0], atol=1e-5)
    # A full window has nothing to cut.
    full = noise(LONG)
    assert np.array_equal(short.extract([full])[0], loaded(model).extract([full])[0])


@pytest.mark.parametrize(
    "change", [{"layer": 1}, {"dtype": "bf16"}, {"truncate": True}, {"overlap": 1.0}], ids=lambda c: next(iter(c))
)
def test_identity_tells_apart_whatever_decides_a_frame(model: Path, change: dict[str, Any]) -> None:
    usual = WhisperExtractor(str(model), 2).identity()
    assert WhisperExtractor(str(model), **{"layer": 2, **change}).identity() != usual


def test_padded_frames_come_with_the_number_of_valid_ones(model: Path) -> None:
    extractor, audio = loaded(model, 3), noise(20_011)
    ((frames, n),) = extractor.extract_padded(iter([audio]))
    assert (frames.shape, n) == ((1500, 32), 63)
    assert np.array_equal(frames, plain(model, audio)[3])
    parts = list(extractor.extract_padded(iter([noise(LONG + 320)])))
    assert [len(f) for f, _ in parts] == [n for _, n in parts] == [1450, 51]


def test_pool_has_the_mean_over_the_own_frames_and_over_all_1500(
    model: Path, make_corpus: Callable, run_stage: Callable, talkers: list, tmp_path: Path
) -> None:
    import soundfile

    options = {"extractor": "whisper", "options": {"model": str(model), "layer": 3, "device": "cpu"}}
    folder = run_stage(pool.STAGE, options, {"utterances": make_corpus(talkers[:2])})
    rows = pq.read_table(folder / "part-00000-of-00001.parquet").to_pylist()
    assert len(rows) == 2
    for row in rows:
        audio, _ = soundfile.read(tmp_path / "audio" / f"{row['id']}.wav", dtype="float32")
        frames, n = plain(model, audio)[3], -(-len(audio) // 320)
        assert row["n_valid"] == n
        assert np.allclose(row["mean"], frames[:n].mean(0), atol=1e-5)
        assert np.allclose(row["mean_all"], frames.mean(0), atol=1e-5)
        assert not np.allclose(row["mean"], row["mean_all"], atol=1e-4)


@pytest.mark.parametrize("name", ["config.json", "preprocessor_config.json", "model.safetensors"])
def test_a_missing_file_is_named(model: Path, tmp_path: Path, name: str) -> None:
    folder = shutil.copytree(model, tmp_path / "m")
    (folder / name).unlink()
    with pytest.raises(MissingBackend, match=name.replace(".", r"\.")):
        loaded(folder)


def test_a_layer_that_does_not_exist_is_refused(model: Path) -> None:
    with pytest.raises(ConfigError, match="layer = 4, but the model has 3 layers"):
        WhisperExtractor(str(model), 4).identity()


def test_a_preprocessor_of_another_model_is_refused(model: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(model, tmp_path / "m")
    found = json.loads((folder / "preprocessor_config.json").read_text())
    (folder / "preprocessor_config.json").write_text(json.dumps({**found, "nb_max_frames": 1000}))
    with pytest.raises(ConfigError, match=r"mel frames of .* do not fit the 1500 positions"):
        loaded(folder)


def test_no_audio_is_a_reject(model: Path) -> None:
    with pytest.raises(BadInput, match="0 samples") as caught:
        loaded(model).extract([np.zeros(0, np.float32)])
    assert caught.value.code == "audio_too_short"
