"""Normalisations of transcripts before scoring, by name. Scores of two normalisations are not comparable.

none         the unchanged text
librispeech  folded case; transcripts of LibriSpeech have no punctuation or digits
unicode      words of any script: folded case, composed form (NFC), no punctuation and symbols
whisper      EnglishTextNormalizer of openai-whisper or transformers: contractions spelled out, fillers and bracketed
             text removed, American spelling, numbers as digits, no punctuation
whisper-basic  BasicTextNormalizer of openai-whisper or transformers, for all other languages: folded case, bracketed
             text, punctuation and symbols removed
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable
from functools import cache
from importlib.util import find_spec

from speechprep.errors import ConfigError, MissingBackend
from speechprep.tokenizers.text.error_units import composed, unicode_words

Normaliser = Callable[[str], str]
NORMALISATIONS = ("none", "librispeech", "unicode", "whisper", "whisper-basic")


def normaliser(name: str, spellings: str | None = None) -> Normaliser:
    """The normalisation function of a name.

    Args:
        name: one of `NORMALISATIONS`.
        spellings: JSON file of British -> American spellings, `normalizer.json` of a Whisper model folder. With it,
            `whisper` uses transformers instead of openai-whisper.

    Raises:
        ConfigError: an unknown name, or an invalid or unused file of spellings.
        MissingBackend: `whisper` without either package.
    """
    if name not in NORMALISATIONS:
        raise ConfigError(f"unknown normalisation {name!r}; set one of {', '.join(NORMALISATIONS)}")
    if name != "whisper":
        if spellings:
            raise ConfigError(f"spellings have no effect on the normalisation {name!r}; set normalise=whisper")
        plain: dict[str, Normaliser] = {"librispeech": composed, "unicode": _unicode, "whisper-basic": _basic}
        return plain.get(name, str)
    return _transformers(spellings) if spellings else _openai()


def _unicode(text: str) -> str:
    return " ".join(unicode_words(text))


def _basic(text: str) -> str:
    return _basic_normaliser()(text)


@cache
def _basic_normaliser() -> Normaliser:
    if find_spec("whisper") and find_spec("torch"):
        from whisper.normalizers import BasicTextNormalizer
    elif find_spec("transformers"):
        from transformers.models.whisper.english_normalizer import BasicTextNormalizer
    else:
        raise MissingBackend.package("the normalisation 'whisper-basic'", "transformers", "hf")
    normalise: Normaliser = BasicTextNormalizer()
    return normalise


@cache
def _openai() -> Normaliser:
    if not (find_spec("whisper") and find_spec("torch")):
        raise MissingBackend(
            "the normalisation 'whisper' needs the package 'openai-whisper' (pip install 'speechprep[train]'), or "
            "'transformers' and a table of spellings: normalizer.json of a Whisper model folder, by --spellings"
        )
    from whisper.normalizers import EnglishTextNormalizer

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)  # the library leaves its table of spellings open
        normalise: Normaliser = EnglishTextNormalizer()
    return normalise


@cache
def _transformers(spellings: str) -> Normaliser:
    from speechprep.artifacts import storage

    if not find_spec("transformers"):
        raise MissingBackend.package("the normalisation 'whisper' with a table of spellings", "transformers", "hf")
    if not storage.exists(spellings):
        raise ConfigError(f"spellings {spellings!r}: no such file; name the normalizer.json of a Whisper model folder")
    try:
        table = json.loads(storage.read_bytes(spellings))
    except ValueError as error:
        raise ConfigError(f"spellings {spellings!r}: not JSON ({error}); name a normalizer.json") from error
    if not isinstance(table, dict) or not all(isinstance(value, str) for value in table.values()):
        raise ConfigError(f"spellings {spellings!r}: not an object of word -> word; name a normalizer.json")

    from transformers.models.whisper.english_normalizer import EnglishTextNormalizer

    normalise: Normaliser = EnglishTextNormalizer(table)
    return normalise
