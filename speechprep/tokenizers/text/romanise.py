"""Romanisation of words of every script into the letters a-z, by the package uroman (extra `languages`)."""

from __future__ import annotations

import re
import unicodedata
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from speechprep.artifacts.languages import without_region

# ISO 639-1 -> 639-3, for languages with rules of their own in uroman
_CODES = {
    **{"ar": "ara", "fa": "fas", "ur": "urd", "ja": "jpn", "zh": "zho", "ru": "rus", "uk": "ukr", "be": "bel"},
    **{"bg": "bul", "mk": "mkd", "sr": "srp", "el": "ell", "he": "heb", "hi": "hin", "mr": "mar", "ne": "nep"},
    **{"th": "tha", "ko": "kor", "de": "deu", "tr": "tur", "kk": "kaz", "hy": "hye", "ka": "kat", "am": "amh"},
}


def installed() -> str | None:
    """Version of uroman; None if it is not installed."""
    try:
        return version("uroman")
    except PackageNotFoundError:
        return None


@cache
def romanised(word: str, language: str) -> str:
    """The word in the letters a-z and apostrophes; without uroman, its letters without accents.

    Args:
        word: in any script.
        language: ISO 639-1 or 639-3 code.
    """
    code = without_region(language)
    latin = _uroman().romanize_string(word, lcode=_CODES.get(code, code)) if installed() else word
    plain = unicodedata.normalize("NFKD", latin).replace("\u2019", "'").lower()
    return re.sub("[^a-z']", "", plain)


@cache
def _uroman() -> Any:
    from uroman import Uroman

    return Uroman()
