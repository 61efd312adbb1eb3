"""Small Whisper weights with random values, written by hand in the formats of CTranslate2 and safetensors."""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any

import numpy as np

from speechprep.pipelines.backends.whisper.ct2_folder import KINDS, place_of
from speechprep.pipelines.backends.whisper.sizes import Sizes

SMALL = Sizes(
    mels=80, positions=1500, width=16, encoder_layers=2, encoder_heads=2, encoder_ffn=64, decoder_layers=1,
    decoder_heads=4, decoder_ffn=64, text_positions=24, vocabulary=64,
)  # fmt: skip
Tensors = dict[str, np.ndarray]


def tensors(sizes: Sizes = SMALL, seed: int = 0) -> Tensors:
    """Canonical name -> values without loss in float16 and bfloat16."""
    rng = np.random.default_rng(seed)
    shapes = {**sizes.encoder(), **sizes.decoder()}
    return {name: rng.integers(-127, 128, shape).astype(np.float32) / 256 for name, shape in shapes.items()}


def safetensors_folder(folder: Path, values: Tensors, sizes: Sizes = SMALL, kind: str = "float32") -> Path:
    """A transformers folder without tokenizer."""
    folder.mkdir(parents=True, exist_ok=True)
    config = {
        "model_type": "whisper", "num_mel_bins": sizes.mels, "max_source_positions": sizes.positions,
        "d_model": sizes.width, "encoder_layers": sizes.encoder_layers,
        "encoder_attention_heads": sizes.encoder_heads, "encoder_ffn_dim": sizes.encoder_ffn,
        "decoder_layers": sizes.decoder_layers, "decoder_attention_heads": sizes.decoder_heads,
        "decoder_ffn_dim": sizes.decoder_ffn, "max_target_positions": sizes.text_positions,
        "vocab_size": sizes.vocabulary, "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2,
        "decoder_start_token_id": 3,
    }  # fmt: skip
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "preprocessor_config.json").write_text(json.dumps({"feature_size": sizes.mels}))
    header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    data = b""
    for name, value in values.items():
        raw = stored(value, kind)
        entry = {"dtype": {"float32": "F32", "float16": "F16", "bfloat16": "BF16"}[kind], "shape": value.shape}
        header[f"model.{name}"] = {**entry, "data_offsets": [len(data), len(data) + len(raw)]}
        data += raw
    text = json.dumps(header).encode()
    (folder / "model.safetensors").write_bytes(struct.pack("<Q", len(text)) + text + data)
    return folder


def ct2_folder(folder: Path, values: Tensors, sizes: Sizes = SMALL, kind: str = "float32", **changes: Any) -> Path:
    """A CTranslate2 folder; in int8 and int16, matrices are quantised as by the converter of CTranslate2."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps({"suppress_ids": [1], "suppress_ids_begin": [2]}))
    (folder / "vocabulary.txt").write_text("\n".join(map(str, range(sizes.vocabulary))))
    (folder / "tokenizer.json").write_text("{}")
    (folder / "model.bin").write_bytes(ct2_bytes(values, sizes, kind, **changes))
    return folder


def ct2_bytes(
    values: Tensors, sizes: Sizes, kind: str, specification: str = "WhisperSpec", key_bias: float = 0.0
) -> bytes:
    """`model.bin` in binary version 6."""
    parts: dict[str, dict[int, np.ndarray]] = {}
    counts: dict[str, int] = {}
    for name, value in values.items():
        variable, part, counts_of = place_of(name)
        parts.setdefault(variable, {})[part] = value
        counts[variable] = counts_of
    variables: list[tuple[str, np.ndarray, str]] = []
    for variable, pieces in parts.items():
        filled = [
            pieces.get(i, np.full_like(pieces[0 if 0 in pieces else 1], key_bias)) for i in range(counts[variable])
        ]
        variables += quantised(variable, np.concatenate(filled), kind)
    for side, heads in (("encoder", sizes.encoder_heads), ("decoder", sizes.decoder_heads)):
        variables.append((f"{side}/num_heads", np.array(heads, np.int16), "int16"))
    out = struct.pack("<I", 6) + text(specification) + struct.pack("<II", 3, len(variables))
    for name, value, of in variables:
        raw = stored(value, of)
        out += text(name) + struct.pack(f"<B{value.ndim}I", value.ndim, *value.shape)
        out += struct.pack("<BI", KINDS.index(of), len(raw)) + raw
    return out + struct.pack("<I", 1) + text("decoder/projection/weight") + text("decoder/embeddings/weight")


def quantised(name: str, value: np.ndarray, kind: str) -> list[tuple[str, np.ndarray, str]]:
    if not kind.startswith("int") or value.ndim != 2 or "position" in name:
        return [(name, value, "float32" if kind.startswith("int") else kind)]
    if kind == "int16":
        scale = np.float32(2**10 / np.abs(value).max())
        return [(name, np.rint(value * scale).astype(np.int16), kind), (f"{name}_scale", np.array(scale), "float32")]
    scales = (127 / np.abs(value).max(axis=1)).astype(np.float32)
    return [(name, np.rint(value * scales[:, None]).astype(np.int8), kind), (f"{name}_scale", scales, "float32")]


def stored(value: np.ndarray, kind: str) -> bytes:
    if kind == "bfloat16":
        return (value.astype("<f4").view(np.uint32) >> 16).astype("<u2").tobytes()
    return value.astype({"float32": "<f4", "float16": "<f2", "int8": "<i1", "int16": "<i2"}[kind]).tobytes()


def text(value: str) -> bytes:
    return struct.pack("<H", len(value) + 1) + value.encode() + b"\0"
