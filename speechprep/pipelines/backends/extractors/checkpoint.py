"""Model folders of Hugging Face transformers: the configuration, and the model with the needed layers only.

Model identity is the sha256 of the weight files plus the configuration values with an influence on the frames. The same
weights under another path or name are the same model.
"""

from __future__ import annotations

import hashlib
import logging
from pathlib import Path
from typing import Any

from speechprep.artifacts.manifest import canonical
from speechprep.errors import ConfigError, MissingBackend, first_line
from speechprep.pipelines.backends.model_files import CONFIG, PREPROCESSOR, WEIGHTS, folder_of, read_json

# Keys of a configuration with an influence on the frames; all others concern training, decoding and bookkeeping.
SHAPING = frozenset((
    "conv_dim", "conv_kernel", "conv_stride", "conv_bias", "conv_pos_batch_norm", "feat_extract_norm",
    "feat_extract_activation", "feat_proj_layer_norm", "do_stable_layer_norm", "hidden_act", "hidden_size",
    "num_attention_heads", "num_hidden_layers", "num_feat_extract_layers", "num_conv_pos_embeddings",
    "num_conv_pos_embedding_groups", "num_buckets", "max_bucket_distance", "intermediate_size", "layer_norm_eps",
    "adapter_attn_dim", "activation_function", "d_model", "encoder_layers", "encoder_ffn_dim",
    "encoder_attention_heads", "max_source_positions", "num_mel_bins", "scale_embedding",
))  # fmt: skip


def find_model(model: str, revision: str | None = None) -> Path:
    """The local folder of a model: `model` itself, or the snapshot of a name on the hub.

    Args:
        model: a local folder or "organisation/name".
        revision: branch, tag or commit on the hub; unused for a local folder.

    Raises:
        MissingBackend: the model is absent and cannot be downloaded.
    """
    patterns = [CONFIG, PREPROCESSOR, "*.safetensors", "*.safetensors.index.json"]
    return folder_of(model, patterns, WEIGHTS, revision, more="pytorch_model*.bin*")


def read_config(label: str, folder: Path, types: tuple[str, ...]) -> dict[str, Any]:
    """`config.json` of a model folder.

    Args:
        label: the backend in messages.
        folder: the model folder.
        types: accepted values of `model_type`.

    Raises:
        MissingBackend: the file is missing or damaged.
        ConfigError: the model has another type.
    """
    config = read_json(folder / CONFIG)
    if config.get("model_type") not in types:
        raise ConfigError(
            f"{label}: {folder} holds a model of type {config.get('model_type')!r}; it reads {', '.join(types)}"
        )
    return config


def check_layer(label: str, layer: int, layers: int) -> None:
    """Check a layer number.

    Raises:
        ConfigError: the model has no such layer.
    """
    if not 0 <= layer <= layers:
        raise ConfigError(
            f"{label}: layer = {layer}, but the model has {layers} layers; choose 0 (their input) to {layers}"
        )


def shape_digest(config: dict[str, Any]) -> str:
    """12 hex digits over the configuration values with an influence on the frames."""
    shaping = {key: value for key, value in config.items() if key in SHAPING}
    return hashlib.sha256(canonical(shaping).encode()).hexdigest()[:12]


def read_model(label: str, folder: Path, changes: dict[str, Any], **how: Any) -> Any:
    """The model in fp32, in evaluation mode.

    Args:
        label: the backend in messages.
        folder: the model folder.
        changes: configuration values to replace first, for example fewer layers.
        **how: passed to `AutoModel.from_pretrained`.

    Raises:
        MissingBackend: torch or transformers is not installed, or weights are damaged or missing.
    """
    try:
        import torch
        from transformers import AutoConfig, AutoModel
        from transformers.utils import logging as hf_logging
    except ImportError:
        raise MissingBackend.package(label, "transformers", "hf") from None
    from pickle import UnpicklingError

    from safetensors import SafetensorError

    before = hf_logging.get_verbosity()
    hf_logging.set_verbosity(logging.ERROR)  # or it lists the weights of the omitted layers
    try:
        config = AutoConfig.from_pretrained(folder, local_files_only=True)
        for key, value in changes.items():
            setattr(config, key, value)
        model, report = AutoModel.from_pretrained(
            folder, config=config, local_files_only=True, output_loading_info=True, dtype=torch.float32, **how
        )
    except (OSError, ValueError, KeyError, RuntimeError, EOFError, UnpicklingError, SafetensorError) as error:
        raise MissingBackend(
            f"the model in {folder} cannot be read ({first_line(error)[:120]}); copy the model again, whole"
        ) from None
    finally:
        hf_logging.set_verbosity(before)
    # `masked_spec_embed` is used in training only, and many checkpoints lack it.
    missing = sorted(key for key in report["missing_keys"] if not key.endswith("masked_spec_embed"))
    if missing:
        more = f" and {len(missing) - 1} more" if missing[1:] else ""
        raise MissingBackend(f"the weights in {folder} lack {missing[0]}{more}; copy the model again, whole")
    return model.eval().requires_grad_(requires_grad=False)


def last_of(output: Any) -> Any:
    """The hidden states in the output of a transformers layer: alone since version 5, first of a tuple before."""
    return output[0] if isinstance(output, tuple) else output
