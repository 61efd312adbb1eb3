"""CTC models of torchaudio: its bundles, by name (WAV2VEC2_ASR_BASE_960H, MMS_FA)."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from speechprep.errors import ConfigError, MissingBackend
from speechprep.pipelines.backends.aligners.ctc_models.model import CtcModel
from speechprep.pipelines.backends.base import require_packages
from speechprep.pipelines.backends.model_files import digest_of

# Channels, kernel and stride of each convolution, if a bundle does not state them.
LAYERS = [(512, 10, 5), *[(512, 3, 2)] * 4, *[(512, 2, 2)] * 2]


class TorchaudioModel(CtcModel):
    """A bundle of torchaudio; its weights are in the cache of torchaudio, or in `folder`."""

    def __init__(self, model: str, device: str, folder: str | None = None) -> None:
        super().__init__(model, device)
        self._folder = folder

    def _bundle(self) -> Any:
        try:
            from torchaudio import pipelines
        except ImportError:
            raise MissingBackend.package(f"the model {self.name}", "torchaudio", "hf") from None
        if self.name not in pipelines.__all__:
            names = ", ".join(sorted(name for name in pipelines.__all__ if "ASR" in name or name == "MMS_FA"))
            raise ConfigError(f"torchaudio has no model {self.name!r}; it has {names}")
        return getattr(pipelines, self.name)

    def _weights(self) -> Path:
        """The weight file; downloaded if it is absent."""
        bundle = self._bundle()
        import torch

        folder = Path(self._folder) if self._folder else Path(torch.hub.get_dir()) / "checkpoints"
        file = folder / Path(bundle._path).name
        if not file.exists():
            try:
                bundle._get_state_dict({"model_dir": str(folder)})
            except OSError as error:  # URLError is one
                raise MissingBackend(
                    f"the weights of {self.name} are not on this machine and could not be fetched ({error}); put "
                    f"{file.name} into {folder}"
                ) from None
        return file

    def check(self, label: str) -> None:
        """Check the packages; `load` downloads absent weights."""
        require_packages(label, {"torch": "hf", "torchaudio": "hf"})

    def identity(self) -> dict[str, Any]:
        """sha256 of the weights."""
        return {"model": self.name, "model_sha256": digest_of([self._weights()])}

    def load(self) -> None:
        """Read the weights and the labels."""
        file, bundle = self._weights(), self._bundle()
        if not hasattr(bundle, "get_labels"):
            raise ConfigError(f"torchaudio's {self.name} has no letters; choose one with ASR in its name, or MMS_FA")
        options = {"dl_kwargs": {"model_dir": str(file.parent)}}
        star = type(bundle).__name__ == "Wav2Vec2FABundle"  # has one more output, for any sound
        model = bundle.get_model(with_star=False, **options) if star else bundle.get_model(**options)
        labels = bundle.get_labels(star=None) if star else bundle.get_labels()
        self._model = model.eval().requires_grad_(requires_grad=False).to(self.device)
        self.vocabulary = {label: at for at, label in enumerate(labels)}
        self.blank = 0
        layers = bundle._params["extractor_conv_layer_config"] or LAYERS
        strides = [stride for _, _, stride in layers]
        self.stride = math.prod(strides)
        self.field = 1 + sum((kernel - 1) * math.prod(strides[:i]) for i, (_, kernel, _) in enumerate(layers))

    def _forward(self, audio: Any) -> Any:
        return self._model(audio)[0]
