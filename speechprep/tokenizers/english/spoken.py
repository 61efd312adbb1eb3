"""How a written text is said: each written token -> the words spoken for it, so that a time found for what was said
can be given back to what was written.

A token is a run of characters between white space: `" ".join(tokens(text))` is the text with its white space
normalised, and no token is ever dropped or changed. A token with nothing to say (a dash, an emoji, a word in another
script, a tag such as `[noise]` or `<unk>`) has an empty list. Spoken words are made of a-z and apostrophes; accents are
folded (naïve -> naive). English readings: numbers, years, ordinals, decades, decimals, money, percentages, clock times,
units, codes (EM3985771), initials, abbreviations, addresses of the web. Where a token can be read in several ways the
usual one is taken; a wrong guess costs some precision at the borders of that token, never the token.
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


class _Around(NamedTuple):
    """What the reading of a token may depend on."""

    before: str  # the token before, letters only, as written
    after: str


def tokens(text: str) -> list[str]:
    """The written tokens of a text: what stands between white space."""
    return text.split()


def spoken_forms(text: str) -> list[list[str]]:
    """The spoken words of each of `tokens(text)`; an empty list where there is nothing to say."""
    written = [_fold(token) for token in tokens(text)]
    forms = []
    for i, token in enumerate(written):
        around = _Around(_bare(written[i - 1]) if i else "", _bare(written[i + 1]) if i + 1 < len(written) else "")
        forms.append(_read(token, around))
    _move_currency(written, forms)
    return forms


def _fold(token: str) -> str:
    """Compatible characters made one, accents and typographic signs made plain."""
    token = unicodedata.normalize("NFKC", token.translate(notation.ORDINAL_SIGNS)).translate(notation.FOLD)
    decomposed = unicodedata.normalize("NFKD", token)
    plain = "".join(c for c in decomposed if not unicodedata.combining(c))
    return "".join(str(unicodedata.decimal(c)) if c.isdecimal() else c for c in plain)


def _bare(token: str) -> str:
    return token.strip(".,;:!?\"'()-")


def _read(token: str, around: _Around) -> list[str]:
    """Spoken words of one folded token."""
    if token.isascii() and token.isalpha() and token.islower():  # most of them
        return [token]
    if _TAG.match(token):
        return []
    token = _OUTER.sub("", token)
    for reader in (_money, _clock, _quantity, _abbreviation):
        found = reader(token, around)
        if found is not None:
            return found
    words: list[str] = []
    for part in re.split(r"([-/_])", token):
        if part and part not in "-/_":
            words += _part(part, around)
    return words


def _move_currency(written: list[str], forms: list[list[str]]) -> None:
    """ "$5 million" is "five million dollars": the currency goes behind the scale."""
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


# -- readings of a whole token: None where it is no such thing --------------------------------------------------------


def _money(token: str, around: _Around) -> list[str] | None:
    if match := re.fullmatch(r"([$€£¥₹][\d,.]+)-([$€£¥₹]?[\d,.]+[a-z]*)", token, re.I):
        low, high = _money(match[1], around), _money(match[2], around) or _quantity(match[2], around)
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


def _clock(token: str, around: _Around) -> list[str] | None:
    match = re.fullmatch(r"(\d{1,2}):(\d\d)(?::(\d\d))?([ap])?\.?m?\.?", token, re.I)
    if not match or int(match[1]) > 24 or int(match[2]) > 59:
        return None
    hour, minute = int(match[1]), int(match[2])
    half = [match[4].lower(), "m"] if match[4] else []
    follows = re.sub(r"\W", "", around.after).lower()
    words = cardinal(hour)
    if minute:
        words += (["oh"] if minute < 10 else []) + cardinal(minute)
    elif not half and follows not in ("am", "pm", "oclock"):
        words.append("o'clock")
    if match[3]:
        words += cardinal(int(match[3]))
    return words + half


def _quantity(token: str, around: _Around) -> list[str] | None:
    """Numbers alone, with a sign, an ending or a unit, and ranges of them."""
    token = token.rstrip(".,'")
    if match := re.fullmatch(rf"({_NUMBER})-({_NUMBER})(%|s|th|st|nd|rd)?", token):
        if re.fullmatch(r"\d{3}-\d{4}", token):
            return digits(match[1] + match[2])
        return [*_plain(match[1]), "to", *(_quantity(match[2] + (match[3] or ""), around) or [])]
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


def _abbreviation(token: str, around: _Around) -> list[str] | None:
    if not token.endswith((".", ".'s", ".,")):
        return None
    name = token.rstrip(".,").lower()
    if name in notation.BEFORE_NUMBER and around.after[:1].isdigit():
        return [notation.BEFORE_NUMBER[name]]
    if name in notation.BEFORE_NAME:
        return [notation.BEFORE_NAME[name][0 if around.after[:1].isupper() else 1]]
    if name in notation.ABBREVIATIONS:
        return notation.ABBREVIATIONS[name].split()
    if re.fullmatch(r"([a-z]\.)+[a-z]?('s)?|[b-hj-z]", name, re.I) and token[0] not in "'.":
        letters = [c for c in name.removesuffix("'s") if c != "."]
        return [*letters[:-1], letters[-1] + "'s"] if name.endswith("'s") else letters
    return None


# -- readings of what is left between hyphens and strokes --------------------------------------------------------------


def _part(part: str, around: _Around) -> list[str]:
    if re.search(r"\w[.@]\w", part) and not re.fullmatch(r"[\d.,]+", part):
        pieces = re.split(r"([.@])", part.strip("."))
        readings = ({".": ["dot"], "@": ["at"]}.get(p) or _part(p, _Around("", "")) for p in pieces if p)
        return [word for reading in readings for word in reading]
    if found := _quantity(part, around):
        return found
    words: list[str] = []
    runs = re.findall(rf"{_NUMBER}|[A-Za-z']+|[&@+=%°\xd7÷$€£#]", part)
    mixed = any(run[0].isdigit() for run in runs)
    for run in runs:
        if run[0].isdigit():
            words += _code_number(run)
        elif run in notation.SYMBOLS:
            words += notation.SYMBOLS[run].split()
        else:
            words += _letters(run, around, mixed=mixed)
    return words


def _code_number(run: str) -> list[str]:
    """Digits inside of a code: B52, A380, EM3985771."""
    value = run.replace(",", "")
    return digits(value) if len(value) > 4 or value[0] == "0" else _plain(value)


def _letters(run: str, around: _Around, mixed: bool) -> list[str]:  # noqa: FBT001 - private
    """A run of letters and apostrophes: a word, a roman numeral, or initials said one by one."""
    word = run.lower().rstrip("'")
    if not word.startswith(("'em", "'t", "'cause", "'bout")):
        word = word.lstrip("'")
    bare = word.replace("'", "")
    if not bare:
        return []
    number = roman(run) if not mixed else None
    if number is not None and around.before:
        if around.before.lower() in notation.COUNTED:
            return cardinal(number)
        if around.before.istitle():
            return ["the", *ordinal(number)]
    capitals = run.isupper() or run.rstrip("s").isupper()
    if mixed and (len(bare) <= 2 or (capitals and len(bare) <= 4)):
        return list(bare)
    stem = word.removesuffix("'s") if word.endswith("'s") else bare.removesuffix("s") if run[-1:] == "s" else bare
    if capitals and 2 <= len(stem) <= 5 and not re.search("[aeiouy]", stem) and stem not in notation.NO_VOWEL:
        return [*stem[:-1], stem[-1] + "'s"] if len(bare) > len(stem) else list(stem)
    return [word]
