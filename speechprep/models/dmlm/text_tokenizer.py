"""Text tokenizers of DMLM: the tokenizer of OPT, or the SentencePiece model of a run."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from speechprep.errors import MissingBackend, first_line
from speechprep.tokenizers.arrays.ragged import Ints, offsets_of
from speechprep.tokenizers.subword.model import TextSubword

_MODEL = "text.model"


class TextTokenizer(Protocol):
    """Protocol of a text tokenizer."""

    @property
    def size(self) -> int:
        """Number of token ids."""

    @property
    def eos(self) -> int | None:
        """Id of </s>, or None."""

    @property
    def pad(self) -> int | None:
        """Id of <pad>, or None."""

    @property
    def text_ids(self) -> NDArray[np.int64]:
        """(n,) ids with text: without special tokens and unused ids."""

    def encode(self, texts: Sequence[str]) -> tuple[NDArray[np.int32], Ints]:
        """s strings -> token ids (m,) and offsets (s + 1,), without special tokens."""

    def decode(self, ids: Sequence[int]) -> str:
        """The text of token ids, without white space around it."""

    def save(self, folder: Path) -> None:
        """Write the tokenizer to a folder for `load_tokenizer`."""


class HubTokenizer:
    """A tokenizer of transformers, without the </s> that the tokenizer of OPT puts before each text."""

    def __init__(self, source: str) -> None:
        from transformers import AutoTokenizer

        try:
            self._tokenizer: Any = AutoTokenizer.from_pretrained(source, local_files_only=True)
        except (OSError, ValueError) as error:
            first = first_line(error)
            raise MissingBackend(
                f"no tokenizer at {source!r}; name a local folder, or fetch it first ({first})"
            ) from error
        self.size = len(self._tokenizer)
        self.eos, self.pad = self._tokenizer.eos_token_id, self._tokenizer.pad_token_id
        used = set(self._tokenizer.get_vocab().values()) - set(self._tokenizer.all_special_ids)
        self.text_ids = np.array(sorted(used), np.int64)

    def encode(self, texts: Sequence[str]) -> tuple[NDArray[np.int32], Ints]:
        """See `TextTokenizer`."""
        parts = self._tokenizer(list(texts), add_special_tokens=False)["input_ids"] if texts else []
        flat = np.array([i for part in parts for i in part], np.int32)
        return flat, offsets_of(np.array([len(part) for part in parts], np.int64))

    def decode(self, ids: Sequence[int]) -> str:
        """See `TextTokenizer`."""
        return str(self._tokenizer.decode(list(ids), clean_up_tokenization_spaces=False)).strip()

    def save(self, folder: Path) -> None:
        """See `TextTokenizer`."""
        self._tokenizer.save_pretrained(folder)


class SubwordTokenizer:
    """The text model in the `subword` folder of a run. It puts a space before the first word."""

    eos: int | None = None
    pad: int | None = None

    def __init__(self, path: Path) -> None:
        self._model = TextSubword.load(path)
        self.size = self._model.size
        self.text_ids = np.arange(self.size)

    def encode(self, texts: Sequence[str]) -> tuple[NDArray[np.int32], Ints]:
        """See `TextTokenizer`."""
        return self._model.encode_batch([" " + text for text in texts])

    def decode(self, ids: Sequence[int]) -> str:
        """See `TextTokenizer`."""
        return self._model.decode(ids).strip()

    def save(self, folder: Path) -> None:
        """See `TextTokenizer`."""
        folder.mkdir(parents=True, exist_ok=True)
        (folder / _MODEL).write_bytes(self._model.model)


def load_tokenizer(source: str) -> TextTokenizer:
    """The tokenizer in a folder, or by its hub id from the local cache."""

    model = Path(source) / _MODEL
    return SubwordTokenizer(model) if model.exists() else HubTokenizer(source)
