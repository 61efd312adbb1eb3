"""A tiny ClapModel with random weights, its processor and a byte-level tokenizer, as a local folder; and as LAION's."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

DIM = 24


def byte_tokens() -> list[str]:
    """The 256 characters that stand for bytes in RoBERTa's vocabulary."""
    shown = [*range(33, 127), *range(161, 173), *range(174, 256)]
    return [chr(b) for b in shown] + [chr(256 + i) for i in range(256 - len(shown))]


def tokenizer(folder: Path) -> Any:
    from transformers import RobertaTokenizerFast

    folder.mkdir(parents=True, exist_ok=True)
    vocab = ["<s>", "<pad>", "</s>", "<unk>", *byte_tokens(), "<mask>"]
    (folder / "vocab.json").write_text(json.dumps({token: i for i, token in enumerate(vocab)}))
    (folder / "merges.txt").write_text("#version: 0.2\n")
    made = RobertaTokenizerFast(str(folder / "vocab.json"), str(folder / "merges.txt"))
    made.save_pretrained(folder)
    return made


def build(folder: Path, *, fused: bool = False, seed: int = 0) -> Any:
    """Write the model folder; returns the model. The test skips where torch or transformers is not installed."""
    torch = pytest.importorskip("torch")
    pytest.importorskip("transformers")
    from transformers import ClapConfig, ClapFeatureExtractor, ClapModel, ClapProcessor

    tokens = tokenizer(folder)
    text = {
        "vocab_size": len(tokens),
        "hidden_size": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": 1,
        "intermediate_size": 64,
        "max_position_embeddings": 100,
        "layer_norm_eps": 1e-5,
        "projection_dim": DIM,
    }
    audio = {
        "patch_embeds_hidden_size": 16,
        "hidden_size": 64,
        "depths": [1, 2, 1],
        "num_hidden_layers": 3,
        "num_attention_heads": [2, 4, 8],
        "enable_fusion": fused,
        "fusion_type": "aff_2d" if fused else None,
        "projection_dim": DIM,
    }
    generator = torch.Generator().manual_seed(seed)
    with torch.random.fork_rng():
        model = ClapModel(ClapConfig(text_config=text, audio_config=audio, projection_dim=DIM)).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim > 1:
                parameter.normal_(0, 0.1, generator=generator)
        norm = model.audio_model.audio_encoder.batch_norm  # centred, or all sounds would be alike
        norm.running_mean.fill_(-20.0)
        norm.running_var.fill_(200.0)
    model.save_pretrained(folder)
    features = ClapFeatureExtractor(frequency_min=50, truncation="fusion" if fused else "rand_trunc")
    ClapProcessor(features, tokens).save_pretrained(folder)
    return model


def folder(path: Path, seed: int = 0) -> Path:
    """The model folder, for tables of backends."""
    build(path, seed=seed)
    return path


def as_laion(model: Any) -> dict[str, Any]:
    """The state dict of a ClapModel under LAION's names, with what LAION's checkpoints hold besides."""
    import torch

    out: dict[str, Any] = {}
    state = model.state_dict()
    names = (
        ("text_model.", "text_branch."),
        ("audio_model.audio_encoder.", "audio_branch."),
        ("_projection.linear1.", "_projection.0."),
        ("_projection.linear2.", "_projection.2."),
        (".batch_norm.", ".bn0."),
        (".layernorm_before.", ".norm1."),
        (".layernorm_after.", ".norm2."),
        (".attention.self.relative", ".attn.relative"),
    )
    for key, value in state.items():
        new = key
        for ours, theirs in names:
            new = new.replace(ours, theirs)
        if new.startswith("audio_branch."):
            new = new.replace(".attention.output.dense.", ".attn.proj.")
            new = new.replace(".intermediate.dense.", ".mlp.fc1.").replace(".output.dense.", ".mlp.fc2.")
            if part := re.search(r"\.attention\.self\.(query|key|value)\.", new):
                if part[1] == "query":
                    parts = [state[key.replace(".query.", f".{name}.")] for name in ("query", "key", "value")]
                    out["module." + new.replace(".attention.self.query.", ".attn.qkv.")] = torch.cat(parts)
                continue
        out["module." + new] = value
    out["module.text_branch.embeddings.position_ids"] = torch.arange(100)[None]
    for name in ("text_transform.sequential.0.weight", "audio_branch.tscam_conv.weight", "audio_branch.head.bias"):
        out[f"module.{name}"] = torch.ones(2)
    return out
