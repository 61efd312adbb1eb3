"""Token table of words: each distinct word is encoded once, then looked up.

In text models without pieces across a space, the tokens of a span of words are the concatenated tokens of its words,
each with its leading space. SentencePiece by default and the byte-level BPE of GPT-2 and OPT are models of this kind. A
span then needs no call of the text model, and the tokens of each of its words are known.
"""

from __future__ import annotations

from itertools import repeat
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from speechprep.errors import ConfigError
from speechprep.tokenizers.arrays.ragged import Ints, gather, offsets_of

if TYPE_CHECKING:
    from speechprep.tokenizers.subword.vocabulary import Vocabulary

MAX_WORDS = (
    1 << 18
)  # largest number of distinct words; a larger table is cleared, which bounds memory and changes no result


class WordTable:
    """Table of the tokens of words, filled on demand."""

    def __init__(self, vocab: Vocabulary) -> None:
        self.vocab = vocab
        self._checked = False
        self._clear()

    def _clear(self) -> None:
        self._codes: dict[str, int] = {}
        self._tokens = np.zeros(0, np.int32)
        self._offsets = np.zeros(1, np.int64)
        self._exact = np.zeros(0, bool)

    def look_up(self, words: pa.StringArray) -> Ints:
        """(n,) words -> (n,) codes for `exact` and `tokens`, valid until the next call.

        Raises:
            ConfigError: the text model has pieces across a space.
        """
        if len(self._codes) > MAX_WORDS:
            self._clear()
        encoded = words.dictionary_encode()
        distinct = encoded.dictionary.to_pylist()
        codes = np.fromiter(map(self._codes.get, distinct, repeat(-1)), np.int64, len(distinct))
        if codes.min(initial=0) < 0:
            self._add([distinct[i] for i in np.flatnonzero(codes < 0)])
            codes = np.fromiter(map(self._codes.__getitem__, distinct), np.int64, len(distinct))
        of_words: Ints = codes[np.asarray(encoded.indices)]
        return of_words

    def exact(self, codes: Ints) -> NDArray[np.bool_]:
        """(n,) True for words whose tokens decode to their spelling."""
        return self._exact[codes]

    def tokens(self, codes: Ints) -> tuple[NDArray[np.int32], Ints]:
        """Token ids of the words, concatenated, and offsets (n + 1,)."""
        lengths = np.diff(self._offsets)[codes]
        return gather(self._tokens, self._offsets[codes], lengths), offsets_of(lengths)

    def _add(self, words: list[str]) -> None:
        if not self._checked:
            self._check(words[:64])
        ids, offsets = self.vocab.encode_texts([" " + word for word in words])
        exact = [
            bool(word) and word.split() == [word] and self.vocab.decode_text(ids[a:b]) == " " + word
            for word, a, b in zip(words, offsets[:-1], offsets[1:], strict=True)
        ]
        self._codes.update(zip(words, range(len(self._codes), len(self._codes) + len(words)), strict=True))
        self._tokens = np.concatenate([self._tokens, ids])
        self._offsets = np.concatenate([self._offsets, self._offsets[-1] + offsets[1:]])
        self._exact = np.concatenate([self._exact, np.array(exact, bool)])

    def _check(self, words: list[str]) -> None:
        words = [word for word in words if word and word.split() == [word]]
        apart, _ = self.vocab.encode_texts([" " + word for word in words])
        together, _ = self.vocab.encode_texts(["".join(" " + word for word in words)])
        if not np.array_equal(apart, together):
            raise ConfigError(
                "the text model has pieces across a space, so words have no separate tokens; "
                "train it with split_by_whitespace (the default of SentencePiece)"
            )
        self._checked = True
