"""Image codec `dvae`: codes of the discrete VAE of DALL-E, in the version of FLAVA (FlavaImageCodebook).

An image becomes (size / 8)^2 codes, row by row from the top left: 196 of 8,192 at the size of FLAVA, 112. Pixels are
prepared bit-identically to FlavaImageProcessor of transformers: Lanczos to size x size, to [0, 1], then
(1 - 2 * 0.1) x + 0.1 (the logit-Laplace map of Ramesh et al., arXiv 2102.12092, appendix A.3). Other aspect ratios are
squashed; `fit: crop` uses the largest square in the middle instead.

Images run through the model in batches of `batch` (default 1). An incomplete batch is filled up with black images,
because a convolution rounds differently in another shape. So the codes of an image do not depend on the other images.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from speechprep.artifacts.media.image import RGB, require_pillow
from speechprep.errors import ConfigError, MissingBackend, first_line
from speechprep.pipelines.backends import ImageCodec, model_files
from speechprep.pipelines.backends.base import check_device

VERSION = 1
STRIDE = 8  # three poolings by two
EPSILON = 0.1
MODEL_TYPE = "flava_image_codebook"
PREPROCESSOR = "preprocessor_config.json"
FETCHED = ["config.json", PREPROCESSOR, "model*.safetensors", "model.safetensors.index.json"]
# Accepted values in the preprocessor of a model: only the preparation implemented here.
PREPARED: dict[str, tuple[Any, ...]] = {
    "codebook_resample": (1,),  # Lanczos
    "codebook_do_rescale": (True,),
    "codebook_do_map_pixels": (True,),
    "codebook_image_mean": ([0, 0, 0], 0),
    "codebook_image_std": ([1, 1, 1], 1),
}

F32 = NDArray[np.float32]


class DvaeCodec(ImageCodec):
    """Codes of images.

    Args:
        model: a folder, or a name on the Hugging Face hub, with a FlavaImageCodebook.
        size: width and height of the model input in pixels, a multiple of 8.
        fit: "squash" as in FLAVA, or "crop".
        batch: images in one forward pass.
        device: "cpu", "cuda", "cuda:1", or "auto". It is not part of the identity: it changes a score by float noise,
            and a code only if two scores are equally close.
        threads: threads of one forward pass on a CPU; more workers are more efficient.
        revision: commit, tag or branch on the hub.
    """

    name = "dvae"
    packages: ClassVar[Mapping[str, str]] = {"torch": "hf", "transformers": "hf", "PIL": "hf"}
    thread_safe = True  # a forward pass does not change the model

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

    @cached_property
    def length(self) -> int:
        """Codes of an image."""
        return (self.size // STRIDE) ** 2

    @cached_property
    def vocab(self) -> int:
        """Number of codes; needs the model folder, not torch."""
        return int(self._config().get("vocab_size", 8192))

    def identity(self) -> dict[str, Any]:
        """sha256 of the weights, configuration, size, fit and batch; needs the files, not torch.

        Raises:
            MissingBackend: the model or one of its files is absent.
            ConfigError: a model of another kind, or with another preparation of pixels.
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

    def check(self) -> None:
        """Check packages, device name and model folder, without torch and without a download.

        Raises:
            MissingBackend: a package or a file of the model is absent.
            ConfigError: a model of another kind, or an unknown device name.
        """
        super().check()
        check_device(self.label, self.device)
        folder = model_files.checked_folder(self.model, model_files.WEIGHTS, self.revision)
        if folder is not None:
            model_files.weight_files(folder)
            self._config()

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
            values = model_files.read_json(folder / PREPROCESSOR)
            for key, accepted in PREPARED.items():
                if values.get(key, accepted[0]) not in accepted:
                    state = f"{folder / PREPROCESSOR} says {key} = {values[key]}"
                    raise ConfigError(f"dvae: {state}; here it is {accepted[0]}, so choose another model")
        return config

    def load(self) -> None:
        """Read the model.

        Raises:
            MissingBackend: torch, transformers, Pillow or the model is absent, or a file of the model is damaged.
        """
        what = "the image codec 'dvae'"
        try:
            import torch
            from transformers import FlavaImageCodebook
        except ImportError:
            raise MissingBackend.package(what, "transformers", "hf") from None
        from safetensors import SafetensorError

        require_pillow(what)
        self.identity()  # names a missing file, which the libraries do not
        folder = self._folder()
        try:
            model, report = FlavaImageCodebook.from_pretrained(folder, output_loading_info=True, local_files_only=True)
        except (OSError, ValueError, RuntimeError, TypeError, KeyError, SafetensorError) as error:
            reason = first_line(error)[:160]
            raise MissingBackend(f"{folder} cannot be read as a FlavaImageCodebook ({reason}); copy it again") from None
        lacking = [*report["missing_keys"], *(key[0] for key in report["mismatched_keys"])]
        if lacking:
            raise MissingBackend(f"{folder} lacks weights of a FlavaImageCodebook, for example {lacking[0]}")
        default = "cuda" if torch.cuda.is_available() else "cpu"
        try:
            self._model = model.float().eval().to(default if self.device == "auto" else self.device)
        except (RuntimeError, AssertionError) as error:
            raise ConfigError(f"dvae: device = {self.device!r}: {first_line(error)}") from None
        for parameter in self._model.parameters():
            # A weight mapped from a file is unaligned and rounds differently.
            parameter.data = parameter.data.clone()

    def prepare(self, pixels: RGB) -> F32:
        """(height, width, 3) uint8 -> model input (3, size, size) float32."""
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
                indices = self._model.get_codebook_indices(torch.from_numpy(pixels).to(device)).cpu().numpy()
            codes += [row.reshape(-1).astype(np.uint16) for row in indices[: len(group)]]
        return codes


def _middle(width: int, height: int) -> tuple[int, int, int, int]:
    """The largest centred square of an image: left, top, right, bottom."""
    side = min(width, height)
    left, top = (width - side) // 2, (height - side) // 2
    return left, top, left + side, top + side
