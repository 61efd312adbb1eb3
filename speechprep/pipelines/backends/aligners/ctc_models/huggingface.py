"""CTC models of Hugging Face transformers: Wav2Vec2ForCTC, and HuBERT, WavLM or Data2VecAudio with a CTC head.

Audio is normalised if `preprocessor_config.json` of the model requires it.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np

from speechprep.errors import ConfigError, MissingBackend, first_line
from speechprep.pipelines.backends.aligners.ctc_models.model import RATE, CtcModel, Samples
from speechprep.pipelines.backends.aligners.ctc_models.sliced_convolutions import make_lean
from speechprep.pipelines.backends.base import require_packages
from speechprep.pipelines.backends.model_files import (
    CONFIG,
    PREPROCESSOR,
    checked_folder,
    digest_of,
    folder_of,
    read_json,
    require,
    weight_files,
)

VOCABULARY = "vocab.json"
ENOUGH = ("model.safetensors", "pytorch_model.bin")
PATTERNS = ["*.json", "*.safetensors"]
MORE = "pytorch_model*.bin"


class HuggingFaceModel(CtcModel):
    """A folder with config.json, preprocessor_config.json, vocab.json and weights, or a name on the hub."""

    _normalise: bool

    def _files(self) -> tuple[Path, list[Path]]:
        folder = folder_of(self.name, PATTERNS, ENOUGH, more=MORE)
        files = require(folder, (CONFIG,), (PREPROCESSOR,), (VOCABULARY,))
        return folder, [*files, *weight_files(folder)]

    def identity(self) -> dict[str, Any]:
        """sha256 over configuration, vocabulary and weights."""
        return {"model": Path(self.name).name, "model_sha256": digest_of(self._files()[1])}

    def check(self, label: str) -> None:
        """Check packages, files, sample rate and vocabulary."""
        require_packages(label, {"torch": "hf", "transformers": "hf"})
        if checked_folder(self.name, ENOUGH) is not None:
            folder, _ = self._files()
            _processor(folder)
            _vocabulary(folder, read_json(folder / CONFIG).get("vocab_size"))

    def load(self) -> None:
        """Read configuration, vocabulary and weights.

        Raises:
            MissingBackend: torch, transformers or a file of the model is missing.
            ConfigError: the model has no CTC head, or is for audio at another rate.
        """
        folder, _ = self._files()
        self._normalise = bool(_processor(folder).get("do_normalize", True))
        self._model = _read(folder).to(self.device)
        if self.device == "cpu":
            make_lean(getattr(self._model.base_model, "feature_extractor", None))
        config = self._model.config
        self.stride = math.prod(config.conv_stride)
        self.field = 1 + sum(
            (kernel - 1) * math.prod(config.conv_stride[:i]) for i, kernel in enumerate(config.conv_kernel)
        )
        self.vocabulary = _vocabulary(folder, config.vocab_size)
        blanks = [self.vocabulary[name] for name in ("<pad>", "[PAD]") if name in self.vocabulary]
        self.blank = blanks[0] if blanks else config.pad_token_id or 0

    def _forward(self, audio: Any) -> Any:
        return self._model(audio).logits

    def _normalised(self, audio: Samples) -> Samples:
        """Zero mean and unit variance, as in Wav2Vec2FeatureExtractor."""
        if not self._normalise:
            return audio
        return np.asarray((audio - audio.mean()) / np.sqrt(audio.var() + 1e-7), np.float32)


def _processor(folder: Path) -> dict[str, Any]:
    """The configuration of the feature extractor of a folder, for audio at `RATE`."""
    processor = read_json(folder / PREPROCESSOR)
    rate = processor.get("sampling_rate", RATE)
    if rate != RATE:
        raise ConfigError(f"the model {folder} is for audio at {rate} Hz; choose one for {RATE}")
    return processor


def _vocabulary(folder: Path, outputs: int | None) -> dict[str, int]:
    """The vocabulary of a folder: text -> id below `outputs`, the number of outputs of the model."""
    file = folder / VOCABULARY
    vocabulary = read_json(file)
    if not all(isinstance(id, int) for id in vocabulary.values()):
        raise ConfigError(f"{file} has one vocabulary for each language; save the model with one")
    if outputs is not None and vocabulary and max(vocabulary.values()) >= outputs:
        raise ConfigError(f"{file} has ids up to {max(vocabulary.values())}, the model {outputs} outputs")
    return vocabulary


def _read(folder: Path) -> Any:
    """The model in fp32, in evaluation mode; missing weights are an error and are never initialised at random."""
    try:
        import torch
        from transformers.utils import import_utils, logging

        # transformers imports scikit-learn, pandas and SciPy for one way of text generation: 100 MB and 3 s in each
        # worker, unused here.
        vars(import_utils)["_sklearn_available"] = False
        from transformers import AutoConfig, AutoModelForCTC
    except ImportError:
        raise MissingBackend.package(f"the model {folder}", "transformers", "hf") from None
    from pickle import UnpicklingError

    from safetensors import SafetensorError

    before = logging.get_verbosity()
    logging.set_verbosity(40)  # errors only; missing weights are checked below
    try:
        config = AutoConfig.from_pretrained(folder, local_files_only=True)
        if not hasattr(config, "conv_stride"):
            raise ConfigError(f"{folder} holds a {config.model_type!r}, which takes no raw audio; choose wav2vec 2.0")
        model, report = AutoModelForCTC.from_pretrained(
            folder, local_files_only=True, output_loading_info=True, dtype=torch.float32
        )
    except ConfigError:
        raise
    except (OSError, ValueError, KeyError, RuntimeError, EOFError, UnpicklingError, SafetensorError) as error:
        reason = first_line(error)
        raise ConfigError(f"the model in {folder} cannot be read as a CTC model ({reason})") from None
    finally:
        logging.set_verbosity(before)
    missing = sorted(key for key in report["missing_keys"] if not key.endswith("masked_spec_embed"))
    if missing:
        raise ConfigError(f"the weights in {folder} lack {', '.join(missing[:3])}: is it a model with a CTC head?")
    return model.eval().requires_grad_(requires_grad=False)
