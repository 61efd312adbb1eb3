"""The tokenizer of a `.pt` file, and its values for decoding, from the openai-whisper package.

A `.pt` file contains weights only. The package contains the two published vocabularies.
"""

from __future__ import annotations

import base64
import gzip
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from speechprep.errors import ConfigError, MissingBackend
from speechprep.pipelines.backends.whisper.sizes import VOCABULARIES, Sizes, languages


@dataclass(frozen=True)
class Decoding:
    """Values of a model for decoding; `heads` are (layer, head) pairs for word times by cross-attention."""

    suppressed: list[int]
    suppressed_first: list[int]
    heads: list[list[int]] = field(default_factory=list)


def published(path: Path, sizes: Sizes) -> Any:
    """The tokenizer of openai-whisper for a model.

    Raises:
        MissingBackend: openai-whisper is not installed.
        ConfigError: the vocabulary is not a published one.
    """
    try:
        from whisper.tokenizer import get_tokenizer
    except ImportError:
        raise MissingBackend.package(f"the tokenizer of {path}", "openai-whisper", "whisperx") from None
    if sizes.vocabulary not in VOCABULARIES:
        raise ConfigError(
            f"{path} has {sizes.vocabulary:,} token ids, but the vocabularies of openai-whisper have "
            f"{VOCABULARIES[0]:,} to {VOCABULARIES[-1]:,}; convert it from a folder with its own tokenizer.json"
        )
    # The English-only vocabulary has the tokens of 99 languages too.
    return get_tokenizer(sizes.multilingual, num_languages=max(99, len(languages(sizes.vocabulary))))


def decoding(path: Path, sizes: Sizes) -> Decoding:
    """The values of openai-whisper for decoding; `heads` only for a published model under its published file name."""
    tokenizer = published(path, sizes)
    markers = (tokenizer.transcribe, tokenizer.translate, tokenizer.sot, tokenizer.sot_prev, tokenizer.sot_lm)
    suppressed = sorted({*tokenizer.non_speech_tokens, *markers, tokenizer.no_speech})
    return Decoding(suppressed, [*tokenizer.encode(" "), tokenizer.eot], _heads(path.stem, sizes))


def _heads(name: str, sizes: Sizes) -> list[list[int]]:
    import whisper

    packed = getattr(whisper, "_ALIGNMENT_HEADS", {}).get(name)
    if packed is None:
        return []
    mask = np.frombuffer(gzip.decompress(base64.b85decode(packed)), bool)
    if mask.size != sizes.decoder_layers * sizes.decoder_heads:
        return []
    return np.argwhere(mask.reshape(sizes.decoder_layers, sizes.decoder_heads)).tolist()


def fast_tokenizer(encoding: Any) -> Any:
    """A byte-pair encoding of tiktoken as a tokenizer of the `tokenizers` package; merges follow from the ranks."""
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers

    # The printable stand-ins of bytes in GPT-2.
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    hidden = [byte for byte in range(256) if byte not in printable]
    letters = {byte: chr(byte) for byte in printable} | {byte: chr(256 + i) for i, byte in enumerate(hidden)}
    ranks = encoding._mergeable_ranks
    vocabulary, merges = {}, []

    def spelled(part: bytes) -> str:
        return "".join(letters[byte] for byte in part)

    for token, rank in sorted(ranks.items(), key=lambda item: item[1]):
        vocabulary[spelled(token)] = rank
        parts = [bytes([byte]) for byte in token]
        while len(parts) > 2:
            _, at = min((ranks.get(parts[i] + parts[i + 1], 1 << 60), i) for i in range(len(parts) - 1))
            parts[at : at + 2] = [parts[at] + parts[at + 1]]
        if len(parts) == 2:
            merges.append((spelled(parts[0]), spelled(parts[1])))
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=merges))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    for name, _ in sorted(encoding._special_tokens.items(), key=lambda item: item[1]):
        tokenizer.add_tokens([AddedToken(name, special=not name[2:3].isdigit(), normalized=False)])
    return tokenizer
