"""A CTC model for speech: who it is, its letters, and its emissions for audio of any length.

Models are those of Hugging Face (Wav2Vec2ForCTC and its kin: HuBERT, WavLM, Data2VecAudio with a CTC head), from a
local folder or by name, and the bundles of torchaudio by their name (WAV2VEC2_ASR_BASE_960H). Audio is normalised where
the model's own processor says so.

Long audio goes through windows that overlap: of each only the frames in its middle are kept, so every frame of the
whole comes exactly once and has audio on both sides. Windows start at whole frames; nothing shifts.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from speechprep.errors import BadInput, ConfigError, MissingBackend, first_line
from speechprep.pipelines.backends.aligners.sliced_convolutions import make_lean
from speechprep.pipelines.backends.aligners.sliding_window import SlidingWindow
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
from speechprep.process import give_back

Samples = NDArray[np.float32]
LogProbs = NDArray[np.float32]

RATE = 16_000
VOCABULARY = "vocab.json"
ENOUGH = ("model.safetensors", "pytorch_model.bin")
PATTERNS = ["*.json", "*.safetensors"]
MORE = "pytorch_model*.bin"
DELIMITER = "|"
LONG = 10 * RATE  # samples after which the memory that they took is given back
LAYERS = [(512, 10, 5), *[(512, 3, 2)] * 4, *[(512, 2, 2)] * 2]  # channels, kernel, stride where a bundle names none


class CtcModel:
    """What both kinds have in common.

    Attributes:
        vocabulary: what is in the output layer -> id, as the model spells it.
        blank: id. stride, field: samples between frames, and that a frame sees.
    """

    vocabulary: dict[str, int]
    blank: int
    stride: int
    field: int

    threads = 1  # on a CPU

    def __init__(self, model: str, device: str) -> None:
        self.name = model
        self.device = device

    def identity(self) -> dict[str, Any]:
        """The model's name and sha256."""
        raise NotImplementedError

    def check(self, label: str) -> None:
        """Check packages and files of the model, without torch and without a download; see `Backend.check`."""
        raise NotImplementedError

    def load(self) -> None:
        """Read the weights."""
        raise NotImplementedError

    def _forward(self, audio: Any) -> Any:
        """(1, samples) tensor -> (1, frames, vocabulary) logits."""
        raise NotImplementedError

    def _normalised(self, audio: Samples) -> Samples:
        return audio

    def emissions(self, audio: Samples) -> LogProbs:
        """(frames, vocabulary) log-probabilities of one piece of audio, as a whole."""
        import torch

        if self.device == "cpu" and torch.get_num_threads() != self.threads:
            torch.set_num_threads(self.threads)
        with torch.inference_mode():
            data = torch.from_numpy(np.ascontiguousarray(self._normalised(audio), np.float32))[None]
            logits = self._forward(data.to(self.device))
            found: LogProbs = torch.log_softmax(logits.float(), dim=-1)[0].cpu().numpy()
        if len(audio) >= LONG:
            del data, logits
            give_back()
        return found

    def stream(self, audio: SlidingWindow, window: float, overlap: float) -> Iterator[LogProbs]:
        """The emissions of a stream, piece by piece; together one row for each frame of the whole.

        Args:
            audio: read to its end.
            window: seconds in one run of the model.
            overlap: seconds at both sides of a window whose frames are not kept.
        """
        size = round(window * RATE) // self.stride * self.stride
        margin = round(overlap * RATE) // self.stride
        first = 0  # of the window's frames that is kept
        while True:
            samples = audio.fill(size)
            last = audio.is_last(size)
            made = self.emissions(samples) if len(samples) >= self.field else None
            if made is None:
                return
            if last:
                yield made[first:]
                return
            keep = len(made) - margin
            yield made[first:keep]
            first = margin
            audio.advance((keep - margin) * self.stride)

    def letters(self) -> dict[str, int]:
        """Single characters -> id, in the model's case and, where it has one only, in the other too."""
        own = {text: at for text, at in self.vocabulary.items() if len(text) == 1 and text != DELIMITER}
        own = {text: at for text, at in own.items() if at != self.blank}
        found = dict(own)
        for text, at in own.items():
            for other in (text.lower(), text.upper()):
                if len(other) == 1:
                    found.setdefault(other, at)
        return found

    def delimiter(self) -> int | None:
        """The id that stands between words, where the model has one."""
        at = self.vocabulary.get(DELIMITER)
        return at if at != self.blank else None


class HuggingFaceModel(CtcModel):
    """A folder with config.json, preprocessor_config.json, vocab.json and weights, or its name on the hub."""

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
        """Read it all.

        Raises:
            MissingBackend: torch or transformers is missing, or a file of the model.
            ConfigError: no CTC model, or one for other audio.
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
        """Zero mean and unit variance, as Wav2Vec2FeatureExtractor does."""
        if not self._normalise:
            return audio
        return np.asarray((audio - audio.mean()) / np.sqrt(audio.var() + 1e-7), np.float32)


class TorchaudioModel(CtcModel):
    """A bundle of torchaudio; its weights are looked for where torchaudio puts them, or in `folder`."""

    def __init__(self, model: str, device: str, folder: str | None = None) -> None:
        super().__init__(model, device)
        self._folder = folder

    def _bundle(self) -> Any:
        try:
            from torchaudio import pipelines
        except ImportError:
            raise MissingBackend.package(f"the model {self.name}", "torchaudio", "hf") from None
        if self.name not in pipelines.__all__:
            known = ", ".join(sorted(name for name in pipelines.__all__ if "ASR" in name or name == "MMS_FA"))
            raise ConfigError(f"torchaudio has no model {self.name!r}; it has {known}")
        return getattr(pipelines, self.name)

    def _weights(self) -> Path:
        """The file of the weights; fetched where it is not there."""
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
        """Check the packages; weights that are absent are downloaded by `load`."""
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
        star = type(bundle).__name__ == "Wav2Vec2FABundle"  # has one more output, for anything at all
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


def ctc_model(model: str, device: str, folder: str | None = None, threads: int = 1) -> CtcModel:
    """The model of that name, not loaded: a torchaudio bundle is written in capitals, all else is Hugging Face's."""
    bundle = model.isupper() and not Path(model).exists()
    made = TorchaudioModel(model, device, folder) if bundle else HuggingFaceModel(model, device)
    made.threads = threads
    return made


def too_short(n_samples: int) -> BadInput:
    """The error for audio of less than one frame."""
    return BadInput("audio_too_short", f"{n_samples / RATE:.3f} s of audio make no frame: remove the utterance")


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
    """The model in fp32, in evaluation mode; weights that the checkpoint lacks are an error, never made up."""
    try:
        import torch
        from transformers.utils import import_utils, logging

        # transformers imports scikit-learn, and pandas and SciPy with it, for one way of generating text that no model
        # here knows: 100 MB and 3 s in each worker.
        vars(import_utils)["_sklearn_available"] = False
        from transformers import AutoConfig, AutoModelForCTC
    except ImportError:
        raise MissingBackend.package(f"the model {folder}", "transformers", "hf") from None
    from pickle import UnpicklingError

    from safetensors import SafetensorError

    before = logging.get_verbosity()
    logging.set_verbosity(40)  # errors: what is missing is checked below
    try:
        config = AutoConfig.from_pretrained(folder, local_files_only=True)
        if not hasattr(config, "conv_stride"):
            raise ConfigError(f"{folder} holds a {config.model_type!r}, which does not hear audio as it is")
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
