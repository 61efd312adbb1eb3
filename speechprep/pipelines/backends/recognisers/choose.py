"""The library for a Whisper model, chosen by the form of the model."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from speechprep.pipelines.backends.recognisers.ctranslate2_whisper import Ctranslate2Whisper
from speechprep.pipelines.backends.recognisers.openai_whisper import OpenaiWhisper
from speechprep.pipelines.backends.recognisers.whisper_model import WhisperModel
from speechprep.pipelines.backends.whisper.forms import form_of


def whisper_model(model: str, *options: Any) -> WhisperModel:
    """The unloaded model of a folder, file or name; `options` as in `WhisperModel`."""
    if model.endswith(".pt") or form_of(Path(model).expanduser()) == "transformers":
        return OpenaiWhisper(model, *options)
    return Ctranslate2Whisper(model, *options)
