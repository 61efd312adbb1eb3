"""Image codec `dvae`: codes of the discrete VAE of DALL-E, as FLAVA carries it (transformers' FlavaImageCodebook).

An image becomes (size / 8)^2 codes, row by row from the top left: 196 of 8,192 at FLAVA's size of 112. Pixels are
prepared as transformers' FlavaImageProcessor prepares them for the codebook, to the bit: Lanczos to size x size, to
[0, 1], then (1 - 2 * 0.1) x + 0.1 (the logit-Laplace map of Ramesh et al., arXiv 2102.12092, appendix A.3). That
squashes what is not square; `fit: crop` takes the largest square in the middle instead.

Images go through the model `batch` at a time (1 unless told otherwise), and a batch that is not full is filled up with
black ones: a convolution rounds otherwise in another shape, so only then are the codes of an image the same in any
company.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from speechprep.artifacts.image import RGB, require_pillow
from speechprep.errors import ConfigError, MissingBackend, first_line
from speechprep.pipelines.backends import model_files

VERSION = 1
STRIDE = 8  # three poolings by two
EPSILON = 0.1
MODEL_TYPE = "flava_image_codebook"
PREPROCESSOR = "preprocessor_config.json"
FETCHED = ["config.json", PREPROCESSOR, "model*.safetensors", "model.safetensors.index.json"]
# What a model's own preprocessor may say: what is done here.
PREPARED: dict[str, tuple[Any, ...]] = {
    "codebook_resample": (1,),  # Lanczos
    "codebook_do_rescale": (True,),
    "codebook_do_map_pixels": (True,),
    "codebook_image_mean": ([0, 0, 0], 0),
    "codebook_image_std": ([1, 1, 1], 1),
}

F32 = NDArray[np.float32]


class DvaeCodec:
    """See the module's text.

    Args:
        model: a folder, or a name on the Hugging Face hub, with a FlavaImageCodebook.
        size: pixels of a side that the model sees, a multiple of 8.
        fit: "squash" as FLAVA does, or "crop".
        batch: images in one call of the model.
        device: "cpu", "cuda", "cuda:1", or "auto". The kind of device is no part of the identity: it moves a score by
            float noise, and a code where two scores are that close.
        threads: of one call on a CPU; more workers gain more.
        revision: commit, tag or branch of a model of the hub.
    """

    thread_safe = True  # a forward pass changes nothing of the model

    def __init__(
        self,
        model: str = "facebook/flava-image-codebook",
        *,
        size: int = 112,
        fit: Literal["squash", "crop"] = "squash",
        batch: int = 1,
        device: str = "auto",
        threads: int = 1,
        revision: str | None = None,
    ) -> None:
        if not isinstance(size, int) or size < STRIDE or size % STRIDE:
            raise ConfigError(f"dvae: size = {size!r}; it is in pixels, a multiple of {STRIDE}")
        if fit not in ("squash", "crop"):
            raise ConfigError(f"dvae: fit = {fit!r}; choose 'squash' or 'crop'")
        if batch < 1 or threads < 1:
            raise ConfigError(f"dvae: batch = {batch}, threads = {threads}; both must be at least 1")
        self.model, self.revision = str(model), revision
        self.size, self.fit, self.batch, self.device, self.threads = size, fit, batch, device, threads
        self._model: Any = None

    @property
    def length(self) -> int:
        """Codes of an image."""
        return (self.size // STRIDE) ** 2

    @property
    def vocab(self) -> int:
        """Number of codes there are; needs the model's folder, not torch."""
        return int(self._config().get("vocab_size", 8192))

    def identity(self) -> dict[str, Any]:
        """Hashes of the weights and the configuration, size, fit and batch; needs the files, not torch.

        Raises:
            MissingBackend: the model is not here or lacks a file.
            ConfigError: it is another kind of model, or one that wants its pixels otherwise.
        """
        folder = self._folder()
        weights = model_files.weight_files(folder)
        config = self._config()
        if not 0 < self.vocab <= 1 << 16:
            raise ConfigError(f"dvae: {folder} has {self.vocab} codes; they must fit into 16 bits")
        shape = {
            key: config.get(key) for key in ("num_groups", "num_blocks_per_group", "hidden_size", "input_channels")
        }
        return {
            "name": "dvae",
            "version": VERSION,
            "weights": model_files.digest_of(weights),
            "shape": shape,
            "vocab": self.vocab,
            "size": self.size,
            "fit": self.fit,
            "batch": self.batch,
        }

    def _folder(self) -> Path:
        more = "pytorch_model*.bin*"
        return model_files.folder_of(self.model, FETCHED, model_files.WEIGHTS, self.revision, more)

    def _config(self) -> dict[str, Any]:
        folder = self._folder()
        model_files.require(folder, ("config.json",))
        config = model_files.read_json(folder / "config.json")
        if config.get("model_type") != MODEL_TYPE:
            raise ConfigError(
                f"dvae: {folder} holds a model of type {config.get('model_type')!r}; a {MODEL_TYPE!r} is needed, "
                "as facebook/flava-image-codebook is"
            )
        if (folder / PREPROCESSOR).is_file():
            said = model_files.read_json(folder / PREPROCESSOR)
            for key, wanted in PREPARED.items():
                if said.get(key, wanted[0]) not in wanted:
                    raise ConfigError(f"dvae: {folder / PREPROCESSOR} says {key} = {said[key]}; here it is {wanted[0]}")
        return config

    def load(self) -> None:
        """Read the model.

        Raises:
            MissingBackend: torch, transformers, Pillow or the model is not here, or a file of the model is damaged.
        """
        what = "the image codec 'dvae'"
        try:
            import torch
            from transformers import FlavaImageCodebook
        except ImportError:
            raise MissingBackend.package(what, "transformers", "hf") from None
        from safetensors import SafetensorError

        require_pillow(what)
        self.identity()  # says clearly what is wrong with the folder, where the libraries would not
        folder = self._folder()
        try:
            model, report = FlavaImageCodebook.from_pretrained(folder, output_loading_info=True, local_files_only=True)
        except (OSError, ValueError, RuntimeError, TypeError, KeyError, SafetensorError) as error:
            reason = first_line(error)[:160]
            raise MissingBackend(f"{folder} cannot be read as a FlavaImageCodebook ({reason}); copy it again") from None
        lacking = [*report["missing_keys"], *(key[0] for key in report["mismatched_keys"])]
        if lacking:
            raise MissingBackend(f"{folder} lacks weights of a FlavaImageCodebook, for example {lacking[0]}")
        found = "cuda" if torch.cuda.is_available() else "cpu"
        try:
            self._model = model.float().eval().to(found if self.device == "auto" else self.device)
        except (RuntimeError, AssertionError) as error:
            raise ConfigError(f"dvae: device = {self.device!r}: {first_line(error)}") from None
        for parameter in self._model.parameters():
            # A weight mapped from a file is unaligned, and rounds otherwise.
            parameter.data = parameter.data.clone()

    def prepare(self, pixels: RGB) -> F32:
        """(height, width, 3) uint8 -> (3, size, size) float32, as the model wants it."""
        from PIL import Image

        image: Any = Image.fromarray(pixels)
        if self.fit == "crop":
            image = image.crop(_middle(*image.size))
        image = image.resize((self.size, self.size), Image.Resampling.LANCZOS)
        scaled = (np.asarray(image).astype(np.float64) * (1 / 255)).astype(np.float32)
        mapped = (1 - 2 * EPSILON) * scaled + EPSILON
        return np.ascontiguousarray(mapped.transpose(2, 0, 1), np.float32)

    def encode(self, batch: list[F32]) -> list[NDArray[np.uint16]]:
        """(length,) codes of each prepared image, row by row from the top left."""
        import torch

        device = self._model.device
        if device.type == "cpu" and torch.get_num_threads() != self.threads:
            torch.set_num_threads(self.threads)
        codes = []
        for start in range(0, len(batch), self.batch):
            group = batch[start : start + self.batch]
            pixels = np.zeros((self.batch, 3, self.size, self.size), np.float32)
            pixels[: len(group)] = group
            with (
                torch.inference_mode(),
                torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True, allow_tf32=False),
            ):
                found = self._model.get_codebook_indices(torch.from_numpy(pixels).to(device)).cpu().numpy()
            codes += [row.reshape(-1).astype(np.uint16) for row in found[: len(group)]]
        return codes


def _middle(width: int, height: int) -> tuple[int, int, int, int]:
    """The largest square in the middle of an image: left, top, right, bottom."""
    side = min(width, height)
    left, top = (width - side) // 2, (height - side) // 2
    return left, top, left + side, top + side
