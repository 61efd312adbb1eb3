"""Whisper from a `.pt` file or a transformers folder, through the openai-whisper package.

The package decodes with its own published tokenizer, so the model must have a published vocabulary. No code in a file
is executed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

from speechprep.errors import ConfigError, MissingBackend
from speechprep.pipelines.backends import Language
from speechprep.pipelines.backends.recognisers.voice_activity import CHUNK, RATE
from speechprep.pipelines.backends.recognisers.whisper_model import (
    HOP,
    MEL_FRAMES,
    SAMPLES,
    Decoded,
    Decoding,
    Samples,
    TimedPiece,
    WhisperModel,
)
from speechprep.pipelines.backends.whisper.forms import open_weights, refused
from speechprep.pipelines.backends.whisper.openai_file import dims_of, fits_openai, name_in_openai
from speechprep.pipelines.backends.whisper.sizes import VOCABULARIES
from speechprep.pipelines.backends.whisper.transformers_folder import TransformersFolder
from speechprep.pipelines.backends.whisper.weights import WhisperWeights


class OpenaiWhisper(WhisperModel):
    """A `.pt` file as downloaded by openai-whisper, or a transformers folder."""

    packages: ClassVar[Mapping[str, str]] = {"whisper": "whisperx", "faster_whisper": "whisperx"}
    distributions = ("openai-whisper", "faster-whisper")

    def __init__(
        self, model: str, device: str, compute_type: str, decoding: Decoding, batch_size: int, threads: int
    ) -> None:
        super().__init__(model, device, compute_type, decoding, batch_size, threads)
        half = device != "cpu"
        if compute_type not in (("float32", "float16") if half else ("float32",)):
            raise ConfigError(
                f"compute_type = {compute_type!r}: {model} runs in float32{' or float16' * half} on {device}; for "
                f"others convert it: speechprep models convert {model} {Path(model).stem}-ct2 --to ct2"
            )

    @cached_property
    def weights(self) -> WhisperWeights:
        """The weights of the model."""
        file = Path(self.name).expanduser()
        if not file.exists():
            raise MissingBackend(f"there is no file {file}; give the path of a .pt of openai-whisper")
        weights = open_weights(file)
        if weights.form == "ct2":
            raise refused("openai-whisper", weights, "openai")
        return weights

    def files(self) -> list[Path]:
        """The `.pt` file; or the configuration and the weights of the folder."""
        return self.weights.files

    def vocabulary(self) -> int | None:
        """Number of token ids; a `.pt` file is read by torch."""
        return self.weights.sizes.vocabulary

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
        weights = self.weights
        try:
            import torch
            from whisper.model import ModelDimensions, Whisper
        except ImportError:
            raise MissingBackend.package(f"the model {weights.path}", "openai-whisper", "whisperx") from None
        import whisper

        sizes = weights.sizes
        if sizes.vocabulary not in VOCABULARIES or not fits_openai(sizes):
            raise ConfigError(
                f"{weights.path} has {sizes.vocabulary:,} token ids, an activation or an inner width that "
                f"openai-whisper lacks; convert it: speechprep models convert {weights.path} {weights.path.stem}-ct2 "
                "--to ct2"
            )
        model = Whisper(ModelDimensions(**dims_of(sizes)))
        state = model.state_dict()
        with torch.no_grad():
            for name, shape in {**sizes.encoder(), **sizes.decoder()}.items():
                state[name_in_openai(name)].copy_(torch.from_numpy(weights.tensor(name, shape)))
        self._torch, self._whisper = torch, whisper
        if isinstance(weights, TransformersFolder) and weights.generation.get("alignment_heads"):
            heads = torch.zeros(sizes.decoder_layers, sizes.decoder_heads, dtype=torch.bool)
            heads[tuple(zip(*weights.generation["alignment_heads"], strict=True))] = True
            model.register_buffer("alignment_heads", heads.to_sparse(), persistent=False)
        model = model.to(self.device)
        return (model.half() if self.compute_type == "float16" else model).eval()

    def _encoded(self, chunks: Sequence[Samples]) -> Any:
        spectra = [self._spectrum(chunk) for chunk in chunks]
        with self._computing():
            return self._model.embed_audio(self._torch.stack(spectra).to(self.device, self._dtype()))

    def _spectrum(self, chunk: Samples) -> Any:
        return self._whisper.log_mel_spectrogram(chunk, self._model.dims.n_mels, padding=CHUNK * RATE - len(chunk))

    def _language(self, features: Any) -> Language:
        if not self._model.is_multilingual:
            return Language("en", None)
        with self._computing():
            _, (probabilities, *_) = self._whisper.detect_language(self._model, features[:1])
        code = max(probabilities, key=probabilities.__getitem__)
        return Language(code, float(probabilities[code]))

    def _decoded(self, features: Any, language: str, previous: str) -> list[Decoded]:
        beam = self.decoding.beam_size
        # Beam search works for one recording at a time (version 20250625 does not repeat the features for each beam).
        parts = [features] if beam == 1 else features.split(1)
        search = {"beam_size": beam if beam > 1 else None}  # None: greedy
        return [result for part in parts for result in self._searched(part, language, previous, **search)]

    def _sampled(self, features: Any, i: int, language: str, previous: str, temperature: float) -> Decoded:
        with self._torch.random.fork_rng(devices=[] if self.device == "cpu" else None):
            self._torch.manual_seed(0)
            return self._searched(features[i : i + 1], language, previous, temperature=temperature, best_of=SAMPLES)[0]

    def _attended(self, chunk: Samples, text: str, language: str, most: int) -> list[TimedPiece] | None:
        from whisper.timing import find_alignment
        from whisper.tokenizer import get_tokenizer

        model = self._model
        tokenizer = get_tokenizer(
            model.is_multilingual, num_languages=model.num_languages, language=language, task="transcribe"
        )
        ids = tokenizer.encode(text)
        if len(ids) > most:
            return None
        mel = self._spectrum(chunk).to(self.device, self._dtype())
        with self._computing():
            words = find_alignment(model, tokenizer, ids, mel, min(len(chunk) // HOP, MEL_FRAMES))
        return [TimedPiece(word.word, float(word.start), float(word.end), float(word.probability)) for word in words]

    def _searched(self, features: Any, language: str, previous: str, **search: Any) -> list[Decoded]:
        """The best text of each chunk of a batch."""
        options = self._whisper.DecodingOptions(
            language=language,
            without_timestamps=True,
            prompt=previous.strip() or None,
            **self._suppressed(),
            fp16=self.compute_type == "float16",
            **search,
        )
        with self._computing():
            results = self._model.decode(features, options)
        return [
            Decoded(result.text, result.no_speech_prob, result.avg_logprob, result.temperature) for result in results
        ]

    def _suppressed(self) -> dict[str, Any]:
        """Options for the tokens to suppress, from a transformers folder; a `.pt` has the values of the package."""
        if not isinstance(self.weights, TransformersFolder):
            return {}
        generation = self.weights.generation
        return {
            "suppress_tokens": generation.get("suppress_tokens", "-1"),  # -1: the list of the package
            "suppress_blank": bool(generation.get("begin_suppress_tokens", True)),
        }

    def _dtype(self) -> Any:
        return self._torch.float16 if self.compute_type == "float16" else self._torch.float32

    def _computing(self) -> Any:
        if self.device == "cpu" and self._torch.get_num_threads() != self.threads:
            self._torch.set_num_threads(self.threads)
        return self._torch.inference_mode()
