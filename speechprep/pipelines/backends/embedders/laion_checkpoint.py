"""Conversion of LAION CLAP checkpoints (`.pt`) to a ClapModel of transformers, weight by weight.

The architecture is inferred from the shapes: HTSAT tiny, base or large, with or without feature fusion, with RoBERTa.
The file is read with `weights_only`, so no code in it is executed; a few numpy types in the checkpoints of LAION are
declared safe. Unused weights are omitted: the two MLPs after the projections, the classification head, and the
spectrogram layers, replaced by the feature extractor of transformers. Any other weight without a counterpart, and any
missing weight, is an error.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from speechprep.errors import MissingBackend, first_line

UNUSED = re.compile(
    r"(text_transform|audio_transform)\.|audio_branch\.(spectrogram_extractor|logmel_extractor|tscam_conv|head)\."
    r"|\.(attn_mask|relative_position_index|position_ids)$"
)
COMPUTED = ("position_ids", "token_type_ids", "relative_position_index")  # buffers; absent from some checkpoints
RENAMED = (
    (r"^text_branch\.", "text_model."),
    (r"^audio_branch\.", "audio_model.audio_encoder."),
    (r"^(text|audio)_projection\.0\.", r"\1_projection.linear1."),
    (r"^(text|audio)_projection\.2\.", r"\1_projection.linear2."),
    (r"^(audio_model\..*encoder)\.bn0\.", r"\1.batch_norm."),
    (r"^(audio_model\..*\.blocks\.\d+)\.norm1\.", r"\1.layernorm_before."),
    (r"^(audio_model\..*\.blocks\.\d+)\.norm2\.", r"\1.layernorm_after."),
    (r"^(audio_model\..*\.blocks\.\d+)\.mlp\.fc1\.", r"\1.intermediate.dense."),
    (r"^(audio_model\..*\.blocks\.\d+)\.mlp\.fc2\.", r"\1.output.dense."),
    (r"^(audio_model\..*\.blocks\.\d+)\.attn\.proj\.", r"\1.attention.output.dense."),
    (r"^(audio_model\..*\.blocks\.\d+)\.attn\.relative", r"\1.attention.self.relative"),
)
ROBERTA_HEAD = 64  # width of an attention head in all sizes of RoBERTa
ROBERTA_EPS = 1e-5  # of its layer norms; the default for CLAP in transformers is 1e-12

State = dict[str, Any]


def read(path: Path) -> State:
    """The state dict of a checkpoint.

    Raises:
        MissingBackend: the file is absent, or is not a checkpoint of CLAP.
    """
    import pickle

    import numpy as np
    import torch

    numpy: Any = np
    scalar = numpy._core.multiarray.scalar  # stored under an older name of numpy
    dtypes = [type(np.dtype(kind)) for kind in ("float64", "float32", "int64")]
    try:
        with torch.serialization.safe_globals([(scalar, "numpy.core.multiarray.scalar"), scalar, np.dtype, *dtypes]):
            body = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise MissingBackend(f"there is no checkpoint {path}") from None
    except (OSError, RuntimeError, EOFError, ValueError, pickle.UnpicklingError) as error:
        raise MissingBackend(f"{path} cannot be read as a checkpoint of weights ({first_line(error)[:120]})") from None
    state = body.get("state_dict", body) if isinstance(body, dict) else {}
    state = {str(key).removeprefix("module."): value for key, value in state.items()}
    if "audio_branch.patch_embed.proj.weight" not in state or "text_branch.pooler.dense.weight" not in state:
        raise MissingBackend(f"{path} is not a LAION CLAP checkpoint with HTSAT and RoBERTa")
    return state


def is_fused(state: State) -> bool:
    """True for a model with feature fusion ("-fusion-" in the names of LAION's files)."""
    return any(".fusion_model." in key for key in state)


def configure(state: State) -> Any:
    """The ClapConfig of a checkpoint, from the shapes of its weights."""
    import transformers

    hf: Any = transformers
    words, hidden = state["text_branch.embeddings.word_embeddings.weight"].shape
    text = hf.ClapTextConfig(
        vocab_size=words,
        hidden_size=hidden,
        num_hidden_layers=_count(state, r"text_branch\.encoder\.layer\.(\d+)\."),
        num_attention_heads=hidden // ROBERTA_HEAD,
        intermediate_size=state["text_branch.encoder.layer.0.intermediate.dense.weight"].shape[0],
        max_position_embeddings=state["text_branch.embeddings.position_embeddings.weight"].shape[0],
        type_vocab_size=state["text_branch.embeddings.token_type_embeddings.weight"].shape[0],
        layer_norm_eps=ROBERTA_EPS,
    )
    stages = _count(state, r"audio_branch\.layers\.(\d+)\.")
    tables = [state[f"audio_branch.layers.{i}.blocks.0.attn.relative_position_bias_table"] for i in range(stages)]
    audio = hf.ClapAudioConfig(
        patch_embeds_hidden_size=state["audio_branch.patch_embed.proj.weight"].shape[0],
        hidden_size=state["audio_branch.norm.weight"].shape[0],
        depths=[_count(state, rf"audio_branch\.layers\.{i}\.blocks\.(\d+)\.") for i in range(stages)],
        num_attention_heads=[table.shape[1] for table in tables],
        window_size=(round(tables[0].shape[0] ** 0.5) + 1) // 2,
        num_hidden_layers=stages,
        num_mel_bins=state["audio_branch.bn0.weight"].shape[0],
        enable_fusion=is_fused(state),
        fusion_type="aff_2d" if is_fused(state) else None,
    )
    dim = state["audio_projection.2.weight"].shape[0]
    text.projection_dim = audio.projection_dim = dim
    return hf.ClapConfig(text_config=text.to_dict(), audio_config=audio.to_dict(), projection_dim=dim)


def convert(state: State) -> State:
    """The state dict with the names of transformers; joint query-key-value weights are split into three."""
    out: State = {}
    for key, value in state.items():
        if UNUSED.search(key):
            continue
        for pattern, new in RENAMED:
            key = re.sub(pattern, new, key)
        if ".attn.qkv." in key:
            for name, part in zip(("query", "key", "value"), value.chunk(3, 0), strict=True):
                out[key.replace(".attn.qkv.", f".attention.self.{name}.")] = part.clone()
        else:
            out[key] = value
    return out


def load(path: Path) -> Any:
    """A ClapModel with the weights of a checkpoint, in float32.

    Raises:
        MissingBackend: the file is no CLAP checkpoint, or has missing or additional weights.
    """
    from transformers import ClapModel

    state = read(path)
    model: Any = ClapModel(configure(state))
    try:
        missing, unexpected = model.load_state_dict(convert(state), strict=False)
    except RuntimeError as error:
        raise MissingBackend(f"{path}: weights of another shape ({str(error).splitlines()[-1].strip()})") from None
    odd = [key for key in missing if not key.endswith(COMPUTED)] + list(unexpected)
    if odd:
        raise MissingBackend(f"{path}: {len(odd)} weights are missing or unknown, for example {odd[0]}")
    return model.float().eval()


def feature_extractor(*, fused: bool) -> Any:
    """The feature extractor of the LAION models; the mel filters of fused and plain models differ."""
    from transformers import ClapFeatureExtractor

    return ClapFeatureExtractor(
        frequency_min=50, frequency_max=14_000, truncation="fusion" if fused else "rand_trunc", padding="repeatpad"
    )


def _count(state: State, pattern: str) -> int:
    return 1 + max(int(match[1]) for key in state if (match := re.match(pattern, key)))
