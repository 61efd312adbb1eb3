"""The text side of DMLM's vocabulary: OPT's tokenizer, or the SentencePiece model of a run."""

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


class Text(Protocol):
    """A tokenizer of text."""

    @property
    def size(self) -> int:
        """Ids."""

    @property
    def eos(self) -> int | None:
        """Of </s>; None where it has none."""

    @property
    def pad(self) -> int | None:
        """Of <pad>; None where it has none."""

    def encode(self, texts: Sequence[str]) -> tuple[NDArray[np.int32], Ints]:
        """s strings -> ids (m,), offsets (s + 1,); no special tokens."""

    def decode(self, ids: Sequence[int]) -> str:
        """The string of ids, without white space around it."""

    def save(self, folder: Path) -> None:
        """Save to a folder for `load_text`."""


class HubText:
    """A tokenizer of transformers. OPT's puts </s> before every text by itself; here it does not."""

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

    def encode(self, texts: Sequence[str]) -> tuple[NDArray[np.int32], Ints]:
        """See `Text`."""
        parts = self._tokenizer(list(texts), add_special_tokens=False)["input_ids"] if texts else []
        flat = np.array([i for part in parts for i in part], np.int32)
        return flat, offsets_of(np.array([len(part) for part in parts], np.int64))

    def decode(self, ids: Sequence[int]) -> str:
        """See `Text`."""
        return str(self._tokenizer.decode(list(ids), clean_up_tokenization_spaces=False)).strip()

    def save(self, folder: Path) -> None:
        """See `Text`."""
        self._tokenizer.save_pretrained(folder)


class RunText:
    """The text model of a run's `subword`; it needs no download. A space stands before the first word."""

    eos: int | None = None
    pad: int | None = None

    def __init__(self, path: Path) -> None:
        self._model = TextSubword.load(path)
        self.size = self._model.size

    def encode(self, texts: Sequence[str]) -> tuple[NDArray[np.int32], Ints]:
        """See `Text`."""
        return self._model.encode_batch([" " + text for text in texts])

    def decode(self, ids: Sequence[int]) -> str:
        """See `Text`."""
        return self._model.decode(ids).strip()

    def save(self, folder: Path) -> None:
        """See `Text`."""
        folder.mkdir(parents=True, exist_ok=True)
        (folder / _MODEL).write_bytes(self._model.model)


def load_text(source: str) -> Text:
    """The tokenizer in a folder, or of a hub id."""
    model = Path(source) / _MODEL
    return RunText(model) if model.exists() else HubText(source)
