"""How a word that is in no dictionary is probably said: English spelling -> phones of the CMU set, without stress.

Forced alignment asks little of a pronunciation: what counts is about how many sounds there are, and of which kind.
So this is a table of rules in the manner of the NRL system (Elovitz et al., "Automatic translation of English text to
phonetics by means of letter-to-sound rules", NRL Report 7948, 1976), read left to right, the first that fits wins.
`pronounce` first tries to build the word from words that a dictionary has: "brickwork" = brick + work, "swellings" =
swelling + s. Pure functions: the same word gives the same phones, whatever was asked before.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import lru_cache

from speechprep.tokenizers.english.letter_rules import RULES

Lookup = Callable[[str], str | None]


def _set(phones: str) -> frozenset[str]:
    return frozenset(phones.split())


PHONES = _set("AA AE AH AO AW AY B CH D DH EH ER EY F G HH IH IY JH K L M N NG OW OY P R S SH T TH UH UW V W Y Z ZH")
VOICELESS = _set("P T K F TH")
SIBILANT = _set("S Z SH ZH CH JH")
SHORTEST_PART = 3  # letters; shorter words are found inside of everything
LONGEST = 40  # letters that the rules read; more is no word


@lru_cache(maxsize=1)
def _rules() -> dict[str, list[tuple[str, re.Pattern[str] | None, re.Pattern[str] | None, tuple[str, ...]]]]:
    """The table by first letter, contexts compiled."""
    rules: dict[str, list[tuple[str, re.Pattern[str] | None, re.Pattern[str] | None, tuple[str, ...]]]] = {}
    for line in RULES.strip().splitlines():
        grapheme, left, right, phones = (part.strip() for part in re.split(r" ?\| ?(?![^(]*\))", line))
        rules.setdefault(grapheme[0], []).append(
            (
                grapheme,
                re.compile(f"(?:{left})$") if left else None,
                re.compile(right) if right else None,
                tuple(phones.split()),
            )
        )
    return rules


def letter_to_sound(word: str) -> list[str]:
    """Phones of a word by its spelling alone.

    Args:
        word: letters a-z, lower case; anything else is passed over. Only the first `LONGEST` letters are read.

    Returns:
        Phones of `PHONES`; at least one where there is a letter.
    """
    letters = "".join(c for c in word if "a" <= c <= "z")[:LONGEST]
    phones: list[str] = []
    at = 0
    while at < len(letters):
        for grapheme, left, right, sounds in _rules()[letters[at]]:
            if not letters.startswith(grapheme, at):
                continue
            if left is not None and not left.search(letters[:at]):
                continue
            if right is not None and not right.match(letters[at + len(grapheme) :]):
                continue
            phones.extend(sounds)
            at += len(grapheme)
            break
    return phones or (["AH"] if letters else [])


def pronounce(word: str, lookup: Lookup) -> list[str]:
    """Phones of a word that `lookup` may not have: from its stem, from two words of it, or by the letters.

    Args:
        word: lower case, a-z and apostrophes.
        lookup: the dictionary: a word -> its phones separated by spaces, or None.
    """
    known = lookup(word)
    if known is not None:
        return known.split()
    return _inflected(word, lookup) or _compound(word, lookup) or letter_to_sound(word)


def _stem(word: str, lookup: Lookup) -> list[str] | None:
    known = lookup(word) if len(word) >= SHORTEST_PART else None
    return known.split() if known is not None else _compound(word, lookup)


def _inflected(word: str, lookup: Lookup) -> list[str] | None:
    """Stem + 's, s, es, ed, ing and such endings, or None."""
    if word.endswith(("'s", "s'", "'")):
        stem = word[:-1] if word.endswith("s'") else word.rstrip("s").rstrip("'")
        if word.endswith("s'"):  # the plural sounds like the possessive
            return pronounce(stem, lookup)
        found = pronounce(stem, lookup) if stem else None
        return [*found, *_plural(found[-1])] if found else None
    for ending, phones in _ENDINGS:
        if not word.endswith(ending) or len(word) - len(ending) < SHORTEST_PART:
            continue
        base = word[: -len(ending)]
        bases = [base] if ending[0] not in "aeiou" else [base, base + "e", base[:-1] if base[-1] == base[-2] else base]
        found = next((f for f in (_stem(b, lookup) for b in bases) if f), None)
        if found:
            return [*found, *(_ending(ending, found[-1]) or phones)]
    return None


_ENDINGS: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("ings", ("IH", "NG", "Z")),
    ("ing", ("IH", "NG")),
    ("ed", ("D",)),
    ("ers", ("ER", "Z")),
    ("er", ("ER",)),
    ("est", ("AH", "S", "T")),
    ("s", ("Z",)),
    ("less", ("L", "AH", "S")),
    ("ness", ("N", "AH", "S")),
    ("ly", ("L", "IY")),
    ("ful", ("F", "AH", "L")),
    ("ment", ("M", "AH", "N", "T")),
    ("ity", ("AH", "T", "IY")),
    ("ish", ("IH", "SH")),
    ("able", ("AH", "B", "AH", "L")),
)


def _ending(ending: str, last: str) -> tuple[str, ...] | None:
    if ending == "s":
        return _plural(last)
    if ending == "ed":
        return ("IH", "D") if last in ("T", "D") else ("T",) if last in VOICELESS | {"S", "SH", "CH"} else ("D",)
    return None


def _plural(last: str) -> tuple[str, ...]:
    return ("IH", "Z") if last in SIBILANT else ("S",) if last in VOICELESS else ("Z",)


def _compound(word: str, lookup: Lookup) -> list[str] | None:
    """Two dictionary words written as one, the most even split first, or None."""
    if len(word) < 2 * SHORTEST_PART + 1:
        return None
    middle = len(word) / 2
    for at in sorted(range(SHORTEST_PART, len(word) - SHORTEST_PART + 1), key=lambda i: (abs(i - middle), i)):
        left, right = lookup(word[:at]), lookup(word[at:])
        if left is not None and right is not None:
            return [*left.split(), *right.split()]
    return None
