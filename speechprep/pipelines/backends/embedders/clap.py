"""Embedder `clap`: sounds and sentences in one space, by CLAP (Wu et al., arXiv 2211.06687).

The model is transformers' ClapModel with its processor, from a folder or the Hugging Face hub, or a LAION checkpoint
(`.pt`), which is converted weight by weight and takes RoBERTa's tokenizer from `tokenizer`.

A sound of any length is covered wholly by windows of the length the model was trained with, each embedded by itself:
neither the random crops nor the random fusion of the reference implementations are ever reached, by which one file
gets another vector at each call. Of a model with feature fusion the path for short sounds is taken, always (the
reference takes the other one for a randomly chosen sound of each batch). Short sounds are repeated, as in training.

Windows and texts go through the model one at a time unless `batch` says otherwise: a matrix product rounds differently
in another shape, so only then are the bits of a vector the same whatever its neighbours. Larger batches, which pay on a
GPU, move a vector by about 1e-7.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from speechprep.errors import BadInput, ConfigError, MissingBackend, first_line
from speechprep.pipelines.backends import Embedder, model_files
from speechprep.pipelines.backends.base import check_device
from speechprep.pipelines.backends.embedders import laion_checkpoint
from speechprep.pipelines.backends.embedders.sound_windows import spans, unit

VERSION = 1
LAION_RATE, LAION_WINDOW = 48_000, 10  # Hz and seconds of every LAION checkpoint
TEXT_TOKENS = 77  # LAION's models were trained with texts cut here
CHECKPOINTS = (".pt", ".pth")
PREPROCESSOR = "preprocessor_config.json"
FETCHED = ["config.json", PREPROCESSOR, *model_files.TOKENIZER, "model*.safetensors", "model.safetensors.index.json"]

F32 = NDArray[np.float32]


class ClapEmbedder(Embedder):
    """See the module's text.

    Args:
        model: a folder, a name on the Hugging Face hub, or a LAION `.pt` file.
        tokenizer: for a `.pt` file, a folder or hub name with RoBERTa's tokenizer.
        hop: seconds between the starts of two windows; None is the window's length.
        batch: windows or texts in one call of the model.
        device: "cpu", "cuda", "cuda:1", or "auto". The kind of device is no part of the identity; it moves a vector by
            less than 1e-5.
        revision: commit, tag or branch of a model of the hub.
    """

    name = "clap"
    packages: ClassVar[Mapping[str, str]] = {"torch": "hf", "transformers": "hf"}
    hears_audio = True
    sample_rate = LAION_RATE

    def __init__(
        self,
        model: str = "laion/clap-htsat-unfused",
        tokenizer: str = "roberta-base",
        hop: float | None = None,
        batch: int = 1,
        device: str = "auto",
        revision: str | None = None,
    ) -> None:
        if hop is not None and not hop > 0:
            raise ConfigError(f"clap: hop = {hop}; it is in seconds and must be more than 0")
        if batch < 1:
            raise ConfigError(f"clap: batch = {batch}; it must be at least 1")
        self.model, self.tokenizer, self.revision = model, tokenizer, revision
        self.hop, self.batch, self.device = hop, batch, device
        self.dim = 512
        self._model: Any = None
        self._tokenizer: Any = None
        self._features: Any = None

    @property
    def _is_checkpoint(self) -> bool:
        return self.model.endswith(CHECKPOINTS) and not Path(self.model).expanduser().is_dir()

    def identity(self) -> dict[str, Any]:
        """Hashes of the weights and of the files beside them, window and hop in seconds; needs the files, not torch.

        Raises:
            MissingBackend: the model is not here or lacks a file.
        """
        if self._is_checkpoint:
            weights, beside = [self._checkpoint()], model_files.tokenizer_files(self._tokenizer_folder())
            window = float(LAION_WINDOW)
        else:
            folder = self._folder()
            weights = model_files.weight_files(folder)
            needed = model_files.require(folder, ("config.json",), (PREPROCESSOR,))
            beside = [*needed, *model_files.tokenizer_files(folder)]
            window = _window_of(folder)
        hop = self._hop(window)
        return {
            "name": "clap",
            "version": VERSION,
            "weights": model_files.digest_of(weights),
            "files": model_files.digest_of(beside),
            "window": window,
            "hop": hop,
            "text_tokens": TEXT_TOKENS,
            "batch": self.batch,
        }

    def check(self) -> None:
        """Check packages, files and hop, without torch and without a download.

        Raises:
            MissingBackend: a package, or a file of the model or its tokenizer is absent.
            ConfigError: a hop longer than the window, or a device name that is none.
        """
        super().check()
        check_device(self.label, self.device)
        if self._is_checkpoint:
            self._checkpoint()
            window = float(LAION_WINDOW)
            tokenizer = model_files.checked_folder(self.tokenizer, model_files.TOKENIZER[:2])
        else:
            tokenizer = model_files.checked_folder(self.model, model_files.WEIGHTS, self.revision)
            if tokenizer is None:
                return
            model_files.weight_files(tokenizer)
            model_files.require(tokenizer, ("config.json",), (PREPROCESSOR,))
            window = _window_of(tokenizer)
        if tokenizer is not None:
            model_files.tokenizer_files(tokenizer)
        self._hop(window)

    def _hop(self, window: float) -> float:
        if self.hop is not None and self.hop > window:
            raise ConfigError(
                f"clap: hop = {self.hop} s leaves parts of a sound out; the model's window is {window:g} s"
            )
        return window if self.hop is None else float(self.hop)

    def load(self) -> None:
        """Read the model.

        Raises:
            MissingBackend: torch, transformers or the model is not here, or a file of the model is damaged or missing.
        """
        try:
            import torch
            import transformers  # noqa: F401
        except ImportError:
            raise MissingBackend.package("the embedder 'clap'", "transformers", "hf") from None
        self.identity()  # says clearly which file is missing, where the libraries would not
        if self._is_checkpoint:
            self._load_checkpoint()
        else:
            self._load_folder(self._folder())
        self.sample_rate, self.dim = self._features.sampling_rate, self._model.config.projection_dim
        found = "cuda" if torch.cuda.is_available() else "cpu"
        try:
            self._model.to(found if self.device == "auto" else self.device)
            for parameter in self._model.parameters():
                parameter.data = (
                    parameter.data.clone()
                )  # a weight mapped from a file is unaligned, and rounds otherwise
        except (RuntimeError, AssertionError) as error:
            raise ConfigError(f"clap: device = {self.device!r}: {first_line(error)}") from None

    def _checkpoint(self) -> Path:
        path = Path(self.model).expanduser()
        if not path.is_file():
            raise MissingBackend(f"there is no checkpoint {self.model}")
        return path

    def _tokenizer_folder(self) -> Path:
        return model_files.folder_of(self.tokenizer, list(model_files.TOKENIZER), model_files.TOKENIZER[:2])

    def _folder(self) -> Path:
        more = "pytorch_model*.bin*"
        return model_files.folder_of(self.model, FETCHED, model_files.WEIGHTS, self.revision, more)

    def _load_checkpoint(self) -> None:
        from transformers import RobertaTokenizerFast

        self._model = laion_checkpoint.load(self._checkpoint())
        self._features = laion_checkpoint.feature_extractor(fused=self._model.config.audio_config.enable_fusion)
        self._tokenizer = RobertaTokenizerFast.from_pretrained(self._tokenizer_folder())
        known = self._model.config.text_config.vocab_size
        if len(self._tokenizer) > known:
            raise ConfigError(
                f"clap: the tokenizer {self.tokenizer} has {len(self._tokenizer)} tokens, {self.model} knows {known}; "
                "give the model's own"
            )

    def _load_folder(self, folder: Path) -> None:
        from safetensors import SafetensorError
        from transformers import ClapModel, ClapProcessor

        try:
            model, report = ClapModel.from_pretrained(folder, output_loading_info=True, local_files_only=True)
            processor: Any = ClapProcessor.from_pretrained(folder, local_files_only=True)
        except (OSError, ValueError, RuntimeError, TypeError, KeyError, SafetensorError) as error:
            reason = first_line(error)[:160]
            raise MissingBackend(f"{folder} cannot be read as a CLAP model ({reason}); copy it again, whole") from None
        missing = [key for key in report["missing_keys"] if not key.endswith(laion_checkpoint.COMPUTED)]
        if missing or report["mismatched_keys"]:
            first = (missing or [key[0] for key in report["mismatched_keys"]])[0]
            raise MissingBackend(f"{folder} lacks weights of a CLAP model, for example {first}")
        self._model = model.float().eval()
        self._features, self._tokenizer = processor.feature_extractor, processor.tokenizer

    def spans(self, n_samples: int) -> list[tuple[int, int]]:
        """[start, stop) in samples of each window of a sound of that many."""
        window = int(self._features.nb_max_samples)
        return spans(n_samples, window, max(1, round(self._hop(window / self.sample_rate) * self.sample_rate)))

    def embed_audio(self, batch: list[F32]) -> list[F32]:
        """(windows, dim) float32 of unit length for each sound, the windows being those of `spans`.

        Raises:
            BadInput: `audio_empty`, for a sound without a sample.
        """
        cut = []
        for audio in batch:
            if not len(audio):
                raise BadInput("audio_empty", "the sound has no samples")
            cut.append([audio[start:stop] for start, stop in self.spans(len(audio))])
        flat = [window for windows in cut for window in windows]
        made = [self._hear(flat[i : i + self.batch]) for i in range(0, len(flat), self.batch)]
        vectors = np.concatenate(made) if made else np.zeros((0, self.dim), np.float32)
        return np.split(vectors, np.cumsum([len(windows) for windows in cut])[:-1]) if cut else []

    def _hear(self, windows: list[F32]) -> F32:
        import torch

        found = self._features(windows, sampling_rate=self.sample_rate, return_tensors="np")
        mel = torch.tensor(np.asarray(found["input_features"], np.float32), device=self._model.device)
        short = torch.zeros((len(windows), 1), dtype=torch.bool, device=self._model.device)
        with (
            torch.inference_mode(),
            torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True, allow_tf32=False),
        ):
            out = self._model.get_audio_features(input_features=mel, is_longer=short)
        return unit(out.cpu().numpy())

    def embed_text(self, texts: list[str]) -> F32:
        """(len(texts), dim) float32 of unit length; all zero for a text without a character."""
        vectors = np.zeros((len(texts), self.dim), np.float32)
        said = [i for i, text in enumerate(texts) if text.strip()]
        for first in range(0, len(said), self.batch):
            rows = said[first : first + self.batch]
            vectors[rows] = self._read([texts[i] for i in rows])
        return vectors

    def _read(self, texts: list[str]) -> F32:
        import torch

        ids = self._tokenizer(texts, padding=True, truncation=True, max_length=TEXT_TOKENS, return_tensors="pt")
        ids = ids.to(self._model.device)
        with torch.inference_mode():
            out = self._model.get_text_features(input_ids=ids["input_ids"], attention_mask=ids["attention_mask"])
        return unit(out.cpu().numpy())


def _window_of(folder: Path) -> float:
    """Seconds of the window of a model folder."""
    return float(model_files.read_json(folder / PREPROCESSOR).get("max_length_s", LAION_WINDOW))
