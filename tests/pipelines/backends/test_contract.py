"""What every extractor and embedder must hold to. A backend that is registered is tested here."""

from __future__ import annotations

import atexit
import shutil
import tempfile
from collections.abc import Callable
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers import tiny_clap
from helpers import tiny_models as tiny

from speechprep.errors import MissingBackend
from speechprep.registry import names, resolve

# How to make each backend small, and one other value for each parameter. A backend missing here fails its test.
EXTRACTORS: dict[str, tuple[dict[str, Any], list[dict[str, Any]]]] = {
    "mfcc": ({}, [{"cmvn": "utterance"}, {"deltas": 1}]),
    "hubert": (
        {"model": tiny.speech_encoder, "layer": 2, "device": "cpu", "window": 2.0, "overlap": 0.4},
        [
            {"model": partial(tiny.speech_encoder, seed=1)},
            {"layer": 1},
            {"normalize": False},
            {"dtype": "bf16"},
            {"window": 3.0},
            {"overlap": 0.2},
        ],
    ),
    "whisper": (
        {"model": tiny.whisper, "layer": 2, "device": "cpu"},
        [
            {"model": partial(tiny.whisper, seed=1)},
            {"layer": 1},
            {"truncate": True},
            {"dtype": "bf16"},
            {"overlap": 1.0},
        ],
    ),
}
EMBEDDERS: dict[str, tuple[dict[str, Any], list[dict[str, Any]]]] = {
    "caption": ({}, [{"dim": 256}]),
    "clap": (
        {"model": tiny_clap.folder, "device": "cpu"},
        [{"model": partial(tiny_clap.folder, seed=1)}, {"hop": 5.0}, {"batch": 2}],
    ),
}


@cache
def folder_of(build: Callable[[Path], Path]) -> Path:
    """The folder that a builder fills; one for each builder of the tables."""
    folder = Path(tempfile.mkdtemp(prefix="speechprep-model-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return build(folder)


def ready(options: dict[str, Any]) -> dict[str, Any]:
    """Options whose builders of models have given way to what they built; the test skips where they cannot."""
    return {key: str(folder_of(value)) if callable(value) else value for key, value in options.items()}


def make(family: str, name: str, options: dict[str, Any]) -> Any:
    backend = resolve(family, name)(**ready(options))
    try:
        backend.load()
    except MissingBackend as error:
        pytest.skip(str(error))
    return backend


@pytest.fixture(params=sorted(names("extractors")))
def extractor(request: pytest.FixtureRequest) -> Any:
    return make("extractors", request.param, EXTRACTORS[request.param][0])


@pytest.fixture(params=sorted(names("embedders")))
def embedder(request: pytest.FixtureRequest) -> Any:
    return make("embedders", request.param, EMBEDDERS[request.param][0])


def clips(extractor: Any) -> list[np.ndarray]:
    """Mixed lengths: one frame, a little more, odd ones, some seconds; one silent, one loud."""
    rng = np.random.default_rng(7)
    grid = extractor.grid
    lengths = [grid.window, grid.window + grid.stride - 1, 3 * grid.window + 1, 20_011, 48_000, 16_000]
    made = [(rng.standard_normal(n) * 0.1).astype(np.float32) for n in lengths]
    made[-1][:] = 0
    made[-2] = np.clip(made[-2] * 20, -1, 1)
    return made


def test_frames_are_float32_and_as_many_as_the_grid_says(extractor: Any) -> None:
    for audio, frames in zip(clips(extractor), extractor.extract(clips(extractor)), strict=True):
        assert frames.shape == (extractor.grid.num_frames(len(audio)), extractor.dim)
        assert frames.dtype == np.float32
        assert np.isfinite(frames).all()


def test_neighbours_in_a_batch_do_not_change_a_frame(extractor: Any) -> None:
    audio = clips(extractor)
    together = extractor.extract(audio)
    backwards = extractor.extract(audio[::-1])[::-1]
    for alone, first, second in zip((extractor.extract([a])[0] for a in audio), together, backwards, strict=True):
        assert np.array_equal(alone, first)
        assert np.array_equal(alone, second)


def test_a_stream_gives_the_frames_of_the_whole(extractor: Any) -> None:
    if not hasattr(extractor, "extract_stream"):
        pytest.skip("this extractor hears whole utterances only")
    for audio in clips(extractor):
        streamed = np.concatenate(list(extractor.extract_stream(np.array_split(audio, 5))))
        assert np.array_equal(streamed, extractor.extract([audio])[0])


def test_the_audio_given_is_left_as_it_was(extractor: Any) -> None:
    audio = clips(extractor)
    before = [a.copy() for a in audio]
    extractor.extract(audio)
    assert all(np.array_equal(a, b) for a, b in zip(audio, before, strict=True))


@pytest.mark.parametrize("name", sorted(names("extractors")))
def test_two_extractors_made_alike_give_the_same_bits(name: str) -> None:
    first, second = (make("extractors", name, EXTRACTORS[name][0]) for _ in range(2))
    assert first.identity() == second.identity()
    for a, b in zip(first.extract(clips(first)), second.extract(clips(second)), strict=True):
        assert np.array_equal(a, b)


@pytest.mark.parametrize(
    ("family", "name", "change"),
    [
        (family, name, change)
        for family, table in (("extractors", EXTRACTORS), ("embedders", EMBEDDERS))
        for name, (_, changes) in table.items()
        for change in changes
    ],
)
def test_identity_changes_with_every_parameter_and_needs_no_load(
    family: str, name: str, change: dict[str, Any]
) -> None:
    usual = (EXTRACTORS if family == "extractors" else EMBEDDERS)[name][0]
    made = resolve(family, name)
    assert made(**ready(usual)).identity() != made(**ready({**usual, **change})).identity()


def test_texts_become_unit_vectors_that_do_not_depend_on_their_neighbours(embedder: Any) -> None:
    texts = ["a dog barks", "Rain on a tin roof", "", "wind", "a dog barks"]
    together = embedder.embed_text(texts)
    assert together.shape == (5, embedder.dim)
    assert together.dtype == np.float32
    lengths = np.linalg.norm(together, axis=1)
    assert np.allclose(lengths[[0, 1, 3, 4]], 1, atol=1e-5)
    assert lengths[2] == 0 or np.isclose(lengths[2], 1, atol=1e-5)
    for text, vector in zip(texts, together, strict=True):
        assert np.array_equal(embedder.embed_text([text])[0], vector)


def test_sounds_become_unit_vectors_that_do_not_depend_on_their_neighbours(embedder: Any) -> None:
    if not embedder.hears_audio:
        pytest.skip("this embedder reads only")
    rng = np.random.default_rng(7)
    sounds = [(rng.standard_normal(n) * 0.1).astype(np.float32) for n in (embedder.sample_rate * 12, 3, 48_000)]
    together = embedder.embed_audio(sounds)
    for sound, vectors in zip(sounds, together, strict=True):
        assert vectors.shape == (len(embedder.spans(len(sound))), embedder.dim)
        assert vectors.dtype == np.float32
        assert np.allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
        assert np.array_equal(embedder.embed_audio([sound])[0], vectors)
