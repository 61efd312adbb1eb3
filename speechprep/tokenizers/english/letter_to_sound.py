"""Pronunciation of English words missing in a dictionary: spelling -> phones of the CMU set, without stress.

Forced alignment needs only the approximate number and kind of the sounds. The rules follow the NRL system (Elovitz et
al., "Automatic translation of English text to phonetics by means of letter-to-sound rules", NRL Report 7948, 1976):
they are read left to right, and the first match applies. `pronounce` first tries to compose the word from dictionary
words: "brickwork" = brick + work, "swellings" = swelling + s. All functions are pure: equal words have equal phones.
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
SHORTEST_PART = 3  # letters of the shortest part of a compound; shorter words occur inside most words
LONGEST = 40  # letters read by the rules; longer strings are not words


@lru_cache(maxsize=1)
def _rules() -> dict[str, list[tuple[str, re.Pattern[str] | None, re.Pattern[str] | None, tuple[str, ...]]]]:
    """The rules by first letter, with compiled contexts."""
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
    """Phones of a word from its spelling.

    Args:
        word: letters a-z, lower case; other characters are ignored. Only the first `LONGEST` letters are read.

    Returns:
        Phones from `PHONES`, at least one if there is a letter.
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
    """Phones of a word from the dictionary, its stem, two words in it, or its letters.

    Args:
        word: lower case, a-z and apostrophes.
        lookup: the dictionary: word -> phones separated by spaces, or None.
    """
    entry = lookup(word)
    if entry is not None:
        return entry.split()
    return _inflected(word, lookup) or _compound(word, lookup) or letter_to_sound(word)


def _stem(word: str, lookup: Lookup) -> list[str] | None:
    entry = lookup(word) if len(word) >= SHORTEST_PART else None
    return entry.split() if entry is not None else _compound(word, lookup)


def _inflected(word: str, lookup: Lookup) -> list[str] | None:
    """Phones of a stem plus an ending ('s, s, ed, ing, ...), or None."""
    if word.endswith(("'s", "s'", "'")):
        stem = word[:-1] if word.endswith("s'") else word.rstrip("s").rstrip("'")
        if word.endswith("s'"):  # the possessive sounds like the plural
            return pronounce(stem, lookup)
        phones = pronounce(stem, lookup) if stem else None
        return [*phones, *_plural(phones[-1])] if phones else None
    for ending, ending_phones in _ENDINGS:
        if not word.endswith(ending) or len(word) - len(ending) < SHORTEST_PART:
            continue
        base = word[: -len(ending)]
        bases = [base] if ending[0] not in "aeiou" else [base, base + "e", base[:-1] if base[-1] == base[-2] else base]
        stem_phones = next((phones for phones in (_stem(b, lookup) for b in bases) if phones), None)
        if stem_phones:
            return [*stem_phones, *(_ending(ending, stem_phones[-1]) or ending_phones)]
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
    """Phones of two dictionary words written as one, trying even splits first, or None."""
    if len(word) < 2 * SHORTEST_PART + 1:
        return None
    middle = len(word) / 2
    for at in sorted(range(SHORTEST_PART, len(word) - SHORTEST_PART + 1), key=lambda i: (abs(i - middle), i)):
        left, right = lookup(word[:at]), lookup(word[at:])
        if left is not None and right is not None:
            return [*left.split(), *right.split()]
    return None
