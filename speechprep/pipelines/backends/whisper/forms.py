"""Recognition of the form of a Whisper model, and the error for a form that a place does not take."""

from __future__ import annotations

import json
from pathlib import Path

from speechprep.errors import ConfigError, MissingBackend
from speechprep.pipelines.backends.model_files import CONFIG, PREPROCESSOR, WEIGHTS, folder_of, require, snapshot_of
from speechprep.pipelines.backends.whisper.ct2_folder import MODEL, Ct2Folder
from speechprep.pipelines.backends.whisper.openai_file import OpenaiFile
from speechprep.pipelines.backends.whisper.transformers_folder import TransformersFolder
from speechprep.pipelines.backends.whisper.weights import Form, WhisperWeights

FORMS: dict[Form, str] = {
    "ct2": "a CTranslate2 folder (faster-whisper)",
    "transformers": "a transformers folder",
    "openai": "a .pt file of openai-whisper",
}
READERS: dict[Form, type[WhisperWeights]] = {
    "ct2": Ct2Folder,
    "transformers": TransformersFolder,
    "openai": OpenaiFile,
}
ENOUGH = (*WEIGHTS, MODEL)  # one of these files makes a downloaded model complete
VOCABULARY = ("vocabulary.json", "vocabulary.txt")
GGML = b"lmgg"


def form_of(path: Path) -> Form | None:
    """The form of a local model by its files; None for anything else. `path` may be a folder of the hub cache."""
    if path.is_dir():
        folder = snapshot_of(path)
        has_weights = any((folder / name).is_file() for name in WEIGHTS)
        if (folder / MODEL).is_file() and not (has_weights and _model_type(folder)):
            return "ct2"
        return "transformers" if has_weights and _model_type(folder) else None
    return "openai" if path.is_file() and path.suffix == ".pt" else None


def open_weights(model: str | Path) -> WhisperWeights:
    """The weights of a local Whisper model in any form; nothing but the kind of the files is checked.

    Raises:
        MissingBackend: there is no such path, or the folder is incomplete.
        ConfigError: the path is not a Whisper model.
    """
    path = Path(model).expanduser()
    if not path.exists():
        raise MissingBackend(f"there is no Whisper model {model}; give {' or '.join(FORMS.values())}")
    form = form_of(path)
    if form is None:
        raise _unknown(path)
    return READERS[form](snapshot_of(path) if path.is_dir() else path)


def find_whisper(model: str, revision: str | None = None) -> Path:
    """The local folder of a name on the Hugging Face hub, in the form of transformers or CTranslate2.

    Raises:
        MissingBackend: the model is absent and cannot be downloaded.
    """
    patterns = [CONFIG, PREPROCESSOR, "*.safetensors", "*.safetensors.index.json", MODEL, "tokenizer.json"]
    return folder_of(model, patterns, ENOUGH, revision, more="pytorch_model*.bin*")


def refused(label: str, weights: WhisperWeights, needed: Form) -> ConfigError:
    """The error for a form that a place does not take, with the command for the conversion."""
    path = weights.path
    target = path.with_suffix("" if needed != "openai" else ".pt").name if path.is_file() else path.name
    out = f"{target}-{needed}" if needed != "openai" else f"{target}.pt"
    return ConfigError(
        f"{label}: {path} is {FORMS[weights.form]}, but {FORMS[needed]} is needed; "
        f"convert it: speechprep models convert {path} {out} --to {needed}"
    )


def _model_type(folder: Path) -> str | None:
    try:
        config = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    kind = config.get("model_type") if isinstance(config, dict) else None
    return kind if isinstance(kind, str) else None


def _unknown(path: Path) -> ConfigError | MissingBackend:
    expected = f"give {', '.join(FORMS.values())}"
    if path.is_file():
        with path.open("rb") as stream:
            ggml = stream.read(4) == GGML
        kind = "a model of whisper.cpp" if ggml else "neither a folder nor a checkpoint with the ending .pt"
        return ConfigError(f"the Whisper model {path} is {kind}; {expected}")
    folder = snapshot_of(path)
    if any((folder / name).is_file() for name in VOCABULARY):
        require(folder, (MODEL,))
    if _model_type(folder) == "whisper":
        require(folder, WEIGHTS)
    checkpoints = sorted(file.name for file in path.glob("*.pt"))
    if checkpoints:
        return ConfigError(f"the folder {path} holds {', '.join(checkpoints[:4])}; give the path of one file")
    return MissingBackend(
        f"the folder {path} is not a Whisper model: it has neither {MODEL} nor {CONFIG} with {WEIGHTS[0]}; {expected}"
    )
