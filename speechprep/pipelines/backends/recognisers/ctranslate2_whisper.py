"""Whisper from a folder in the format of CTranslate2, through faster-whisper."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from speechprep.errors import ConfigError, MissingBackend, first_line
from speechprep.pipelines.backends import Language
from speechprep.pipelines.backends.model_files import PREPROCESSOR, require
from speechprep.pipelines.backends.recognisers.voice_activity import CHUNK, RATE
from speechprep.pipelines.backends.recognisers.whisper_model import (
    HOP,
    MEL_FRAMES,
    SAMPLES,
    Decoded,
    Samples,
    TimedPiece,
    WhisperModel,
)
from speechprep.pipelines.backends.whisper.ct2_folder import MODEL, Ct2Folder
from speechprep.pipelines.backends.whisper.forms import FORMS, VOCABULARY, open_weights

FILES = (("model.bin",), ("config.json",), ("tokenizer.json",), VOCABULARY)
COMPUTE_TYPES = (
    "default", "auto", "float32", "float16", "bfloat16", "int16",
    "int8", "int8_float32", "int8_float16", "int8_bfloat16",
)  # fmt: skip
MAX_TOKENS = 448  # of the decoder of Whisper, including the prompt


class Ctranslate2Whisper(WhisperModel):
    """A folder in the format of CTranslate2, or a name of faster-whisper; the texts equal those of WhisperX."""

    packages: ClassVar[Mapping[str, str]] = dict.fromkeys(("whisperx", "faster_whisper", "ctranslate2"), "whisperx")
    distributions = ("whisperx", "faster-whisper", "ctranslate2")
    _sampler: Any = None

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
            raise MissingBackend.package("a Whisper model", "faster-whisper", "whisperx")
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
            from faster_whisper import WhisperModel as Model
        except ImportError:
            raise MissingBackend.package("a Whisper model", "faster-whisper", "whisperx") from None
        try:
            return Model(str(folder), device=self.device, compute_type=self.compute_type, cpu_threads=self.threads)
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

    def _decoded(self, features: Any, language: str, previous: str) -> list[Decoded]:
        return self._searched(self._model.model, features, language, previous, beam_size=self.decoding.beam_size)

    def _sampled(self, features: Any, i: int, language: str, previous: str, temperature: float) -> Decoded:
        from ctranslate2 import StorageView, set_random_seed

        if self._sampler is None:
            # A thread of CTranslate2 takes the seed once, when it starts. New threads need another copy of the model.
            set_random_seed(0)
            self._sampler = self._read().model
        one = StorageView.from_array(np.asarray(features.to_device(_cpu()))[i : i + 1].copy())
        result = self._searched(
            self._sampler, one, language, previous,
            beam_size=1, num_hypotheses=SAMPLES, sampling_topk=0, sampling_temperature=temperature,
        )[0]  # fmt: skip
        return result._replace(temperature=temperature)

    def _forget_sampler(self) -> None:
        self._sampler = None

    def _attended(self, chunk: Samples, text: str, language: str, most: int) -> list[TimedPiece] | None:
        whole, tokenizer = self._model, self._tokenizer(language)
        ids = tokenizer.encode(text)
        if len(ids) > most:
            return None
        frames = min(len(chunk) // HOP, MEL_FRAMES)
        words = whole.find_alignment(tokenizer, [ids], self._encoded([chunk]), frames)[0]
        return [
            TimedPiece(word["word"], float(word["start"]), float(word["end"]), float(word["probability"]))
            for word in words
        ]

    def _tokenizer(self, language: str) -> Any:
        from faster_whisper.tokenizer import Tokenizer

        model = self._model
        return Tokenizer(model.hf_tokenizer, model.model.is_multilingual, task="transcribe", language=language)

    def _searched(self, model: Any, features: Any, language: str, previous: str, **search: Any) -> list[Decoded]:
        """The best text of each chunk of a batch."""
        whole, tokenizer = self._model, self._tokenizer(language)
        before = tokenizer.encode(" " + previous.strip()) if previous.strip() else []
        prompt = whole.get_prompt(tokenizer, before, without_timestamps=True)
        results = model.generate(
            features, [prompt] * features.shape[0], max_length=MAX_TOKENS, return_scores=True,
            return_no_speech_prob=True, **search,
        )  # fmt: skip
        return [
            Decoded(
                whole.hf_tokenizer.decode([token for token in result.sequences_ids[0] if token < tokenizer.eot]),
                result.no_speech_prob,
                # CTranslate2 divides the sum by the number of tokens without the end token.
                result.scores[0] * len(result.sequences_ids[0]) / (len(result.sequences_ids[0]) + 1),
            )
            for result in results
        ]


def _cpu() -> Any:
    from ctranslate2 import Device

    return Device.cpu
