"""English number words: cardinals, ordinals, digits, decimals, years, fractions and roman numerals."""

from __future__ import annotations

import re

_ONES = (
    *("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve"),
    *("thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen"),
)
_TENS = ("", "", "twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety")
_GROUPS = ("", "thousand", "million", "billion", "trillion")
_ORDINALS = {
    **{"one": "first", "two": "second", "three": "third", "five": "fifth", "eight": "eighth", "nine": "ninth"},
    "twelve": "twelfth",
}
_ROMAN = {"I": 1, "V": 5, "X": 10, "L": 50}
LONGEST = 15  # digits of the longest named number; longer numbers are read digit by digit


def cardinal(number: int) -> list[str]:
    """1984 -> one thousand nine hundred eighty four. From 0 to 10 ** LONGEST - 1."""
    words: list[str] = []
    for power in range(len(_GROUPS) - 1, -1, -1):
        group = number // 1000**power % 1000
        if group:
            words += [*_below_thousand(group), *([_GROUPS[power]] if power else [])]
    return words or [_ONES[0]]


def _below_thousand(number: int) -> list[str]:
    hundreds, rest = divmod(number, 100)
    words = [_ONES[hundreds], "hundred"] if hundreds else []
    if rest >= len(_ONES):
        words.append(_TENS[rest // 10])
        rest %= 10
    return [*words, _ONES[rest]] if rest else words


def ordinal(number: int) -> list[str]:
    """21 -> twenty first."""
    *words, last = cardinal(number)
    return [*words, _ORDINALS.get(last) or (last[:-1] + "ieth" if last.endswith("y") else last + "th")]


def digits(number: str) -> list[str]:
    """007 -> zero zero seven."""
    return [word for digit in number for word in cardinal(int(digit))]


def decimal(number: str) -> list[str]:
    """3.14 -> three point one four; a number without fraction is a cardinal. Commas are ignored."""
    whole, _, part = number.replace(",", "").partition(".")
    words = (cardinal(int(whole)) if len(whole) <= LONGEST else digits(whole)) if whole else []
    return [*words, "point", *digits(part)] if part else words


def year(number: int) -> list[str]:
    """1984 -> nineteen eighty four, 1905 -> nineteen oh five, 2005 -> two thousand five."""
    century, rest = divmod(number, 100)
    if century % 10 == 0 and rest < 10:
        return cardinal(number)
    if rest == 0:
        return [*cardinal(century), "hundred"]
    return [*cardinal(century), *(["oh"] if rest < 10 else []), *cardinal(rest)]


def fraction(above: int, below: int) -> list[str]:
    """3/4 -> three quarters, 1/2 -> one half, 24/7 -> twenty four seven."""
    if above >= below or below > 20:
        return [*cardinal(above), *cardinal(below)]
    if below == 2:
        return ["one", "half"]
    name = ["quarter"] if below == 4 else ordinal(below)
    return [*cardinal(above), *(name if above == 1 else plural(name))]


def plural(words: list[str]) -> list[str]:
    """nineteen eighty -> nineteen eighties, quarter -> quarters."""
    last = words[-1]
    last = last[:-1] + "ies" if last.endswith("y") else last + ("es" if last.endswith("x") else "s")
    return [*words[:-1], last]


def roman(numeral: str) -> int | None:
    """XIV -> 14: numerals below ninety with at least two letters, in capitals; None for other strings."""
    if len(numeral) < 2 or not re.fullmatch(r"(XL|L?X{0,3})(IX|IV|V?I{0,3})", numeral):
        return None
    values = [_ROMAN[c] for c in numeral]
    return sum(-v if v < w else v for v, w in zip(values, [*values[1:], 0], strict=True))


def numbered(number: int) -> list[str]:
    """747 -> seven forty seven, 505 -> five oh five: three digits that name one of many, as a flight or a room."""
    hundreds, rest = divmod(number, 100)
    if number >= 1000 or not hundreds or not rest:
        return cardinal(number)
    return [*cardinal(hundreds), *(["oh"] if rest < 10 else []), *cardinal(rest)]


def power(exponent: str) -> list[str]:
    """2 -> squared, 3 -> cubed, -4 -> to the minus fourth."""
    if exponent in ("2", "3"):
        return ["squared" if exponent == "2" else "cubed"]
    minus = ["minus"] if exponent[0] == "-" else []
    number = exponent.lstrip("-")
    return ["to", "the", *minus, *(ordinal(int(number)) if len(number) <= LONGEST else digits(number))]
