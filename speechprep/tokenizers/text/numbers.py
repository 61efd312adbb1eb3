"""Numbers in figures as words of a language, by the package num2words (extra `languages`)."""

from __future__ import annotations

import re
from functools import cache
from importlib.metadata import PackageNotFoundError, version

from speechprep.artifacts.languages import without_region

_NUMBER = re.compile(r"[-+\u2212]?\d+(?:[.,'\u2019]\d+)*%?")
_POINT = frozenset("am ar bn en he hi ja kn ko ne te th ur zh".split())  # noqa: SIM905 - a decimal point, not a comma
_PERCENT = {
    **{"de": "Prozent", "nl": "procent", "fr": "pour cent", "es": "por ciento", "it": "per cento", "pt": "por cento"},
    **{"sv": "procent", "da": "procent", "no": "prosent", "pl": "procent", "cs": "procent", "ru": "процентов"},
    **{"uk": "відсотків", "fi": "prosenttia", "hu": "százalék", "tr": "yüzde", "ro": "la sută", "ca": "per cent"},
}
LONGEST = 15  # digits of a number that is read as one


def installed() -> str | None:
    """Version of num2words; None if it is not installed."""
    try:
        return version("num2words")
    except PackageNotFoundError:
        return None


def with_words(token: str, language: str) -> str:
    """The token with its numbers as words; unchanged without num2words, and in languages that it does not know."""
    if not any(c.isdigit() for c in token) or installed() is None:
        return token
    return _NUMBER.sub(lambda match: _spoken(match[0], without_region(language)), token)


@cache
def _spoken(number: str, language: str) -> str:
    digits = number.strip("+-\u2212%")
    value = _value(digits, language)
    if value is None or len(digits) > LONGEST:
        return number
    words = _in_words(value, language)
    if words is None:
        return number
    percent = f" {_PERCENT[language]}" if number[-1] == "%" and language in _PERCENT else ""
    return f" {words}{percent} "


def _value(digits: str, language: str) -> int | float | None:
    """The number in the notation of the language; a separator before three digits that is not decimal groups them."""
    point = "." if language in _POINT else ","
    groups = re.split(r"[.,'\u2019]", digits)
    separators = re.findall(r"[.,'\u2019]", digits)
    if not separators:
        return int(digits)
    grouped = all(len(group) == 3 for group in groups[1:]) and len(groups[0]) <= 3 and len(set(separators)) == 1
    if grouped and (separators[0] != point or len(separators) > 1):
        return int("".join(groups))
    if separators[-1] == point and point not in separators[:-1] and all(len(group) == 3 for group in groups[1:-1]):
        return float("".join(groups[:-1]) + "." + groups[-1])
    return None


def _in_words(value: int | float, language: str) -> str | None:
    from num2words import num2words

    for kind in ("year", "cardinal") if isinstance(value, int) and 1100 <= value < 2100 else ("cardinal",):
        try:
            return str(num2words(value, lang=language, to=kind))
        except (NotImplementedError, OverflowError, TypeError, ValueError, KeyError, IndexError, AttributeError):
            continue
    return None
