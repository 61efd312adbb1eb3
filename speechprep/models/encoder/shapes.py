"""BERT of transformers: shapes, provenance in its configuration, warm start, and the loss of MLM."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from transformers import BertConfig, BertForMaskedLM

from speechprep.errors import ConfigError, StaleArtifact
from speechprep.models.encoder.options import EncoderOptions
from speechprep.models.losses import IGNORE
from speechprep.tokenizers.wordpiece.tokenizer import WordPiece

SIZES = {  # base is the shape of bert-base-uncased
    "tiny": {"hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 128},
    "mini": {"hidden_size": 256, "num_hidden_layers": 4, "num_attention_heads": 4, "intermediate_size": 1024},
    "base": {"hidden_size": 768, "num_hidden_layers": 12, "num_attention_heads": 12, "intermediate_size": 3072},
}


def bert_config(size: str, tokenizer: WordPiece, context: int, dropout: float, **facts: Any) -> BertConfig:
    """Configuration of a BERT with random weights.

    Args:
        size: name of one of `SIZES`.
        tokenizer: its vocabulary.
        context: number of positions.
        dropout: dropout probability of all layers.
        facts: entries of `config.speechprep`, see `provenance`.
    """
    return BertConfig(
        vocab_size=tokenizer.size,
        max_position_embeddings=context,
        type_vocab_size=2,
        pad_token_id=tokenizer.pad,
        hidden_dropout_prob=dropout,
        attention_probs_dropout_prob=dropout,
        speechprep=provenance(tokenizer, **facts),
        **SIZES[size],
    )


def provenance(tokenizer: WordPiece, **facts: Any) -> dict[str, Any]:
    """Entries of `config.speechprep`: fingerprint and special ids of the tokenizer, and further facts."""
    return {"tokenizer": tokenizer.fingerprint, "special_ids": tokenizer.special_ids, **facts}


def load_bert(folder: str, *, dropout: float | None = None, context: int | None = None) -> BertForMaskedLM:
    """A BERT folder with weights for MLM, in evaluation mode.

    Args:
        folder: local folder, or id in the local cache.
        dropout: dropout for further training; None keeps that of the model.
        context: required number of positions; None: any.

    Raises:
        StaleArtifact: no BERT there, or weights of MLM are missing.
        ConfigError: fewer positions than `context`.
    """
    try:
        config = BertConfig.from_pretrained(folder, local_files_only=True)
    except (OSError, ValueError) as error:
        raise StaleArtifact(f"{folder} has no BERT ({str(error).splitlines()[0]}); name a BERT folder") from error
    if getattr(config, "model_type", "") != "bert" or not _is_bert(folder):
        raise StaleArtifact(f"{folder} is a model of another kind than BERT; name a BERT folder")
    if dropout is not None:
        config.hidden_dropout_prob = config.attention_probs_dropout_prob = dropout
    if context is not None and config.max_position_embeddings < context:
        raise ConfigError(
            f"context = {context}, but {folder} has {config.max_position_embeddings} positions; "
            f"set context={config.max_position_embeddings}"
        )
    model, loaded = BertForMaskedLM.from_pretrained(
        folder, config=config, local_files_only=True, output_loading_info=True
    )
    if loaded["missing_keys"]:
        raise StaleArtifact(f"{folder} has no weights of {loaded['missing_keys'][0]}; name a BERT with an MLM head")
    trained: BertForMaskedLM = model.eval()
    return trained


def _is_bert(folder: str) -> bool:
    from transformers import PretrainedConfig

    return bool(PretrainedConfig.get_config_dict(folder, local_files_only=True)[0].get("model_type") == "bert")


def check_tokenizer(model: BertForMaskedLM, tokenizer: WordPiece, folder: str) -> None:
    """Check that a tokenizer belongs to a model.

    Args:
        model: a BERT of speechprep, or of another origin.
        tokenizer: the tokenizer to use with it.
        folder: folder of the model, for the message.

    Raises:
        StaleArtifact: another number of pieces, other special ids, or another vocabulary; the message names both.
    """
    if model.config.vocab_size < tokenizer.size:
        raise StaleArtifact(
            f"{folder} has {model.config.vocab_size} embeddings, the tokenizer of {tokenizer.folder} has "
            f"{tokenizer.size} pieces; use the tokenizer of the model"
        )
    facts = getattr(model.config, "speechprep", None)
    if facts is None:
        facts = {"special_ids": {"[PAD]": model.config.pad_token_id}}
    tokenizer.require_special_ids(facts["special_ids"], folder)
    if facts.get("tokenizer", tokenizer.fingerprint) != tokenizer.fingerprint:
        raise StaleArtifact(
            f"{folder} was trained with tokenizer {facts['tokenizer'][:12]}, {tokenizer.folder} has "
            f"{tokenizer.fingerprint[:12]}; use the tokenizer of the model"
        )


def find_tokenizer(sources: list[str], tokenizer: str | None, init: str | None) -> WordPiece:
    """The tokenizer of a training: the named one, that of the initial model, or that of the first run.

    Raises:
        ConfigError: none of the three.
    """
    if tokenizer is not None or init is not None:
        return WordPiece.load(str(tokenizer or init))
    folders = [Path(source) / "wordpiece" for source in sources]
    folder = next((folder for folder in folders if folder.is_dir()), None)
    if folder is None:
        raise ConfigError(
            f"{', '.join(sources)} has no folder wordpiece; run the stage 'wordpiece', or set tokenizer=FOLDER"
        )
    return WordPiece.load(folder)


def starting_point(sources: list[str], options: EncoderOptions) -> tuple[WordPiece, BertForMaskedLM | None]:
    """The tokenizer of a training, and the model with its initial weights; None: random weights.

    Raises:
        ConfigError, StaleArtifact: no tokenizer, or an initial model that fits neither the options nor the tokenizer.
    """
    tokenizer = find_tokenizer(sources, options.tokenizer, options.init)
    if options.init is None:
        return tokenizer, None
    start = load_bert(options.init, dropout=options.dropout, context=options.context)
    check_tokenizer(start, tokenizer, options.init)
    return tokenizer, start


def masked_loss(model: BertForMaskedLM, hidden: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Sum of -log p of the targets in nats. Logits are computed only at the targets.

    Args:
        model: its head makes the logits.
        hidden: (b, l, d) last hidden states.
        labels: (b, l) pieces, `losses.IGNORE` without a target.
    """
    chosen = labels != IGNORE
    logits = model.cls(hidden[chosen])
    return torch.nn.functional.cross_entropy(logits.float(), labels[chosen], reduction="sum")
