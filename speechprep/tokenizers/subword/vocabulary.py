"""Joint vocabulary of text and units, with an id range for each.

    0 .. 3     <pad> <s> </s> <unk>
    4 .. 9     <U_EN> <EOU> <T_EN> <EOS> <U2T> <T2U>    start and end of units and text, switch of modality
    10 .. 15   reserved
    16 ..      pieces of text, if there are any
    ..         pieces of units, or the units themselves

Text tokens and unit tokens never share an id, so generation in one modality masks the range of the other. Within a
range, id - offset is the id in the SentencePiece model stored beside the vocabulary. The marker tokens are those of
SUTLM (arXiv 2310.08715). The language in their names is an option.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from speechprep.errors import ConfigError, StaleArtifact
from speechprep.tokenizers.subword.model import TextSubword, UnitSubword
from speechprep.tokenizers.subword.unit_text import check_k, to_text, unit_dtype

MODALITIES = {
    "special": 0,
    "text": 1,
    "unit": 2,
    "switch": 3,
}  # modality codes of tokens; "switch" is the code of the six markers
FILE, MODALITY_FILE, TEXT_MODEL, UNIT_MODEL = "vocab.json", "token_modality.npy", "text.model", "units.model"

_VERSION = 1
_SPECIALS = ("<pad>", "<s>", "</s>", "<unk>")
_RESERVED = 6
_LANGUAGE = re.compile(r"[A-Za-z]{2,3}(-[A-Za-z0-9]{2,8})*")


@dataclass(frozen=True)
class Vocabulary:
    """The joint vocabulary of text and units. Create it with `build` or `load`.

    Attributes:
        k: number of units of the codebook; 0: text only.
        language: BCP 47 code in the names of the markers.
        text: subword model of text; None: no text.
        units: subword model of units; None: each unit is one token.
    """

    k: int
    language: str
    text: TextSubword | None
    units: UnitSubword | None

    pad, bos, eos, unk = range(len(_SPECIALS))
    u_start, u_end, t_start, t_end, u2t, t2u = range(len(_SPECIALS), len(_SPECIALS) + 6)
    text_offset = len(_SPECIALS) + 6 + _RESERVED

    @classmethod
    def build(
        cls, text_model: str | Path | None, unit_model: str | Path | None, k: int, language: str = "en"
    ) -> Vocabulary:
        """Join the models at two paths. None: no text, or units without subwords; k = 0: a vocabulary of text only.

        Raises:
            ConfigError: an invalid language or `k`.
            StaleArtifact: a model file is missing, or it was trained on a different number of units.
        """
        if k or text_model is None or unit_model is not None:
            check_k(k)
        if not _LANGUAGE.fullmatch(language):
            raise ConfigError(f"language {language!r} is no BCP 47 code; use a code like 'en' or 'pt-BR'")
        text = None if text_model is None else TextSubword.load(text_model)
        units = None if unit_model is None else UnitSubword.load(unit_model)
        if units is not None and units.k != k:
            raise StaleArtifact(
                f"the subword model was trained on {units.k} units, but the codebook has {k}; "
                "run the stage 'subword' again"
            )
        return cls(k, language, text, units)

    @property
    def text_size(self) -> int:
        """Number of text tokens."""
        return 0 if self.text is None else self.text.size

    @property
    def unit_offset(self) -> int:
        """First unit id."""
        return self.text_offset + self.text_size

    @property
    def unit_size(self) -> int:
        """Number of unit tokens."""
        return self.k if self.units is None else self.units.size

    @property
    def size(self) -> int:
        """Number of tokens."""
        return self.unit_offset + self.unit_size

    @cached_property
    def special_tokens(self) -> list[str]:
        """Strings of the tokens below `text_offset`, by id."""
        code = self.language.upper()
        markers = (f"<U_{code}>", "<EOU>", f"<T_{code}>", "<EOS>", "<U2T>", "<T2U>")
        return [*_SPECIALS, *markers, *(f"<reserved_{i}>" for i in range(_RESERVED))]

    @cached_property
    def tokens(self) -> list[str]:
        """Strings of all tokens, by id, without duplicates. Units are private-use characters (`unit_text`)."""
        text = [] if self.text is None else ["<unk_text>", *self.text.pieces[1:]]
        units = list(to_text(np.arange(self.k))) if self.units is None else ["<unk_unit>", *self.units.pieces[1:]]
        return [*self.special_tokens, *text, *units]

    @cached_property
    def token_modality(self) -> NDArray[np.int8]:
        """(size,) int8: modality code of each token, from `MODALITIES`."""
        codes = np.zeros(self.size, dtype=np.int8)
        codes[self.u_start : self.t2u + 1] = MODALITIES["switch"]
        codes[self.text_offset : self.unit_offset] = MODALITIES["text"]
        codes[self.unit_offset :] = MODALITIES["unit"]
        return codes

    def encode_units(
        self, flat: NDArray[Any], offsets: NDArray[np.int64]
    ) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
        """Units (n,) of many segments, without repeats, and offsets (s + 1,) -> token ids (m,) and offsets (s + 1,).

        Raises:
            StaleArtifact: a unit outside the vocabulary.
        """
        if self.units is None:
            if len(flat) and flat.max() >= self.k:
                raise StaleArtifact(
                    f"unit {flat.max()}, but the vocabulary has {self.k} units; use the vocabulary of this codebook"
                )
            return flat.astype(np.int32) + np.int32(self.unit_offset), offsets
        ids, offsets = self.units.encode_ragged(flat, offsets)
        return ids + np.int32(self.unit_offset), offsets

    def encode_texts(self, texts: Sequence[str]) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
        """s strings, each with a space before its first word -> token ids (m,) and offsets (s + 1,).

        Raises:
            ConfigError: the vocabulary has no text.
        """
        ids, offsets = self._text().encode_batch(texts)
        return ids + np.int32(self.text_offset), offsets

    def decode_units(self, ids: NDArray[np.integer[Any]]) -> NDArray[Any]:
        """Unit token ids (m,) -> units (n,), uint16 or uint32. Raises StaleArtifact for other ids."""
        model_ids = self._model_ids(ids, self.unit_offset, self.unit_size, "units")
        return model_ids.astype(unit_dtype(self.k)) if self.units is None else self.units.decode(model_ids)

    def decode_text(self, ids: NDArray[np.integer[Any]]) -> str:
        """Text token ids (m,) -> the encoded string. Raises StaleArtifact for other ids."""
        return self._text().decode(self._model_ids(ids, self.text_offset, self.text_size, "text"))

    def save(self, folder: str | Path) -> None:
        """Write the vocabulary, both models and, for BPE, the files of `transformers.AutoTokenizer`."""
        from speechprep.tokenizers.subword.hf_tokenizer import save_tokenizer

        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        for model, name in ((self.text, TEXT_MODEL), (self.units, UNIT_MODEL)):
            if model is not None:
                (folder / name).write_bytes(model.model)
        np.save(folder / MODALITY_FILE, self.token_modality, allow_pickle=False)
        described = json.dumps(self.describe(), indent=2, ensure_ascii=False) + "\n"
        (folder / FILE).write_text(described, encoding="utf-8")
        if self.has_tokenizer:
            save_tokenizer(folder, self.tokens, self.special_tokens, self.text, self.units)

    @property
    def has_tokenizer(self) -> bool:
        """True if `transformers` can load it: one tokenizer cannot combine a unigram model of units with BPE."""
        return self.units is None or self.units.algorithm == "bpe"

    def describe(self) -> dict[str, Any]:
        """Content of `vocab.json`: sizes, id ranges [start, stop), special tokens, modality codes."""
        return {
            "version": _VERSION,
            "size": self.size,
            "k": self.k,
            "language": self.language,
            "ranges": {
                "special": [0, self.text_offset],
                "text": [self.text_offset, self.unit_offset],
                "unit": [self.unit_offset, self.size],
            },
            "special_tokens": {token: i for i, token in enumerate(self.special_tokens)},
            "modalities": MODALITIES,
            "text_model": None if self.text is None else TEXT_MODEL,
            "unit_model": None if self.units is None else UNIT_MODEL,
            "unit_algorithm": "none" if self.units is None else self.units.algorithm,
        }

    @classmethod
    def load(cls, folder: str | Path) -> Vocabulary:
        """Read a folder written by `save`.

        Raises:
            StaleArtifact: a file is missing, or the models in the folder do not match `vocab.json`.
        """
        folder = Path(folder)
        try:
            description = json.loads((folder / FILE).read_text(encoding="utf-8"))
        except (FileNotFoundError, NotADirectoryError, json.JSONDecodeError) as error:
            raise StaleArtifact(f"no vocabulary in {str(folder)!r}; run the stage 'subword' again ({error})") from error
        text, units = (description.get(key) for key in ("text_model", "unit_model"))
        vocabulary = cls.build(
            text and folder / text, units and folder / units, description["k"], description["language"]
        )
        if vocabulary.describe() != description:
            raise StaleArtifact(f"{str(folder / FILE)!r} does not belong to the models beside it; run 'subword' again")
        return vocabulary

    def _text(self) -> TextSubword:
        if self.text is None:
            raise ConfigError("this vocabulary has no text; run the stage 'subword' with text_vocab_size above 0")
        return self.text

    @staticmethod
    def _model_ids(ids: NDArray[np.integer[Any]], offset: int, size: int, modality: str) -> NDArray[np.int64]:
        """(m,) ids in the SentencePiece model of a modality."""
        model_ids = np.asarray(ids, dtype=np.int64) - offset
        if len(model_ids) and not (model_ids.min() >= 0 and model_ids.max() < size):
            raise StaleArtifact(
                f"ids {ids.min()} to {ids.max()}, but ids of {modality} are {offset} to {offset + size - 1}; "
                "use the vocabulary of this row"
            )
        return model_ids
