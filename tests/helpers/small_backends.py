"""Every registered backend, made small: options, and one other value for each option that is part of the identity."""

from __future__ import annotations

import atexit
import shutil
import tempfile
from collections.abc import Callable
from functools import cache, partial
from pathlib import Path
from typing import Any

import pytest
from helpers import ctc_models, tiny_clap
from helpers import tiny_models as tiny

from speechprep import registry
from speechprep.errors import MissingBackend

Table = dict[str, tuple[dict[str, Any], list[dict[str, Any]]]]


def ctc(folder: Path, seed: int = 0) -> Path:
    return ctc_models.ctc_folder(folder, seed=seed, normalise=False)


def whisper(folder: Path, **sizes: Any) -> Path:
    return ctc_models.whisper_folder(folder / "ct2", folder / "work", **sizes)


# Functions stand for the model folders that they write.
SMALL: dict[str, Table] = {
    "recognisers": {
        "whisper": (
            {"model": whisper, "language": "en", "beam_size": 1, "piece": 90.0},
            [
                {"model": partial(whisper, encoder_layers=2)},
                {"language": "de"},
                {"vad": "pyannote"},
                {"vad_onset": 0.6},
                {"batch_size": 3},
                {"beam_size": 2},
                {"temperatures": [0, 0.5]},
                {"condition_on_previous_text": True},
                {"max_no_speech": 0.5},
                {"min_log_probability": -2.0},
                {"compute_type": "int8"},
                {"device": "cuda"},
                {"piece": 100.0},
            ],
        ),
        "plain": ({}, [{"word": "hum"}]),
    },
    "aligners": {
        "pocketsphinx": ({}, [{"window": 20}, {"offset": 0.0}, {"denoise": "never"}]),
        "ctc": (
            {"model": ctc},
            [
                {"model": partial(ctc, seed=1)},
                {"language": "de"},
                {"window": 20.0},
                {"overlap": 1.0},
                {"device": "cuda"},
            ],
        ),
        "whisperx": (
            {"whisper": whisper, "align_model": ctc, "language": "en", "beam_size": 1, "piece": 90.0},
            [
                {"whisper": partial(whisper, encoder_layers=2)},
                {"align_model": partial(ctc, seed=1)},
                {"language": "de"},
                {"mode": "whisperx"},
                {"vad": "pyannote"},
                {"vad_onset": 0.6},
                {"batch_size": 3},
                {"beam_size": 2},
                {"compute_type": "int8"},
                {"piece": 100.0},
            ],
        ),
        "whisper": (
            {"model": whisper, "language": "en"},
            [
                {"model": partial(whisper, encoder_layers=2)},
                {"language": "de"},
                {"compute_type": "int8"},
                {"device": "cuda"},
            ],
        ),
        "plain": ({}, [{"gain": 2.0}]),
    },
    "extractors": {
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
            {"model": tiny.whisper, "layer": 3, "device": "cpu"},
            [
                {"model": partial(tiny.whisper, seed=1)},
                {"layer": 1},
                {"final_norm": False},
                {"truncate": True},
                {"dtype": "bf16"},
                {"overlap": 1.0},
            ],
        ),
        "plain": ({}, [{"scale": 2.0}]),
    },
    "embedders": {
        "caption": ({}, [{"dim": 256}]),
        "clap": (
            {"model": tiny_clap.folder, "device": "cpu"},
            [{"model": partial(tiny_clap.folder, seed=1)}, {"hop": 5.0}, {"batch": 2}],
        ),
        "plain": ({}, [{"dim": 30}]),
    },
    "image_codecs": {
        "dvae": (
            {"model": tiny.image_codebook, "size": 48, "device": "cpu"},
            [{"model": partial(tiny.image_codebook, seed=1)}, {"size": 56}, {"fit": "crop"}, {"batch": 2}],
        ),
        "plain": ({}, [{"scale": 2}]),
    },
    "quantizers": {
        "kmeans": ({}, [{"iterations": 3}, {"restarts": 2}, {"init": "kmeans++"}, {"progressive": False}]),
        "plain": ({}, [{"skip": 1}]),
    },
}
PLAIN = {  # family -> a backend of another package, with the required methods only
    "recognisers": "helpers.plain_backends:PlainRecogniser",
    "aligners": "helpers.plain_backends:PlainAligner",
    "extractors": "helpers.plain_backends:PlainExtractor",
    "embedders": "helpers.plain_backends:PlainEmbedder",
    "image_codecs": "helpers.toy_codec:ToyCodec",
    "quantizers": "helpers.plain_backends:PlainQuantizer",
}


@cache
def folder_of(build: Callable[[Path], Path]) -> Path:
    """The folder that a builder fills; one for each builder of the tables."""
    folder = Path(tempfile.mkdtemp(prefix="speechprep-model-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return build(folder)


def ready(options: dict[str, Any]) -> dict[str, Any]:
    """Options with the folders in place of the builders; the test skips where a builder needs an absent package."""
    return {key: str(folder_of(value)) if callable(value) else value for key, value in options.items()}


def unloaded(family: str, name: str, **changes: Any) -> Any:
    """A small backend, made by the registry."""
    return registry.make(family, name, ready({**SMALL[family][name][0], **changes}))


def loaded(family: str, name: str, **changes: Any) -> Any:
    """The same, loaded; the test skips where a package is absent."""
    backend = unloaded(family, name, **changes)
    try:
        backend.check()
        backend.load()
    except MissingBackend as error:
        pytest.skip(str(error))
    return backend
