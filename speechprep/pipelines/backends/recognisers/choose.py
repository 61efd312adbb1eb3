"""The recogniser of a Whisper model, chosen by the form of the model."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from speechprep.pipelines.backends.recognisers.ctranslate2_whisper import Ctranslate2Whisper
from speechprep.pipelines.backends.recognisers.openai_whisper import OpenaiWhisper
from speechprep.pipelines.backends.recognisers.whisper import WhisperRecogniser
from speechprep.pipelines.backends.whisper.forms import form_of


def recogniser(model: str, *options: Any) -> WhisperRecogniser:
    """The unloaded recogniser of a model; `options` as in `Recogniser`."""
    if model.endswith(".pt") or form_of(Path(model).expanduser()) == "transformers":
        return OpenaiWhisper(model, *options)
    return Ctranslate2Whisper(model, *options)
