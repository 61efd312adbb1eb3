"""Spoken forms of written English: each written token -> the words spoken for it.

An aligner finds the times of spoken words. The mapping transfers the times to the written tokens.

A token is a run of characters between white space. `" ".join(tokens(text))` is the text with normalised white space,
and no token is dropped or changed. A token without a spoken form has an empty list: a dash, an emoji, a word in another
script, or markup (`tokenizers.text.markup`). Spoken words consist of a-z and apostrophes, and accents are removed
(naïve -> naive). English readings exist for numbers, years, dates, ordinals, decimals, fractions, money, percentages,
clock times, units, codes (EM3985771), initials, abbreviations and web addresses. An ambiguous token gets its usual
reading. A wrong reading makes the borders of its token less precise, but never loses the token.
`tests/tokenizers/english/spoken_forms.tsv` has the readings of 471 tokens.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from typing import NamedTuple

from speechprep.tokenizers.english import notation
from speechprep.tokenizers.english.codes import abbreviated_number, abbreviation, address, letters, part
from speechprep.tokenizers.english.notation import AND, POWER
from speechprep.tokenizers.english.numerals import decimal, digits
from speechprep.tokenizers.english.quantities import Context, clock, feet_and_inches, money, quantity, unit_after_number
from speechprep.tokenizers.text.markup import unmarked

_OUTER = re.compile(r"^[^\w$€£¥₹#@&+=%°\xd7÷'.§∞-]+|[^\w$€£¥₹¢#@&+=%‰°\xd7÷'.∞§]+$")
_BEFORE_SIGN = re.compile(r"^[(\"']*([\xb1~≈<>≤≥√§])(?=[\d.$€£])")
_RAISED = re.compile("[⁰¹²³⁴-⁹⁻]+")


class Reading(NamedTuple):
    """Reading of a written token.

    Attributes:
        words: its spoken words; [] if nothing in it can be read.
        unknown: it stands for speech of unknown content: `<unk>`, or a word in another script.
    """

    words: list[str]
    unknown: bool


def tokens(text: str) -> list[str]:
    """Written tokens of a text, separated by white space."""
    return text.split()


def spoken_forms(text: str) -> list[list[str]]:
    """Spoken words of each of `tokens(text)`; an empty list for a token without a spoken form."""
    return [reading.words for reading in readings(text)]


def readings(text: str) -> list[Reading]:
    """The reading of each of `tokens(text)`."""
    marked = unmarked(text)
    written = [_fold(token.text) for token in marked]
    capitals = len(written) > 2 and text.isupper()
    phone = _telephone(written)
    forms: list[list[str]] = []
    quotes = 0
    for i, token in enumerate(written):
        if token.isascii() and token.isalpha() and token.islower() and len(token) > 5:  # the most frequent case
            forms.append([token])
            continue
        context = Context(
            _bare(written[i - 1]) if i else "",
            _bare(written[i + 1]) if i + 1 < len(written) else "",
            quoted=quotes % 2 == 1,
            capitals=capitals,
        )
        quotes += token.count('"')
        forms.append(digits(re.sub(r"\D", "", token)) if i in phone else _read(token, context))
    _move_currency(written, forms)
    return [
        Reading(form, unknown=not form and (mark.unknown or any(c.isalpha() for c in mark.text)))
        for form, mark in zip(forms, marked, strict=True)
    ]


def _fold(token: str) -> str:
    """The token with compatibility forms unified, and without accents, typographic and invisible signs."""
    if token.isascii():
        return token.translate(notation.FOLD) if "`" in token else token
    if "\u2160" <= token[0] <= "\u217f" and len(token.rstrip(".,")) == 1:  # a roman numeral of one character
        return str(int(unicodedata.numeric(token[0])))
    token = token.translate(notation.BEFORE_FOLD)
    token = re.sub(rf"(?<=\d)(?=[{notation.FRACTIONS}])", AND, token)
    token = re.sub(r"^N(?=\d)", "#", token) if token[:1] == "N" else token
    token = _RAISED.sub(lambda match: POWER + match[0].translate(notation.RAISED), token)
    token = unicodedata.normalize("NFKC", token).translate(notation.FOLD)
    decomposed = unicodedata.normalize("NFKD", token)
    plain = "".join(c for c in decomposed if not unicodedata.combining(c) and unicodedata.category(c) != "Cf")
    return "".join(str(unicodedata.decimal(c)) if c.isdecimal() else c for c in plain)


def _telephone(written: Sequence[str]) -> set[int]:
    """Numbers of the tokens in telephone numbers with spaces: (555) 123-4567, +44 20 7946 0958."""
    found: set[int] = set()
    for i, token in enumerate(written):
        after = written[i + 1] if i + 1 < len(written) else ""
        if re.fullmatch(r"\(\d{3}\)", token) and re.match(r"\d{3}-\d{4}", after):
            found |= {i, i + 1}
        elif re.fullmatch(r"\+\d{1,3}", token):
            stop = i + 1
            while stop < len(written) and re.fullmatch(r"\(?\d{1,5}\)?[.,]?|\d{2,5}(-\d{2,5})+[.,]?", written[stop]):
                stop += 1
            if stop > i + 2:
                found |= {j for j in range(i + 1, stop) if len(re.sub(r"\D", "", written[j])) > 2}
    return found


def _bare(token: str) -> str:
    return token.strip(".,;:!?\"'()-")


def _read(token: str, context: Context) -> list[str]:
    """Spoken words of one folded token."""
    if " " in token:
        return [word for piece in token.split() for word in _read(piece, context)]
    if token.isascii() and token.isalpha() and token.islower():
        return unit_after_number(token, context) or letters(token, context, mixed=False)
    if match := _BEFORE_SIGN.match(token):
        sign = notation.SIGNS[match[1]].split()
        return [*sign, *_read(token[match.end() :], context)]
    if (slashed := notation.SLASHED.get(token.strip('(),."').lower())) is not None:
        return slashed.split()
    if token in ("<", ">"):
        compared = all(len(side) == 1 or side[:1].isdigit() for side in (context.before, context.after))
        return notation.SIGNS[token].split() if compared else []
    if not context.quoted and (length := feet_and_inches(token)):
        return length
    token = _OUTER.sub("", token)
    whole = (money, clock, unit_after_number, quantity, abbreviation, abbreviated_number)
    for reader in whole:
        reading = reader(token, context)
        if reading is not None:
            return reading
    reading = address(token.rstrip("."))
    if reading is not None:
        return reading
    words: list[str] = []
    for piece in re.split(r"[-_]", token):
        if re.fullmatch(rf"(\d+{AND})?\d+/\d+", piece):
            words += quantity(piece, Context()) or []
        else:
            words += [word for half in piece.split("/") if half for word in part(half, context)]
    return words


def _move_currency(written: list[str], forms: list[list[str]]) -> None:
    """Move the currency after the scale, in place: "$5 million" is "five million dollars"."""
    for i in range(len(forms) - 1):
        head, scale = forms[i], forms[i + 1]
        if len(scale) != 1 or scale[0] not in notation.SCALES:
            continue
        match = re.match(r"\D{0,3}?([$€£¥₹])\d", written[i])
        if match is None:
            continue
        if len(head) > 1 and ("." not in written[i].rstrip(".,") or "-" in written[i]):
            if head[-1] in notation.MONEY[match[1]][:2]:
                scale.append(notation.MONEY[match[1]][1])
                head.pop()
        else:
            number = re.search(r"[\d,]*\d(?:\.\d+)?", written[i])
            if number:
                head[:] = decimal(number[0])
                scale.append(notation.MONEY[match[1]][1])
