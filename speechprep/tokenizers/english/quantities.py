"""English readings of tokens with numbers: money, clock times, dates, numbers with signs and units, fractions."""

from __future__ import annotations

import re
from typing import NamedTuple

from speechprep.tokenizers.english import notation
from speechprep.tokenizers.english.notation import AND, POWER
from speechprep.tokenizers.english.numerals import (
    LONGEST,
    cardinal,
    decimal,
    digits,
    fraction,
    numbered,
    ordinal,
    plural,
    power,
    year,
)
from speechprep.tokenizers.english.units import unit_name

NUMBER = r"\d{1,3}(?:,\d{3})+|\d+"
_SYMBOLS = "$€£¥₹"


class Context(NamedTuple):
    """Neighbours of a token, without punctuation; its reading may depend on them.

    Attributes:
        before, after: the neighbours, "" at the ends of the text.
        quoted: a quotation is open, so that a double quote closes it.
        capitals: the whole text is in capitals.
    """

    before: str = ""
    after: str = ""
    quoted: bool = False
    capitals: bool = False


def money(token: str, context: Context) -> list[str] | None:
    """Amounts of money and ranges of amounts: $5, $3.50, $10-20k, HK$5, $20-a-day."""
    if match := re.fullmatch(rf"([A-Z]{{0,2}}[{_SYMBOLS}][\d,.]+)-([{_SYMBOLS}]?[\d,.]+[a-z]*)", token, re.I):
        high = money(match[2], context)
        if high is None:  # $5-10: the currency is spoken once
            upper = money(re.sub(r"[\d,.]+", match[2], match[1], count=1), context)
            low = re.search(r"\d[\d,]*(?:\.\d+)?", match[1])
            return [*decimal(low[0]), "to", *upper] if upper and low else None
        low_amount = money(match[1], context)
        return [*low_amount, "to", *high] if low_amount else None
    if match := re.fullmatch(rf"([{_SYMBOLS}][\d,.]*\d)((?:-[A-Za-z]+)+)", token):
        daily = money(match[1], context)
        return [*daily, *match[2].lower().strip("-").split("-")] if daily else None
    match = re.fullmatch(rf"(-?)(US|A|C|NZ|HK)?([{_SYMBOLS}])(-?)({NUMBER})?(\.\d+)?(k|mn?|bn?|tn)?[.,']*", token, re.I)
    if not match or not (match[5] or match[6]):
        return None
    minus, country, symbol, inner, whole, part, scale = match.groups()
    one, many, hundredth, hundredths = notation.MONEY[symbol]
    words = ["minus"] if minus or inner else []
    place = notation.COUNTRIES[country.upper()] if country else []
    whole = whole or ("0" if part and len(part) == 3 else "")
    if scale:
        return [*words, *decimal(whole + (part or "")), notation.MAGNITUDES[scale.lower()], *place, many]
    amount = int(whole.replace(",", "") or 0)
    if part is None or not hundredth or len(part) != 3:
        return [*words, *decimal(whole + (part or "")), *place, one if amount == 1 and not part else many]
    cents = int(part[1:])
    if amount or not cents:
        words += [*cardinal(amount), *place, one if amount == 1 else many]
    if cents:
        words += [*(["and"] if amount else []), *cardinal(cents), hundredth if cents == 1 else hundredths]
    return words


def clock(token: str, context: Context) -> list[str] | None:
    """Clock times and their ranges: 10:30, 7:05pm, 12:00:15, 10a.m., 9:00-5:00."""
    if "-" in token and ":" in token:
        first, _, second = token.partition("-")
        last = clock(second, context)
        begin = clock(first, context._replace(after=re.sub(r"[\d:.]", "", second) or context.after))
        return [*begin, "to", *last] if begin and last else None
    if match := re.fullmatch(r"(\d{1,2})([ap])\.?m\.?[,.]*", token, re.I):
        return [*cardinal(int(match[1])), match[2].lower(), "m"]
    match = re.fullmatch(r"(\d{1,2}):(\d\d)(?::(\d\d))?([ap])?\.?m?\.?[,.]*", token, re.I)
    if not match or int(match[1]) > 24 or int(match[2]) > 59:
        return None
    hour, minute = int(match[1]), int(match[2])
    half = [match[4].lower(), "m"] if match[4] else []
    follows = re.sub(r"\W", "", context.after).lower()
    words = cardinal(hour)
    if minute:
        words += (["oh"] if minute < 10 else []) + cardinal(minute)
    elif not half and follows not in ("am", "pm", "oclock"):
        words.append("o'clock")
    if match[3]:
        words += cardinal(int(match[3]))
    return words + half


def date(token: str, context: Context) -> list[str] | None:
    """Dates in figures, and the day after the name of a month."""
    if match := re.fullmatch(r"(\d{4})-(\d\d)-(\d\d)", token):
        month, day = int(match[2]), int(match[3])
        if 1 <= month <= 12 and 1 <= day <= 31:
            return [notation.MONTH_NAMES[month], *ordinal(day), *plain(match[1])]
    match = re.fullmatch(r"(\d{1,2})([./-])(\d{1,2})\2(\d{4}|\d\d)", token)
    if match and (match[2] == "/" or len(match[4]) == 4):
        return [*cardinal(int(match[1])), *cardinal(int(match[3])), *plain(match[4])]
    if re.fullmatch("9/11", token):
        return ["nine", "eleven"]
    name = context.before.lower()
    if name in notation.MONTHS and (name != "may" or context.before[0].isupper()) and context.before[0].isalpha():
        follows = context.after.lower()
        if re.fullmatch(r"[1-9]|[12]\d|3[01]", token) and follows not in notation.SCALES:
            return ordinal(int(token))
    return None


def quantity(token: str, context: Context) -> list[str] | None:
    """Numbers, with a sign, an ending or a unit, ranges of numbers, fractions and powers."""
    token = token.rstrip(".,'")
    for reader in (date, _identifier, _fraction, _range, _with_ending, _power, _with_unit):
        reading = reader(token, context)
        if reading is not None:
            return reading
    return None


def _identifier(token: str, context: Context) -> list[str] | None:
    """Telephone numbers, ISBNs, versions, network addresses, and numbers after Boeing, Route, Apartment."""
    if re.fullmatch(r"\d{3}-\d{4}|\d{5}-\d{4}|\+?\d+(-\d+){2,}", token):
        return (["plus"] if token[0] == "+" else []) + digits(re.sub(r"\D", "", token))
    if re.fullmatch(r"\d+(\.\d+){3}", token):
        return " dot ".join(" ".join(digits(part)) for part in token.split(".")).split()
    if re.fullmatch(r"\d+(\.\d+){2}", token):
        first, *others = token.split(".")
        return [*cardinal(int(first[:LONGEST])), *(word for part in others for word in ["point", *digits(part)])]
    if match := re.fullmatch(r"v(\d+(?:\.\d+)*)", token, re.I):
        reading = quantity(match[1], Context())
        return ["version", *reading] if reading else None
    if re.fullmatch(r"0x[\da-f]+", token, re.I):
        return [word for c in token.lower() for word in (digits(c) if c.isdigit() else [c])]
    if context.before.lower() in notation.NUMBERED and re.fullmatch(r"[1-9]\d\d", token):
        return numbered(int(token))
    if context.before.lower() in notation.NUMBERED and (match := re.fullmatch(r"(\d{1,3})([A-Z])", token)):
        return [*numbered(int(match[1])), match[2].lower()]
    return None


def _fraction(token: str, context: Context) -> list[str] | None:
    """Fractions: 3/4, 3½, 1-1/2, and ½ after a number."""
    if match := re.fullmatch(rf"({NUMBER})(?:{AND}|-)(\d+)/(\d+)", token):
        return [*decimal(match[1]), *_and_part(int(match[2]), int(match[3]))]
    if not (match := re.fullmatch(r"(\d+)/(\d+)", token)):
        return None
    above, below = int(match[1]), int(match[2])
    if re.fullmatch(r"\d{1,3}", context.before) and 0 < above < below <= 20:
        return _and_part(above, below)
    return fraction(above, below)


def _and_part(above: int, below: int) -> list[str]:
    part = fraction(above, below)
    return ["and", *(["a", *part[1:]] if above == 1 else part)]


def _range(token: str, context: Context) -> list[str] | None:
    if match := re.fullmatch(rf"({NUMBER})-({NUMBER})(%|s|th|st|nd|rd)?", token):
        return [*plain(match[1]), "to", *(quantity(match[2] + (match[3] or ""), Context()) or [])]
    if match := re.fullmatch(r"([\d.,]+[%°]?)-([\d.,]+[%°a-z]*)", token, re.I):
        low, high = quantity(match[1], Context()), quantity(match[2], Context())
        return [*low, "to", *high] if low and high else None
    if match := re.fullmatch(r"(\d{1,3}):(\d{1,3})", token):
        return [*cardinal(int(match[1])), "to", *cardinal(int(match[2]))]
    if match := re.fullmatch(r"(\d{1,4})[x\xd7](\d{1,4})", token):
        return [*plain(match[1], counted=True), "by", *plain(match[2], counted=True)]
    return None


def _with_ending(token: str, context: Context) -> list[str] | None:
    """Ordinals, decades and plurals: 21st, 1980s, '90s."""
    if match := re.fullmatch(rf"([-+#]?)({NUMBER})(st|nd|rd|th|s|'s)", token, re.I):
        number = int(match[2].replace(",", ""))
        if len(match[2]) > LONGEST:
            return plural(digits(match[2]))
        if match[3].lower() in ("s", "'s"):
            words = ["hundred"] if match[2] == "100" else plain(match[2])
            return [*(["hashtag"] if match[1] == "#" else []), *plural(words)]
        return ordinal(number)
    if match := re.fullmatch(r"'(\d\d)(s?)", token):
        return plural(cardinal(int(match[1]))) if match[2] else plain(match[1])
    return None


def _power(token: str, context: Context) -> list[str] | None:
    """Powers and scientific notation: 10^2, 1.5e-3."""
    if match := re.fullmatch(rf"([-+]?[\d.,]+|[A-Za-z]){re.escape(POWER)}(-?\d+)", token):
        base = [match[1].lower()] if match[1].isalpha() else quantity(match[1], Context())
        return [*base, *power(match[2])] if base else None
    if match := re.fullmatch(r"([-+]?[\d.]*\d)e([-+]?\d{1,3})", token, re.I):
        base = quantity(match[1], Context())
        minus = ["minus"] if match[2][0] == "-" else []
        return [*base, "times", "ten", "to", "the", *minus, *ordinal(abs(int(match[2])))] if base else None
    return None


def _with_unit(token: str, context: Context) -> list[str] | None:
    if match := re.fullmatch(r"(\d{1,2})h([0-5]\d)(?:min|m)?", token):
        return [*cardinal(int(match[1])), "hour" if match[1] == "1" else "hours", *cardinal(int(match[2]))]
    if match := re.fullmatch(rf"({NUMBER})-([a-zA-Z%\xb5\u03bc]+)", token):
        name = unit_name(match[2], one=True, glued=False) if match[2].lower() not in ("a", "s", "h", "g", "m") else None
        return [*plain(match[1], counted=True), *name] if name else None
    match = re.fullmatch(
        rf"([-+#]?)({NUMBER})?(\.\d+)?((?:[a-z%\xb0\u2030\xa2$€£\xb5\u03bc]|\^\d)"
        rf"{{0,6}}(?:/[a-z]{{1,3}}(?:\^\d)?)?)",
        token,
        re.I,
    )
    if not match or not (match[2] or match[3]):
        return None
    sign = {"": [], "-": ["minus"], "+": ["plus"], "#": ["number"]}[match[1]]
    unit = unit_name(match[4], one=match[2] == "1" and not match[3]) if match[4] else []
    if unit is None or match[4] == "s":
        return None
    words = decimal((match[2] or "") + match[3]) if match[3] else plain(match[2], counted=bool(unit))
    return [*sign, *words, *unit]


def plain(number: str, counted: bool = False) -> list[str]:  # noqa: FBT001, FBT002 - private
    """An unsigned integer as written: digits of a code, a year, or a cardinal."""
    value = number.replace(",", "")
    if (len(value) > 1 and value[0] == "0") or len(value) > LONGEST:
        return digits(value)
    if not counted and "," not in number and len(value) == 4 and 1100 <= int(value) < 2100:
        return year(int(value))
    return cardinal(int(value))


def feet_and_inches(token: str) -> list[str] | None:
    """6', 12" and 5'10", with punctuation after it; a quotation mark closes a quotation otherwise."""
    match = re.fullmatch(r"(\d{1,4})(?:'(\d{1,2})\"|(['\"]))[.,;:!?)]*", token)
    if not match:
        return None
    if match[2]:
        return [*cardinal(int(match[1])), "feet", *cardinal(int(match[2])), "inches"]
    name = {"'": ("foot", "feet"), '"': ("inch", "inches")}[match[3]]
    return [*cardinal(int(match[1])), name[match[1] != "1"]]


def unit_after_number(token: str, context: Context) -> list[str] | None:
    """A unit in a token of its own after a number: 120 km/h."""
    if not re.fullmatch(r"[-+~]?(?:\d[\d,]*)?(?:\.?\d+)(?:/\d+)?", context.before):
        return None
    return unit_name(token.rstrip(".,"), one=context.before == "1", glued=False)
