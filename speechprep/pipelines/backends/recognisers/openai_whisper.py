"""Whisper from a checkpoint of openai-whisper (`.pt`), through its package. No code in the file is executed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

from speechprep.errors import ConfigError, MissingBackend, first_line
from speechprep.pipelines.backends.recognisers.voice_activity import CHUNK, RATE
from speechprep.pipelines.backends.recognisers.whisper import Language, Samples, WhisperRecogniser


class OpenaiWhisper(WhisperRecogniser):
    """A checkpoint with `dims` and `model_state_dict`, as downloaded by openai-whisper."""

    packages: ClassVar[Mapping[str, str]] = {"whisper": "whisperx", "faster_whisper": "whisperx"}
    distributions = ("openai-whisper", "faster-whisper")

    def __init__(self, model: str, device: str, compute_type: str, *options: int) -> None:
        super().__init__(model, device, compute_type, *options)
        half = device != "cpu"
        if compute_type not in (("float32", "float16") if half else ("float32",)):
            raise ConfigError(
                f"compute_type = {compute_type!r}: a .pt of openai-whisper runs in float32{' or float16' * half} on "
                f"{device}; convert it with ct2-transformers-converter for others"
            )

    def files(self) -> list[Path]:
        """The checkpoint."""
        file = Path(self.name).expanduser()
        if not file.is_file():
            raise MissingBackend(f"there is no file {file}; give the path of a .pt of openai-whisper")
        return [file]

    def check(self, label: str) -> None:
        """Check the packages and the file."""
        super().check(label)
        self.files()

    def _read(self) -> Any:
        """The model in evaluation mode.

        Raises:
            MissingBackend: a package is not installed.
            ConfigError: the file is damaged, or not a checkpoint of openai-whisper.
        """
        file = self.files()[0]
        try:
            import torch
            import whisper
        except ImportError:
            raise MissingBackend.package(f"the model {file}", "openai-whisper", "whisperx") from None
        from pickle import UnpicklingError

        try:  # `load_model` reads with weights_only
            model = whisper.load_model(str(file), device=self.device)
        except UnpicklingError as error:
            raise ConfigError(
                f"{file} is damaged, or no checkpoint of weights alone ({first_line(error)[:160]}); download it again"
            ) from None
        except (OSError, EOFError, RuntimeError, KeyError, TypeError, ValueError, AttributeError, IndexError) as error:
            raise ConfigError(
                f"{file} cannot be read as a checkpoint of openai-whisper ({first_line(error)[:160]})"
            ) from None
        if self.compute_type == "float16":
            model = model.half()
        self._torch, self._whisper = torch, whisper
        return model.eval()

    def _encoded(self, chunks: Sequence[Samples]) -> Any:
        spectra = [
            self._whisper.log_mel_spectrogram(chunk, self._model.dims.n_mels, padding=CHUNK * RATE - len(chunk))
            for chunk in chunks
        ]
        with self._computing():
            return self._model.embed_audio(self._torch.stack(spectra).to(self.device, self._dtype()))

    def _language(self, features: Any) -> Language:
        if not self._model.is_multilingual:
            return Language("en", None)
        with self._computing():
            _, (probabilities, *_) = self._whisper.detect_language(self._model, features[:1])
        code = max(probabilities, key=probabilities.__getitem__)
        return Language(code, float(probabilities[code]))

    def _decoded(self, features: Any, language: str) -> list[str]:
        options = self._whisper.DecodingOptions(
            language=language,
            beam_size=self.beam_size if self.beam_size > 1 else None,  # None: greedy
            without_timestamps=True,
            fp16=self.compute_type == "float16",
        )
        # Beam search works for one recording at a time (version 20250625 does not repeat the features for each beam).
        parts = [features] if options.beam_size is None else features.split(1)
        with self._computing():
            return [result.text for part in parts for result in self._model.decode(part, options)]

    def _dtype(self) -> Any:
        return self._torch.float16 if self.compute_type == "float16" else self._torch.float32

    def _computing(self) -> Any:
        if self.device == "cpu" and self._torch.get_num_threads() != self.threads:
            self._torch.set_num_threads(self.threads)
        return self._torch.inference_mode()
