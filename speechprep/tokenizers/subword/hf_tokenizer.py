"""Export of a vocabulary as a fast Hugging Face tokenizer, for `transformers.AutoTokenizer`.

One BPE contains both modalities. The characters of text and of units are different, so merges never mix them.

Its ids equal those of the two SentencePiece models for every input. SentencePiece ranks pieces and joins any two
neighbours that form a piece. Hugging Face ranks merges (left, right), so a piece with several possible splits occurs
several times in its list. The results are equal. As long as no merge crosses the ends of a piece, its characters go
through the same merges as in isolation. Directly before its last merge, the piece always consists of the same two
parts. Only the merge of these two parts is ever used, and the ranks of the other splits have no effect.

Two differences are intended: special tokens written in a text become special tokens, and private-use characters become
units.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path

from speechprep.tokenizers.subword.model import TextSubword, UnitSubword


def save_tokenizer(
    folder: Path,
    tokens: Sequence[str],
    special_tokens: Sequence[str],
    text: TextSubword | None,
    units: UnitSubword | None,
) -> None:
    """Write tokenizer.json, tokenizer_config.json and special_tokens_map.json.

    Args:
        folder: existing folder to write to.
        tokens: all tokens, by id, starting with the special tokens.
        special_tokens: <pad>, <s>, </s>, <unk> and additional ones.
        text, units: BPE models of the other tokens.
    """
    from tokenizers import AddedToken, Tokenizer, decoders, models

    ids = {token: i for i, token in enumerate(tokens)}
    tokenizer = Tokenizer(
        models.BPE(
            vocab=ids,
            merges=_merges(text, units),
            unk_token="<unk>",  # noqa: S106 - a token of the vocabulary
            byte_fallback=text is not None,
        )
    )
    tokenizer.decoder = decoders.Sequence([decoders.ByteFallback(), decoders.Fuse()])
    tokenizer.add_special_tokens([AddedToken(token, special=True, normalized=False) for token in special_tokens])
    tokenizer.save(str(folder / "tokenizer.json"))
    pad, bos, eos, unk, *additional = special_tokens
    named = {"pad_token": pad, "bos_token": bos, "eos_token": eos, "unk_token": unk}
    specials = {**named, "additional_special_tokens": additional}
    config = {**specials, "tokenizer_class": "PreTrainedTokenizerFast", "clean_up_tokenization_spaces": False}
    for name, content in (("tokenizer_config.json", config), ("special_tokens_map.json", specials)):
        (folder / name).write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


def bpe_merges(pieces: Sequence[str], alphabet: Iterable[str]) -> list[tuple[str, str]]:
    """All pairs of pieces (or characters of the alphabet) that form a piece, in the order of the pieces, best first."""
    parts = {*pieces, *alphabet}
    return [
        (piece[:i], piece[i:])
        for piece in pieces
        for i in range(1, len(piece))
        if piece[:i] in parts and piece[i:] in parts
    ]


def _merges(*subwords: TextSubword | UnitSubword | None) -> list[tuple[str, str]]:
    """The merges of both models, concatenated. The ranks of one model do not affect the other."""
    models = [model for model in subwords if model is not None]
    return [merge for model in models for merge in bpe_merges(model.merged, filter(_single, model.pieces))]


def _single(piece: str) -> bool:
    return len(piece) == 1
