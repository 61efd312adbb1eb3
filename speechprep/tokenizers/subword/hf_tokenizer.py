"""Writes a vocabulary as a fast tokenizer of Hugging Face, which `transformers.AutoTokenizer` loads from the folder.

One BPE holds both modalities: characters of text and of units are different, so merges of one never meet the other.

Its ids are those of the two SentencePiece models for every input. SentencePiece ranks pieces and joins any two
neighbours that make one; Hugging Face ranks merges (left, right), so a piece that can be split in several places stands
in its list several times. That makes no difference: as long as no merge crosses the ends of a piece, its inside goes
through the same merges as if it stood alone, so just before it is made it lies in the same two parts wherever that is.
Only that one of its merges is ever used, and the ranks of the others do not matter.

What differs does so by design: special tokens written out in a text are read as such, private-use characters as units.
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
    """Writes tokenizer.json, tokenizer_config.json and special_tokens_map.json.

    Args:
        tokens: all, by id; the first are the `special_tokens`: <pad>, <s>, </s>, <unk> and others.
        text, units: the BPE models that the rest of them come from.
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
    pad, bos, eos, unk, *others = special_tokens
    named = {"pad_token": pad, "bos_token": bos, "eos_token": eos, "unk_token": unk}
    specials = {**named, "additional_special_tokens": others}
    config = {**specials, "tokenizer_class": "PreTrainedTokenizerFast", "clean_up_tokenization_spaces": False}
    for name, content in (("tokenizer_config.json", config), ("special_tokens_map.json", specials)):
        (folder / name).write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


def merges_of(pieces: Sequence[str], alphabet: Iterable[str]) -> list[tuple[str, str]]:
    """All pairs of pieces (or characters of the alphabet) that make a piece; pieces, and so merges, come best first."""
    known = {*pieces, *alphabet}
    return [
        (piece[:i], piece[i:])
        for piece in pieces
        for i in range(1, len(piece))
        if piece[:i] in known and piece[i:] in known
    ]


def _merges(*of: TextSubword | UnitSubword | None) -> list[tuple[str, str]]:
    """The merges of both models; ranks of the one do not touch those of the other."""
    models = [model for model in of if model is not None]
    return [merge for model in models for merge in merges_of(model.merged, filter(_single, model.pieces))]


def _single(piece: str) -> bool:
    return len(piece) == 1
