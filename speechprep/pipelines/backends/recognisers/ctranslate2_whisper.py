"""Whisper from a folder in the format of CTranslate2, through faster-whisper."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from speechprep.errors import ConfigError, MissingBackend, first_line
from speechprep.pipelines.backends.model_files import PREPROCESSOR, require
from speechprep.pipelines.backends.recognisers.voice_activity import CHUNK, RATE
from speechprep.pipelines.backends.recognisers.whisper import Language, Samples, WhisperRecogniser
from speechprep.pipelines.backends.whisper.ct2_folder import MODEL, Ct2Folder
from speechprep.pipelines.backends.whisper.forms import FORMS, VOCABULARY, open_weights

FILES = (("model.bin",), ("config.json",), ("tokenizer.json",), VOCABULARY)
COMPUTE_TYPES = (
    "default", "auto", "float32", "float16", "bfloat16", "int16",
    "int8", "int8_float32", "int8_float16", "int8_bfloat16",
)  # fmt: skip
MAX_TOKENS = 448  # of the decoder of Whisper, including the prompt


class Ctranslate2Whisper(WhisperRecogniser):
    """A folder in the format of CTranslate2, or a name of faster-whisper; the texts equal those of WhisperX."""

    packages: ClassVar[Mapping[str, str]] = dict.fromkeys(("whisperx", "faster_whisper", "ctranslate2"), "whisperx")
    distributions = ("whisperx", "faster-whisper", "ctranslate2")

    def check(self, label: str) -> None:
        """Check packages, precision and a local folder; `load` resolves a name.

        Raises:
            MissingBackend: a package, the folder or one of its files is absent.
            ConfigError: CTranslate2 lacks this precision.
        """
        super().check(label)
        if self.compute_type not in COMPUTE_TYPES:
            raise ConfigError(f"{label}: compute_type = {self.compute_type!r}; choose {', '.join(COMPUTE_TYPES)}")
        local = Path(self.name).expanduser()
        if local.exists():
            self.files()
        elif local.is_absolute() or self.name.startswith((".", "~")):
            raise MissingBackend(f"there is no Whisper model {self.name}; give {', '.join(FORMS.values())}")

    def files(self) -> list[Path]:
        """Files of the model; for a missing tokenizer the library would use the network.

        The folders of faster-whisper up to large-v2 have no `preprocessor_config.json`, and none is needed.
        """
        folder = self._folder()
        files = require(folder, *FILES)
        return files + [file for file in (folder / PREPROCESSOR,) if file.is_file()]

    def vocabulary(self) -> int | None:
        """Number of token ids, from the header of `model.bin`; None before a download."""
        if not Path(self.name).expanduser().is_dir():
            return None
        return Ct2Folder(self._folder()).sizes.vocabulary

    def _folder(self) -> Path:
        """Local folder of the model; a name is downloaded if it is absent."""
        folder = Path(self.name).expanduser()
        if folder.exists():
            return open_weights(folder).path
        if find_spec("faster_whisper") is None:
            raise MissingBackend.package("aligner 'whisperx'", "faster-whisper", "whisperx")
        from faster_whisper.utils import download_model

        try:
            folder = Path(download_model(self.name))
        except (OSError, ValueError) as error:
            reason = first_line(error)[:120]
            raise MissingBackend(
                f"the Whisper model {self.name!r} is no folder and could not be fetched ({reason}); give the path of a "
                "folder in CTranslate2's format, or of a .pt of openai-whisper"
            ) from None
        if not (folder / MODEL).is_file():
            raise ConfigError(
                f"the Whisper model {self.name!r} on the hub is not in CTranslate2's format; download it, and give "
                "the path of its folder"
            )
        return folder

    def _read(self) -> Any:
        folder = self.files()[0].parent
        try:
            from faster_whisper import WhisperModel
        except ImportError:
            raise MissingBackend.package("aligner 'whisperx'", "faster-whisper", "whisperx") from None
        try:
            return WhisperModel(
                str(folder), device=self.device, compute_type=self.compute_type, cpu_threads=self.threads
            )
        except (RuntimeError, ValueError) as error:
            reason = first_line(error)[:160]
            raise ConfigError(f"the Whisper model in {folder} cannot be read ({reason})") from None

    def _encoded(self, chunks: Sequence[Samples]) -> Any:
        from whisperx.audio import log_mel_spectrogram

        mels = int(self._model.model.n_mels)
        spectra = [log_mel_spectrogram(chunk, mels, padding=CHUNK * RATE - len(chunk)).numpy() for chunk in chunks]
        if self.device != "cpu":
            return self._model.encode(np.stack(spectra))
        from ctranslate2 import StorageView

        # One by one on a CPU: a batch takes more memory and saves no time.
        parts = [np.asarray(self._model.encode(mel[None])) for mel in spectra]
        return StorageView.from_array(np.concatenate(parts))

    def _language(self, features: Any) -> Language:
        if not self._model.model.is_multilingual:
            return Language("en", None)
        token, probability = self._model.model.detect_language(features)[0][0]
        return Language(token[2:-2], float(probability))

    def _decoded(self, features: Any, language: str) -> list[str]:
        from faster_whisper.tokenizer import Tokenizer

        model = self._model
        tokenizer = Tokenizer(model.hf_tokenizer, model.model.is_multilingual, task="transcribe", language=language)
        prompt = model.get_prompt(tokenizer, [], without_timestamps=True)
        results = model.model.generate(
            features, [prompt] * features.shape[0], beam_size=self.beam_size, max_length=MAX_TOKENS
        )
        texts = [[token for token in result.sequences_ids[0] if token < tokenizer.eot] for result in results]
        decoded: list[str] = model.hf_tokenizer.decode_batch(texts)
        return decoded
