"""A WordPiece tokenizer in the files of `transformers.BertTokenizerFast`: writing, reading, and encoding of texts.

Every BERT folder with `tokenizer.json` can be read, also one of another origin with other ids of the special tokens.
Texts are encoded literally: "[MASK]" in a transcript is five characters, not the special token.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from speechprep.errors import StaleArtifact
from speechprep.tokenizers.arrays.ragged import offsets_of

SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
CONTINUING = "##"
FILE, VOCABULARY = "tokenizer.json", "vocab.txt"
_NAMES = ("pad_token", "unk_token", "cls_token", "sep_token", "mask_token")


def text_steps(*, lowercase: bool) -> tuple[Any, Any]:
    """Normalizer and splitter of BERT, of the library `tokenizers`: cleaned text to words and punctuation marks."""
    from tokenizers import normalizers, pre_tokenizers

    return normalizers.BertNormalizer(lowercase=lowercase), pre_tokenizers.BertPreTokenizer()


def save_tokenizer(folder: Path, pieces: Sequence[str], *, lowercase: bool) -> None:
    """Write vocab.txt, tokenizer.json, tokenizer_config.json and special_tokens_map.json.

    Args:
        folder: existing folder.
        pieces: all pieces by id, starting with `SPECIAL`.
        lowercase: see `train.train_pieces`.
    """
    from tokenizers import AddedToken, Tokenizer, decoders, models, processors

    ids = {piece: i for i, piece in enumerate(pieces)}
    tokenizer = Tokenizer(models.WordPiece(ids, unk_token=SPECIAL[1], continuing_subword_prefix=CONTINUING))
    tokenizer.normalizer, tokenizer.pre_tokenizer = text_steps(lowercase=lowercase)
    cls, sep = SPECIAL[2:4]
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{cls}:0 $A:0 {sep}:0",
        pair=f"{cls}:0 $A:0 {sep}:0 $B:1 {sep}:1",
        special_tokens=[(cls, ids[cls]), (sep, ids[sep])],
    )
    tokenizer.decoder = decoders.WordPiece(prefix=CONTINUING)
    tokenizer.add_special_tokens([AddedToken(token, special=True, normalized=False) for token in SPECIAL])
    tokenizer.save(str(folder / FILE))
    named = dict(zip(_NAMES, SPECIAL, strict=True))
    config = {
        **named,
        "tokenizer_class": "BertTokenizerFast",
        "do_lower_case": lowercase,
        "strip_accents": None,
        "tokenize_chinese_chars": True,
        "model_max_length": 512,
        "clean_up_tokenization_spaces": False,
    }
    (folder / VOCABULARY).write_text("".join(f"{piece}\n" for piece in pieces), encoding="utf-8")
    for name, content in (("tokenizer_config.json", config), ("special_tokens_map.json", named)):
        (folder / name).write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


@dataclass(frozen=True)
class Encoded:
    """Pieces of texts as ragged arrays, without [CLS] and [SEP].

    Attributes:
        ids: (n,) int32 ids of all pieces.
        offsets: (texts + 1,) text i is ids[offsets[i] : offsets[i + 1]].
        begins: (n,) True for the first piece of a word. A punctuation mark is a word.
    """

    ids: NDArray[np.int32]
    offsets: NDArray[np.int64]
    begins: NDArray[np.bool_]

    @property
    def lengths(self) -> NDArray[np.int64]:
        """(texts,) number of pieces of each text."""
        return np.diff(self.offsets)

    def text(self, number: int) -> tuple[NDArray[np.int32], NDArray[np.bool_]]:
        """Pieces of one text, and the first pieces of its words."""
        part = slice(int(self.offsets[number]), int(self.offsets[number + 1]))
        return self.ids[part], self.begins[part]


@dataclass(frozen=True)
class WordPiece:
    """A tokenizer.

    Attributes:
        folder: its folder.
        size: number of pieces.
        pad, unk, cls, sep, mask: ids of the special tokens.
        fingerprint: SHA-256 of the pieces and of the normalisation. Two tokenizers with one fingerprint encode alike.
    """

    folder: str
    size: int
    pad: int
    unk: int
    cls: int
    sep: int
    mask: int
    fingerprint: str
    _tokenizer: Any

    @classmethod
    def load(cls, folder: str | Path) -> WordPiece:
        """The tokenizer of a folder.

        Raises:
            StaleArtifact: no readable `tokenizer.json` of the kind WordPiece, or no id of a special token.
        """
        from tokenizers import Tokenizer

        path = Path(folder) / FILE
        if not path.is_file():
            raise StaleArtifact(
                f"{folder} has no {FILE}; name a folder of the stage 'wordpiece' or of a BERT model with a fast "
                "tokenizer"
            )
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
            kind = content["model"]["type"]
        except (ValueError, KeyError, TypeError) as error:
            raise StaleArtifact(f"{path} is not a tokenizer ({error}); restore the file") from error
        if kind != "WordPiece":
            raise StaleArtifact(f"{path} is a tokenizer of the kind {kind!r}; name a folder with a WordPiece tokenizer")
        tokenizer = Tokenizer.from_str(json.dumps(content))
        tokenizer.no_padding()
        tokenizer.no_truncation()
        tokenizer.encode_special_tokens = True  # "[MASK]" in a text is text
        ids = [tokenizer.token_to_id(token) for token in SPECIAL]
        if None in ids:
            raise StaleArtifact(f"{path} has no token {SPECIAL[ids.index(None)]}; name the folder of a BERT tokenizer")
        identity = {"vocab": content["model"]["vocab"], "normalizer": content["normalizer"]}
        digest = sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()
        pad, unk, start, end, mask = ids
        return cls(str(folder), tokenizer.get_vocab_size(), pad, unk, start, end, mask, digest, tokenizer)

    @property
    def special_ids(self) -> dict[str, int]:
        """Special token -> id."""
        return dict(zip(SPECIAL, (self.pad, self.unk, self.cls, self.sep, self.mask), strict=True))

    def require_special_ids(self, wanted: dict[str, int], owner: str) -> None:
        """Check that a model was trained with these ids of the special tokens.

        Args:
            wanted: special token -> id in the model.
            owner: folder of the model, for the message.

        Raises:
            StaleArtifact: another id; the message names both.
        """
        for token, id in self.special_ids.items():
            if wanted.get(token, id) != id:
                raise StaleArtifact(
                    f"{token} has id {id} in the tokenizer of {self.folder} and id {wanted[token]} in {owner}; use the "
                    "tokenizer of the model"
                )

    def encode(self, texts: Iterable[str]) -> Encoded:
        """Pieces of texts, without [CLS] and [SEP]."""
        encodings = self._tokenizer.encode_batch(list(texts), add_special_tokens=False)
        offsets = offsets_of(np.array([len(one.ids) for one in encodings], np.int64))
        ids = np.fromiter((id for one in encodings for id in one.ids), np.int32, int(offsets[-1]))
        words = np.fromiter((word for one in encodings for word in one.word_ids), np.int64, int(offsets[-1]))
        begins = np.ones(len(ids), np.bool_)
        begins[1:] = words[1:] != words[:-1]
        begins[offsets[:-1][np.diff(offsets) > 0]] = True
        return Encoded(ids, offsets, begins)

    def save(self, folder: Path) -> None:
        """Copy the files of the tokenizer to an existing folder."""
        for name in (FILE, VOCABULARY, "tokenizer_config.json", "special_tokens_map.json"):
            source = Path(self.folder) / name
            if source.is_file():
                (folder / name).write_bytes(source.read_bytes())
