"""Training of SentencePiece models over units and over text, without skipped or lost input.

SentencePiece has four problems. It silently drops lines longer than `max_sentence_length` bytes (default 4,192: 28 s of
units at 50 frames/s), and lines with certain characters. It needs a piece for every unit to be lossless. Its result
depends on the number of threads. Long sequences are therefore cut. The problematic characters are left out of the
training of text; the models encode them as bytes. Every unit is added once on a separate line, and training uses one
thread.
"""

from __future__ import annotations

import io
import re
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from speechprep.errors import ConfigError, StaleArtifact
from speechprep.tokenizers.subword import spm_proto
from speechprep.tokenizers.subword.unit_text import UNIT_CHARACTERS, check_k, to_text

Algorithm = Literal["bpe", "unigram"]

_LINE_UNITS = {"bpe": 1_000, "unigram": 250}  # unigram learns few long pieces from longer lines
_LINE_BYTES = 4_000
_MAX_BYTES = 4_192  # default of SentencePiece; 1,000 units take at most 4,000 bytes
_BYTES_AND_UNKNOWN = 257
_ACROSS = {
    "split_by_whitespace": False,
    "split_by_unicode_script": False,
    "split_by_number": False,
}  # pieces may contain any units
# SentencePiece skips lines with U+2585, stops at NUL, and reads U+2581 as a space. The others are unit characters.
_LEFT_OUT = re.compile(f"[\x00\u2581\u2585{UNIT_CHARACTERS}]")
_MARKUP = re.compile(r"<[^\s<>]*>")  # not allowed as a piece, because "<s>" and others are special tokens


def train_units(
    sequences: Iterable[NDArray[Any]], k: int, vocab_size: int, out: str | Path, *, algorithm: Algorithm = "bpe"
) -> dict[str, Any]:
    """Train a model on sequences of units without repeats, and write the model file `out`.

    The bytes of the model depend only on the sequences, their order and the options.

    Args:
        sequences: each (n,) integers below `k`.
        k: number of units of the codebook; all units become pieces.
        vocab_size: number of pieces, at least k + 1 (the units and the unknown piece). The model has fewer if the
            sequences contain fewer distinct pieces.
        out: path of the model file.
        algorithm: "bpe" or "unigram".

    Returns:
        Counts: sequences, units, cut (sequences cut into lines), lines, skipped (always 0), size (pieces).

    Raises:
        ConfigError: `vocab_size` is below k + 1.
        StaleArtifact: a unit is not below `k`.
    """
    check_k(k)
    if vocab_size < k + 1:
        raise ConfigError(
            f"unit_vocab_size {vocab_size} is too small: {k} units and the unknown piece need {k + 1}; raise it"
        )
    line, lines, units, count, cut = _LINE_UNITS[algorithm], [], 0, 0, 0
    for sequence in sequences:
        if len(sequence) and sequence.max() >= k:
            raise StaleArtifact(
                f"unit {sequence.max()} in the data, but the codebook has {k} units; use the units of this codebook"
            )
        text = to_text(sequence)
        lines += [text[i : i + line] for i in range(0, len(text), line)]
        units, count, cut = units + len(sequence), count + 1, cut + (len(sequence) > line)
    trained = sum(map(len, lines))
    alphabet = to_text(np.arange(k))
    model = _train([*lines, *alphabet], vocab_size, algorithm, **_ACROSS)
    size = _write(model, out)
    return {
        "sequences": count,
        "units": units,
        "cut": cut,
        "lines": len(lines),
        "skipped": units - trained,
        "size": size,
    }


def train_text(texts: Iterable[str], vocab_size: int, out: str | Path) -> dict[str, Any]:
    """Train a BPE model with byte fallback on texts, and write the model file `out`.

    Case, punctuation and Unicode are unchanged. Every word has a space before it, including the first.

    Args:
        texts: transcripts.
        vocab_size: number of pieces: 257 for bytes and the unknown piece, one for each character, the rest for merges.
            If there are too many characters, the rarest are encoded as bytes.
        out: path of the model file.

    Returns:
        Counts: texts, characters, cut (texts cut into lines), lines, left_out (characters encoded as bytes, because
        SentencePiece does not support them or `vocab_size` is too small), size (pieces).

    Raises:
        ConfigError: there is no text, or `vocab_size` is at most 257.
    """
    if vocab_size <= _BYTES_AND_UNKNOWN:
        raise ConfigError(
            f"text_vocab_size {vocab_size} is too small: bytes alone need {_BYTES_AND_UNKNOWN}; "
            "raise it, or set 0 for no text"
        )
    kept, characters = [], 0
    for text in texts:
        spaced = "".join(" " + word for word in text.split())
        characters += len(spaced)
        kept.append(_LEFT_OUT.sub("", spaced))
    kept = _most_frequent(kept, vocab_size - _BYTES_AND_UNKNOWN)
    lines = [_cut_text(text) for text in kept]
    flat = [part for parts in lines for part in parts]
    if not flat:
        raise ConfigError("there is no text to train on; add transcripts, or set text_vocab_size=0 for no text")
    size = _write(_literal(_train(flat, vocab_size, "bpe", byte_fallback=True)), out)
    return {
        "texts": len(kept),
        "characters": characters,
        "cut": sum(len(parts) > 1 for parts in lines),
        "lines": len(flat),
        "left_out": characters - sum(map(len, flat)),
        "size": size,
    }


def _most_frequent(texts: list[str], n: int) -> list[str]:
    """The texts reduced to their `n` most frequent characters."""
    counts: Counter[str] = Counter()
    for text in texts:
        counts.update(text)
    rare = sorted(counts, key=lambda character: (-counts[character], character))[n:]
    without = {ord(character): None for character in rare}
    return [text.translate(without) for text in texts] if rare else texts


def _cut_text(text: str) -> list[str]:
    """Lines of at most `_LINE_BYTES` bytes, cut before a space if possible. Their concatenation is the text."""
    data = text.encode("utf-8")
    lines, start = [], 0
    while start < len(data):
        stop = min(start + _LINE_BYTES, len(data))
        if stop < len(data):
            while data[stop] & 0xC0 == 0x80:  # inside a multi-byte character
                stop -= 1
            space = data.rfind(b" ", start + 1, stop + 1)
            stop = space if space > start else stop
        lines.append(data[start:stop].decode("utf-8"))
        start = stop
    return lines


def _train(lines: list[str], vocab_size: int, algorithm: Algorithm, **options: Any) -> bytes:
    import sentencepiece

    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(lines),
        model_writer=model,
        model_type=algorithm,
        vocab_size=vocab_size,
        hard_vocab_limit=False,
        character_coverage=1.0,
        normalization_rule_name="identity",
        add_dummy_prefix=False,
        remove_extra_whitespaces=False,
        max_sentence_length=_MAX_BYTES,
        bos_id=-1,
        eos_id=-1,
        pad_id=-1,
        unk_id=0,
        num_threads=1,
        minloglevel=2,
        **options,
    )
    return model.getvalue()


def _literal(model: bytes) -> bytes:
    """The model with " " instead of U+2581 in its pieces, so U+2581 in a text is not read as a space.

    Pieces with the form of special tokens are removed.
    """
    pieces = [piece._replace(text=piece.text.replace("\u2581", " ")) for piece in spm_proto.read_pieces(model)]
    kept = [piece for piece in pieces if piece.kind != spm_proto.NORMAL or not _MARKUP.fullmatch(piece.text)]
    return spm_proto.rewrite(model, kept, escape_whitespaces=False)


def _write(model: bytes, out: str | Path) -> int:
    Path(out).write_bytes(model)
    return len(spm_proto.read_pieces(model))
