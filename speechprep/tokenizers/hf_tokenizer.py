"""Writes a vocabulary as a fast tokenizer of Hugging Face, which `transformers.AutoTokenizer` loads from the folder.

One BPE holds both modalities: characters of text and of units are different, so merges of one never meet the other.
`bpe_order` is why its ids are those of the two SentencePiece models, for any text (special tokens written out in a text
are read as such, and private-use characters as units).
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

from speechprep.tokenizers.bpe_order import canonical_order

if TYPE_CHECKING:
    from speechprep.tokenizers.vocabulary import Vocabulary


def save_tokenizer(vocabulary: Vocabulary, folder: Path) -> None:
    """Writes tokenizer.json, tokenizer_config.json and special_tokens_map.json."""
    from tokenizers import AddedToken, Tokenizer, decoders, models

    ids = {token: i for i, token in enumerate(vocabulary.tokens)}
    tokenizer = Tokenizer(
        models.BPE(
            vocab=ids,
            merges=_merges(vocabulary),
            unk_token="<unk>",  # noqa: S106 - a token of the vocabulary
            byte_fallback=vocabulary.text is not None,
        )
    )
    tokenizer.decoder = decoders.Sequence([decoders.ByteFallback(), decoders.Fuse()])
    tokenizer.add_special_tokens(
        [AddedToken(token, special=True, normalized=False) for token in vocabulary.special_tokens]
    )
    tokenizer.save(str(folder / "tokenizer.json"))
    pad, bos, eos, unk, *others = vocabulary.special_tokens
    named = {"pad_token": pad, "bos_token": bos, "eos_token": eos, "unk_token": unk}
    specials = {**named, "additional_special_tokens": others}
    config = {**specials, "tokenizer_class": "PreTrainedTokenizerFast", "clean_up_tokenization_spaces": False}
    for name, content in (("tokenizer_config.json", config), ("special_tokens_map.json", specials)):
        (folder / name).write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


def _merges(vocabulary: Vocabulary) -> list[tuple[str, str]]:
    """All merges of both models; ranks of the one do not touch those of the other."""
    merges = []
    for model in (vocabulary.text, vocabulary.units):
        if model is not None:
            alphabet = [piece for piece in model.pieces if len(piece) == 1]
            merges += canonical_order(model.merged, alphabet)[1]
    return merges
