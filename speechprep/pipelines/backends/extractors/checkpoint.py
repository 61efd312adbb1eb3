"""Model folders in the form of Hugging Face transformers: where one is, who it is, and reading it.

A model is named by a local folder or by its name on the Hugging Face hub. Of a name, the local cache is asked first and
the network only then, never where HF_HUB_OFFLINE is set. Who a model is follows from what it holds (sha256 of the
weights' files, and the values of its configuration that shape the frames), not from where it lies: the same weights
under another path or name are the same model.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
from functools import lru_cache
from pathlib import Path
from typing import Any

from speechprep.artifacts.manifest import canonical
from speechprep.errors import ConfigError, MissingBackend

CONFIG, PREPROCESSOR = "config.json", "preprocessor_config.json"
# In the order in which transformers looks for them.
WEIGHTS = ("model.safetensors", "model.safetensors.index.json", "pytorch_model.bin", "pytorch_model.bin.index.json")
# Keys of a configuration that shape a frame; the rest is training, decoding and bookkeeping.
SHAPING = frozenset((
    "conv_dim", "conv_kernel", "conv_stride", "conv_bias", "conv_pos_batch_norm", "feat_extract_norm",
    "feat_extract_activation", "feat_proj_layer_norm", "do_stable_layer_norm", "hidden_act", "hidden_size",
    "num_attention_heads", "num_hidden_layers", "num_feat_extract_layers", "num_conv_pos_embeddings",
    "num_conv_pos_embedding_groups", "num_buckets", "max_bucket_distance", "intermediate_size", "layer_norm_eps",
    "adapter_attn_dim", "activation_function", "d_model", "encoder_layers", "encoder_ffn_dim",
    "encoder_attention_heads", "max_source_positions", "num_mel_bins", "scale_embedding",
))  # fmt: skip


def find_model(what: str, model: str, revision: str | None = None) -> Path:
    """The local folder of a model: `model` itself, or the snapshot of a name on the hub.

    Args:
        what: who needs it, for messages.
        model: a local folder or "organisation/name".
        revision: branch, tag or commit on the hub; nothing for a local folder.

    Raises:
        ConfigError: a path that is no folder.
        MissingBackend: not in the local cache and not to be had, in one line.
    """
    path = Path(model).expanduser()
    if path.is_dir():
        return path
    if path.is_absolute() or model.startswith((".", "~")) or model.count("/") > 1 or path.exists():
        raise ConfigError(f"{what}: model = {model!r} is not a folder with a model")
    try:
        import huggingface_hub
        from huggingface_hub.errors import HFValidationError, LocalEntryNotFoundError
    except ImportError:
        raise MissingBackend.package(what, "transformers", "hf") from None
    patterns = [CONFIG, PREPROCESSOR, "*.safetensors", "*.safetensors.index.json"]
    try:
        folder = Path(huggingface_hub.snapshot_download(model, revision=revision, local_files_only=True))
        if _has_weights(folder) and (folder / CONFIG).exists():
            return folder  # else another program has fetched a part of it
    except HFValidationError:
        raise ConfigError(f"{what}: model = {model!r} is neither a folder nor a name on the Hugging Face hub") from None
    except LocalEntryNotFoundError:
        pass
    if huggingface_hub.constants.HF_HUB_OFFLINE:
        raise MissingBackend(
            f"{what}: model {model!r} is not on this machine and HF_HUB_OFFLINE is set; "
            "give the path of a local folder, or fetch it once with the network on"
        )
    try:
        folder = Path(huggingface_hub.snapshot_download(model, revision=revision, allow_patterns=patterns))
        if not _has_weights(folder):
            patterns = ["pytorch_model*.bin", "pytorch_model.bin.index.json"]
            folder = Path(huggingface_hub.snapshot_download(model, revision=revision, allow_patterns=patterns))
    except (OSError, ValueError) as error:  # hub errors of all kinds and those of requests are OSError
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise MissingBackend(
            f"{what}: model {model!r} is not on this machine and the Hugging Face hub did not give it ({reason}); "
            "give the path of a local folder"
        ) from None
    return folder


def _has_weights(folder: Path) -> bool:
    return any((folder / name).exists() for name in WEIGHTS)


def read_json(what: str, folder: Path, name: str) -> dict[str, Any]:
    """One of the folder's JSON files.

    Raises:
        ConfigError: it is missing or damaged.
    """
    try:
        found = json.loads((folder / name).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ConfigError(f"{what}: the model folder {folder} has no {name}") from None
    except ValueError as error:
        raise ConfigError(f"{what}: {folder / name} is damaged ({error})") from None
    if not isinstance(found, dict):
        raise ConfigError(f"{what}: {folder / name} is damaged (no JSON object)")
    return found


def read_config(what: str, folder: Path, types: tuple[str, ...]) -> dict[str, Any]:
    """`config.json`, of one of the model types named.

    Raises:
        ConfigError: missing, damaged, or of another type.
    """
    config = read_json(what, folder, CONFIG)
    if config.get("model_type") not in types:
        raise ConfigError(
            f"{what}: {folder} holds a model of type {config.get('model_type')!r}; it reads {', '.join(types)}"
        )
    return config


def check_layer(what: str, layer: int, layers: int) -> None:
    """A layer that exists.

    Raises:
        ConfigError: it does not.
    """
    if not 0 <= layer <= layers:
        raise ConfigError(
            f"{what}: layer = {layer}, but the model has {layers} layers; choose 0 (their input) to {layers}"
        )


def weights_sha256(what: str, folder: Path) -> str:
    """sha256 of the weights' file, or of the sha256 of each where there are several; read once in a process.

    Raises:
        ConfigError: no weights, or a part of them is missing.
    """
    for name in WEIGHTS:
        if not (folder / name).exists():
            continue
        if not name.endswith(".index.json"):
            return _file_sha256(*_stamp(folder / name))
        parts = sorted(set(read_json(what, folder, name).get("weight_map", {}).values()))
        missing = [part for part in parts if not (folder / part).exists()]
        if missing or not parts:
            raise ConfigError(f"{what}: the model folder {folder} has no {', '.join(missing) or 'weights'}")
        each = [_file_sha256(*_stamp(folder / part)) for part in parts]
        return hashlib.sha256("\n".join(each).encode()).hexdigest()
    raise ConfigError(f"{what}: the model folder {folder} has no weights ({WEIGHTS[0]} or {WEIGHTS[2]})")


def _stamp(path: Path) -> tuple[str, int, int]:
    found = os.stat(path)
    return str(path.resolve()), found.st_size, found.st_mtime_ns


@lru_cache(maxsize=64)
def _file_sha256(path: str, size: int, changed: int) -> str:
    """Keyed by size and time of change too, so that a file written anew is read anew."""
    with Path(path).open("rb") as f:
        return hashlib.file_digest(f, "sha256").hexdigest()


def shape_digest(config: dict[str, Any]) -> str:
    """12 hex digits of all in a configuration that can shape a frame."""
    kept = {key: value for key, value in config.items() if key in SHAPING}
    return hashlib.sha256(canonical(kept).encode()).hexdigest()[:12]


def read_model(what: str, folder: Path, changes: dict[str, Any], **how: Any) -> Any:
    """The model in fp32, in evaluation mode; `changes` to its configuration first (fewer layers).

    Raises:
        MissingBackend: torch or transformers is not installed.
        ConfigError: the weights are damaged, or some that the model needs are not among them.
    """
    try:
        import torch
        from transformers import AutoConfig, AutoModel
        from transformers.utils import logging as hf_logging
    except ImportError:
        raise MissingBackend.package(what, "transformers", "hf") from None
    from pickle import UnpicklingError

    from safetensors import SafetensorError

    before = hf_logging.get_verbosity()
    hf_logging.set_verbosity(logging.ERROR)  # it lists the weights of the layers that are left out
    try:
        config = AutoConfig.from_pretrained(folder, local_files_only=True)
        for key, value in changes.items():
            setattr(config, key, value)
        model, found = AutoModel.from_pretrained(
            folder, config=config, local_files_only=True, output_loading_info=True, dtype=torch.float32, **how
        )
    except (OSError, ValueError, KeyError, RuntimeError, EOFError, UnpicklingError, SafetensorError) as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise ConfigError(f"{what}: the model in {folder} cannot be read ({reason})") from None
    finally:
        hf_logging.set_verbosity(before)
    # `masked_spec_embed` serves training alone, and many checkpoints are without it.
    missing = sorted(key for key in found["missing_keys"] if not key.endswith("masked_spec_embed"))
    if missing:
        raise ConfigError(f"{what}: the weights in {folder} lack {missing[0]} and {len(missing) - 1} more")
    return model.eval().requires_grad_(requires_grad=False)
