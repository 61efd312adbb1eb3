"""Spoken forms of written English: each written token -> the words spoken for it.

An aligner finds the times of spoken words. The mapping transfers the times to the written tokens.

A token is a run of characters between white space. `" ".join(tokens(text))` is the text with normalised white space,
and no token is dropped or changed. A token without a spoken form has an empty list: a dash, an emoji, a word in another
script, or a tag (`[noise]`, `<unk>`). Spoken words consist of a-z and apostrophes, and accents are removed (naïve ->
naive). English readings exist for numbers, years, ordinals, decades, decimals, money, percentages, clock times, units,
codes (EM3985771), initials, abbreviations and web addresses. An ambiguous token gets its usual reading. A wrong reading
makes the borders of its token less precise, but never loses the token.
"""

from __future__ import annotations

import re
import unicodedata
from typing import NamedTuple

from speechprep.tokenizers.english import notation
from speechprep.tokenizers.english.numerals import (
    LONGEST,
    cardinal,
    decimal,
    digits,
    fraction,
    ordinal,
    plural,
    roman,
    year,
)

_TAG = re.compile(r"[\[<{].*[\]>}][.,;:!?]*$")
_OUTER = re.compile(r"^[^\w$€£¥₹#@&+=%°\xd7÷'.-]+|[^\w$€£#@&+=%°\xd7÷'.]+$")
_NUMBER = r"\d{1,3}(?:,\d{3})+|\d+"


class _Context(NamedTuple):
    """Neighbours of a token, without punctuation; its reading may depend on them."""

    before: str
    after: str


def tokens(text: str) -> list[str]:
    """Written tokens of a text, separated by white space."""
    return text.split()


def spoken_forms(text: str) -> list[list[str]]:
    """Spoken words of each of `tokens(text)`; an empty list for a token without a spoken form."""
    written = [_fold(token) for token in tokens(text)]
    forms = []
    for i, token in enumerate(written):
        context = _Context(_bare(written[i - 1]) if i else "", _bare(written[i + 1]) if i + 1 < len(written) else "")
        forms.append(_read(token, context))
    _move_currency(written, forms)
    return forms


def _fold(token: str) -> str:
    """The token with compatibility forms unified, and without accents and typographic signs."""
    token = unicodedata.normalize("NFKC", token.translate(notation.ORDINAL_SIGNS)).translate(notation.FOLD)
    decomposed = unicodedata.normalize("NFKD", token)
    plain = "".join(c for c in decomposed if not unicodedata.combining(c))
    return "".join(str(unicodedata.decimal(c)) if c.isdecimal() else c for c in plain)


def _bare(token: str) -> str:
    return token.strip(".,;:!?\"'()-")


def _read(token: str, context: _Context) -> list[str]:
    """Spoken words of one folded token."""
    if token.isascii() and token.isalpha() and token.islower():  # the most frequent case
        return [token]
    if _TAG.match(token):
        return []
    token = _OUTER.sub("", token)
    for reader in (_money, _clock, _quantity, _abbreviation):
        reading = reader(token, context)
        if reading is not None:
            return reading
    words: list[str] = []
    for part in re.split(r"([-/_])", token):
        if part and part not in "-/_":
            words += _part(part, context)
    return words


def _move_currency(written: list[str], forms: list[list[str]]) -> None:
    """Move the currency after the scale, in place: "$5 million" is "five million dollars"."""
    for i in range(len(forms) - 1):
        head, scale = forms[i], forms[i + 1]
        match = re.match(r"\D{0,3}?([$€£¥₹])\d", written[i])
        if (
            match
            and len(scale) == 1
            and scale[0] in notation.SCALES
            and len(head) > 1
            and "." not in written[i].rstrip(".,")
        ):
            if head[-1] in notation.MONEY[match[1]][:2]:
                scale.append(notation.MONEY[match[1]][1])
                head.pop()
        elif match and len(scale) == 1 and scale[0] in notation.SCALES:
            number = re.search(r"[\d,]*\d(?:\.\d+)?", written[i])
            if number:
                head[:] = decimal(number[0])
                scale.append(notation.MONEY[match[1]][1])


# -- readings of a whole token; None for other kinds of tokens ---------------------------------------------------------


def _money(token: str, context: _Context) -> list[str] | None:
    """Amounts of money and ranges of amounts: $5, $3.50, $10-20k."""
    if match := re.fullmatch(r"([$€£¥₹][\d,.]+)-([$€£¥₹]?[\d,.]+[a-z]*)", token, re.I):
        low, high = _money(match[1], context), _money(match[2], context) or _quantity(match[2], context)
        return [*low, "to", *high] if low and high else None
    match = re.fullmatch(rf"(-?)(?:US|A|C|NZ)?([$€£¥₹])({_NUMBER})(\.\d+)?(k|mn?|bn?|tn)?[.,']*", token, re.I)
    if not match:
        return None
    sign, symbol, whole, part, scale = match.groups()
    one, many, hundredth, hundredths = notation.MONEY[symbol]
    words = ["minus"] if sign else []
    if scale:
        return [*words, *decimal(whole + (part or "")), notation.MAGNITUDES[scale.lower()], many]
    amount = int(whole.replace(",", ""))
    if part is None or not hundredth or len(part) != 3:
        return [*words, *decimal(whole + (part or "")), one if amount == 1 and not part else many]
    cents = int(part[1:])
    if amount or not cents:
        words += [*cardinal(amount), one if amount == 1 else many]
    if cents:
        words += [*(["and"] if amount else []), *cardinal(cents), hundredth if cents == 1 else hundredths]
    return words


def _clock(token: str, context: _Context) -> list[str] | None:
    """Clock times: 10:30, 7:05pm, 12:00:15."""
    match = re.fullmatch(r"(\d{1,2}):(\d\d)(?::(\d\d))?([ap])?\.?m?\.?", token, re.I)
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


def _quantity(token: str, context: _Context) -> list[str] | None:
    """Numbers, with a sign, an ending or a unit, and ranges of numbers."""
    token = token.rstrip(".,'")
    if match := re.fullmatch(rf"({_NUMBER})-({_NUMBER})(%|s|th|st|nd|rd)?", token):
        if re.fullmatch(r"\d{3}-\d{4}", token):
            return digits(match[1] + match[2])
        return [*_plain(match[1]), "to", *(_quantity(match[2] + (match[3] or ""), context) or [])]
    if re.fullmatch(r"\+?\d+(-\d+){2,}", token):  # telephone numbers, ISBNs
        return (["plus"] if token[0] == "+" else []) + digits(re.sub(r"\D", "", token))
    if match := re.fullmatch(r"(\d+)/(\d+)", token):
        return fraction(int(match[1]), int(match[2]))
    if re.fullmatch(r"\d+(/\d+){2}", token):
        return [word for part in token.split("/") for word in _plain(part)]
    if match := re.fullmatch(rf"([-+#]?)({_NUMBER})(st|nd|rd|th|s|'s)", token, re.I):
        number = int(match[2].replace(",", ""))
        return plural(_plain(match[2])) if match[3].lower() in ("s", "'s") else ordinal(number)
    if match := re.fullmatch(r"'(\d\d)(s?)", token):
        return plural(cardinal(int(match[1]))) if match[2] else _plain(match[1])
    match = re.fullmatch(rf"([-+#]?)({_NUMBER})?(\.\d+)?([a-z%°]{{0,3}})", token, re.I)
    if not match or not (match[2] or match[3]):
        return None
    unit = match[4].lower()
    if (unit and unit not in notation.UNITS) or unit == "s":
        return None
    sign = {"": [], "-": ["minus"], "+": ["plus"], "#": ["number"]}[match[1]]
    words = decimal((match[2] or "") + match[3]) if match[3] else _plain(match[2], counted=bool(unit))
    return [*sign, *words, *notation.UNITS.get(unit, "").split()]


def _plain(number: str, counted: bool = False) -> list[str]:  # noqa: FBT001, FBT002 - private
    """An unsigned integer as written: digits of a code, a year, or a cardinal."""
    value = number.replace(",", "")
    if (len(value) > 1 and value[0] == "0") or len(value) > LONGEST:
        return digits(value)
    if not counted and "," not in number and len(value) == 4 and 1100 <= int(value) < 2100:
        return year(int(value))
    return cardinal(int(value))


def _abbreviation(token: str, context: _Context) -> list[str] | None:
    """Abbreviations and initials with a full stop: Dr., e.g., J.R.R."""
    if not token.endswith((".", ".'s", ".,")):
        return None
    name = token.rstrip(".,").lower()
    if name in notation.BEFORE_NUMBER and context.after[:1].isdigit():
        return [notation.BEFORE_NUMBER[name]]
    if name in notation.BEFORE_NAME:
        return [notation.BEFORE_NAME[name][0 if context.after[:1].isupper() else 1]]
    if name in notation.ABBREVIATIONS:
        return notation.ABBREVIATIONS[name].split()
    if re.fullmatch(r"([a-z]\.)+[a-z]?('s)?|[b-hj-z]", name, re.I) and token[0] not in "'.":
        letters = [c for c in name.removesuffix("'s") if c != "."]
        return [*letters[:-1], letters[-1] + "'s"] if name.endswith("'s") else letters
    return None


# -- readings of the parts between hyphens and slashes -----------------------------------------------------------------


def _part(part: str, context: _Context) -> list[str]:
    """Spoken words of a part: a web address, a number, or a mixture of letters, digits and symbols."""
    if re.search(r"\w[.@]\w", part) and not re.fullmatch(r"[\d.,]+", part):
        pieces = re.split(r"([.@])", part.strip("."))
        readings = ({".": ["dot"], "@": ["at"]}.get(p) or _part(p, _Context("", "")) for p in pieces if p)
        return [word for reading in readings for word in reading]
    if quantity := _quantity(part, context):
        return quantity
    words: list[str] = []
    runs = re.findall(rf"{_NUMBER}|[A-Za-z']+|[&@+=%°\xd7÷$€£#]", part)
    mixed = any(run[0].isdigit() for run in runs)
    for run in runs:
        if run[0].isdigit():
            words += _code_number(run)
        elif run in notation.SYMBOLS:
            words += notation.SYMBOLS[run].split()
        else:
            words += _letters(run, context, mixed=mixed)
    return words


def _code_number(run: str) -> list[str]:
    """Digits inside a code: B52, A380, EM3985771."""
    value = run.replace(",", "")
    return digits(value) if len(value) > 4 or value[0] == "0" else _plain(value)


def _letters(run: str, context: _Context, mixed: bool) -> list[str]:  # noqa: FBT001 - private
    """A run of letters and apostrophes: a word, a roman numeral, or initials spoken separately."""
    word = run.lower().rstrip("'")
    if not word.startswith(("'em", "'t", "'cause", "'bout")):
        word = word.lstrip("'")
    bare = word.replace("'", "")
    if not bare:
        return []
    number = roman(run) if not mixed else None
    if number is not None and context.before:
        if context.before.lower() in notation.COUNTED:
            return cardinal(number)
        if context.before.istitle():
            return ["the", *ordinal(number)]
    capitals = run.isupper() or run.rstrip("s").isupper()
    if mixed and (len(bare) <= 2 or (capitals and len(bare) <= 4)):
        return list(bare)
    stem = word.removesuffix("'s") if word.endswith("'s") else bare.removesuffix("s") if run[-1:] == "s" else bare
    if capitals and 2 <= len(stem) <= 5 and not re.search("[aeiouy]", stem) and stem not in notation.NO_VOWEL:
        return [*stem[:-1], stem[-1] + "'s"] if len(bare) > len(stem) else list(stem)
    return [word]
