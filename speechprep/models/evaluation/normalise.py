"""Normalisations of transcripts before words are compared, by name. Scores of two normalisations are never compared.

`none`         the text as it is
`librispeech`  upper and lower case are one, nothing else: LibriSpeech's transcripts have no punctuation or digits
`whisper`      Whisper's EnglishTextNormalizer: contractions spelled out, fillers and bracketed text removed, American
               spelling, numbers as digits, no punctuation. It is the code of a library, never a copy of it
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable
from functools import cache
from importlib.util import find_spec

from speechprep.errors import ConfigError, MissingBackend

Normaliser = Callable[[str], str]
NORMALISATIONS = ("none", "librispeech", "whisper")


def normaliser(name: str, spellings: str | None = None) -> Normaliser:
    """The function behind a name.

    Args:
        name: one of `NORMALISATIONS`.
        spellings: for `whisper` without the package openai-whisper: a JSON file of British -> American spellings,
            `normalizer.json` of a Whisper model folder; transformers then normalises.

    Raises:
        ConfigError: unknown name, or an invalid or useless file of spellings.
        MissingBackend: `whisper` without either package.
    """
    if name not in NORMALISATIONS:
        raise ConfigError(f"unknown normalisation {name!r}; there are: {', '.join(NORMALISATIONS)}")
    if name != "whisper":
        if spellings:
            raise ConfigError(f"spellings belong to the normalisation 'whisper', not to {name!r}; leave them out")
        return str.casefold if name == "librispeech" else str
    return _transformers(spellings) if spellings else _openai()


@cache
def _openai() -> Normaliser:
    if not (find_spec("whisper") and find_spec("torch")):
        raise MissingBackend(
            "the normalisation 'whisper' needs the package 'openai-whisper' (pip install 'speechprep[train]'), or "
            "'transformers' and a table of spellings: normalizer.json of a Whisper model folder, by --spellings"
        )
    from whisper.normalizers import EnglishTextNormalizer

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)  # it leaves its table of spellings open
        normalise: Normaliser = EnglishTextNormalizer()
    return normalise


@cache
def _transformers(spellings: str) -> Normaliser:
    from speechprep.artifacts import storage

    if not find_spec("transformers"):
        raise MissingBackend.package("the normalisation 'whisper' with a table of spellings", "transformers", "hf")
    if not storage.exists(spellings):
        raise ConfigError(f"spellings {spellings!r}: there is no such file")
    try:
        table = json.loads(storage.read_bytes(spellings))
    except ValueError as error:
        raise ConfigError(f"spellings {spellings!r}: not JSON ({error})") from error
    if not isinstance(table, dict) or not all(isinstance(value, str) for value in table.values()):
        raise ConfigError(f"spellings {spellings!r}: needs one object of word -> word")
    from transformers.models.whisper.english_normalizer import EnglishTextNormalizer

    normalise: Normaliser = EnglishTextNormalizer(table)
    return normalise
