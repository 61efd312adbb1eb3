"""Embedder `clap`: sounds and sentences in one space, by CLAP (Wu et al., arXiv 2211.06687).

The model is a ClapModel of transformers with its processor, from a folder or the hub, or a LAION checkpoint (`.pt`).
A checkpoint is converted weight by weight and uses the RoBERTa tokenizer in `tokenizer`.

A sound of any length is covered by windows of the training length, and each window is embedded separately. The
reference implementations crop or fuse at random, so one file gets another vector at each call; here vectors are
deterministic. A model with feature fusion always uses its path for short sounds. (The reference uses the other path for
a random sound of each batch.) Short sounds are repeated, as in training.

By default windows and texts run through the model one at a time. A matrix product rounds differently in another shape,
so in batches the bits of a vector depend on its neighbours. Larger batches, useful on a GPU, change a vector by about
1e-7.
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
TEXT_TOKENS = 77  # maximal text length in the training of the LAION models
CHECKPOINTS = (".pt", ".pth")
PREPROCESSOR = "preprocessor_config.json"
FETCHED = ["config.json", PREPROCESSOR, *model_files.TOKENIZER, "model*.safetensors", "model.safetensors.index.json"]

F32 = NDArray[np.float32]


class ClapEmbedder(Embedder):
    """CLAP embeddings of sounds and texts.

    Args:
        model: a folder, a name on the Hugging Face hub, or a LAION `.pt` file.
        tokenizer: for a `.pt` file, a folder or hub name with a RoBERTa tokenizer.
        hop: seconds between the starts of two windows; None: the length of a window.
        batch: windows or texts in one forward pass.
        device: "cpu", "cuda", "cuda:1", or "auto". It is not part of the identity, because it changes a vector by less
            than 1e-5.
        revision: commit, tag or branch on the hub.
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
        """sha256 of the weights and of the other files, window and hop in seconds; needs the files, not torch.

        Raises:
            MissingBackend: the model or one of its files is absent.
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
            ConfigError: a hop longer than the window, or an unknown device name.
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
            MissingBackend: torch, transformers or the model is absent, or a file of the model is damaged or missing.
        """
        try:
            import torch
            import transformers  # noqa: F401
        except ImportError:
            raise MissingBackend.package("the embedder 'clap'", "transformers", "hf") from None
        self.identity()  # names a missing file, which the libraries do not
        if self._is_checkpoint:
            self._load_checkpoint()
        else:
            self._load_folder(self._folder())
        self.sample_rate, self.dim = self._features.sampling_rate, self._model.config.projection_dim
        default = "cuda" if torch.cuda.is_available() else "cpu"
        try:
            self._model.to(default if self.device == "auto" else self.device)
            for parameter in self._model.parameters():
                parameter.data = (
                    parameter.data.clone()
                )  # a weight mapped from a file is unaligned and rounds differently
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
        size = self._model.config.text_config.vocab_size
        if len(self._tokenizer) > size:
            raise ConfigError(
                f"clap: the tokenizer {self.tokenizer} has {len(self._tokenizer)} tokens, {self.model} has {size}; "
                "give the tokenizer of the model"
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
        """[start, stop) in samples of each window of a sound of `n_samples` samples."""
        window = int(self._features.nb_max_samples)
        return spans(n_samples, window, max(1, round(self._hop(window / self.sample_rate) * self.sample_rate)))

    def embed_audio(self, batch: list[F32]) -> list[F32]:
        """(windows, dim) float32 of unit length for each sound, with the windows of `spans`.

        Raises:
            BadInput: `audio_empty` for a sound without samples.
        """
        cut = []
        for audio in batch:
            if not len(audio):
                raise BadInput("audio_empty", "the sound has no samples")
            cut.append([audio[start:stop] for start, stop in self.spans(len(audio))])
        flat = [window for windows in cut for window in windows]
        blocks = [self._audio_vectors(flat[i : i + self.batch]) for i in range(0, len(flat), self.batch)]
        vectors = np.concatenate(blocks) if blocks else np.zeros((0, self.dim), np.float32)
        return np.split(vectors, np.cumsum([len(windows) for windows in cut])[:-1]) if cut else []

    def _audio_vectors(self, windows: list[F32]) -> F32:
        import torch

        features = self._features(windows, sampling_rate=self.sample_rate, return_tensors="np")
        mel = torch.tensor(np.asarray(features["input_features"], np.float32), device=self._model.device)
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
        nonempty = [i for i, text in enumerate(texts) if text.strip()]
        for first in range(0, len(nonempty), self.batch):
            rows = nonempty[first : first + self.batch]
            vectors[rows] = self._text_vectors([texts[i] for i in rows])
        return vectors

    def _text_vectors(self, texts: list[str]) -> F32:
        import torch

        ids = self._tokenizer(texts, padding=True, truncation=True, max_length=TEXT_TOKENS, return_tensors="pt")
        ids = ids.to(self._model.device)
        with torch.inference_mode():
            out = self._model.get_text_features(input_ids=ids["input_ids"], attention_mask=ids["attention_mask"])
        return unit(out.cpu().numpy())


def _window_of(folder: Path) -> float:
    """Seconds of the window of a model folder."""
    return float(model_files.read_json(folder / PREPROCESSOR).get("max_length_s", LAION_WINDOW))
