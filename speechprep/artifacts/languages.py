"""Language codes: one code for the names `English`, `eng`, `en-US` and `Englisch` of a language."""

from __future__ import annotations

import re
from functools import lru_cache

_CODE = re.compile(r"[a-zA-Z]{2,3}")
_OLD = {"iw": "he", "in": "id", "ji": "yi"}  # replaced codes of ISO 639-1
_NAMED_IN = ("en", "de", "fr", "es", "it", "pt", "nl", "ru", "zh", "ja")  # languages of the names beside the own name


def without_region(code: str) -> str:
    """de of de-AT, in small letters."""
    return re.split("[-_]", code.lower())[0]


@lru_cache(maxsize=4096)
def language_code(name: str | None) -> str | None:
    """The code of a language: ISO 639-1 if it has one, else ISO 639-3, without region and script.

    Args:
        name: a code of ISO 639, a tag of BCP 47, or a name of the language in English, in the language itself or in one
            of some large languages.

    Returns:
        The code. Unknown names are returned without outer blanks, and empty ones as None.
    """
    if name is None or not (plain := name.strip()):
        return None
    parts = re.split(r"[-_]", plain)
    if _CODE.fullmatch(parts[0]) and all(re.fullmatch(r"[A-Za-z0-9]{1,8}", part) for part in parts[1:]):
        code = parts[0].lower()
        code = _OLD.get(code, code) if len(code) == 2 else _short().get(code, code)
        if len(code) == 2 or code in _english():
            return code
        if len(parts) > 1 or (len(code) <= 3 and plain.islower()):
            return plain  # an unknown code
    name = plain.casefold()
    return _names().get(name) or _own_names().get(name, plain)


@lru_cache(maxsize=1)
def _short() -> dict[str, str]:
    """Code with three letters -> code with two."""
    from babel.core import get_global

    codes = {old: new for old, new in get_global("language_aliases").items() if len(old) == 3 and len(new) == 2}
    return codes | {"tgl": "tl"}


@lru_cache(maxsize=1)
def _english() -> dict[str, str]:
    """Code -> English name."""
    from babel import Locale

    return {code: name for code, name in Locale("en").languages.items() if "_" not in code}


@lru_cache(maxsize=1)
def _names() -> dict[str, str]:
    """Name in lower case -> code, for names in some large languages; of two languages with one name, English counts."""
    from babel import Locale

    names: dict[str, str] = {"mandarin": "zh", "cantonese": "yue", "tagalog": "tl"}
    for language in _NAMED_IN:
        for code, name in Locale(language).languages.items():
            if code in _english():
                names.setdefault(name.casefold(), code)
    return names


@lru_cache(maxsize=1)
def _own_names() -> dict[str, str]:
    """Name of a language in the language itself, in lower case -> code, for languages with a code of two letters."""
    from babel import Locale, UnknownLocaleError

    names: dict[str, str] = {}
    for code in _english():
        if len(code) == 2:
            try:
                names.setdefault((Locale(code).languages.get(code) or code).casefold(), code)
            except (UnknownLocaleError, ValueError):
                continue
    return names
