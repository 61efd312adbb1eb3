"""Units of error rates for every script: words, with single signs where a script has no spaces, and characters.

Text is in the composed form NFC, without case. Punctuation and symbols separate words, except an apostrophe or hyphen
inside a word of a script with spaces. Marks (vowel signs, tones, accents) belong to their word.
"""

from __future__ import annotations

import re
import unicodedata

from speechprep.tokenizers.text.scripts import is_unspaced, pieces, without_inner_spaces

_APOSTROPHES = str.maketrans(dict.fromkeys("\u2018\u2019\u02bc\uff07", "'"))
_INNER = "'-\u2010\u2011"  # apostrophe and hyphens
_INVISIBLE = re.compile("[\u00ad\u200c-\u200f\u202a-\u202e\u2060-\u2064\ufeff]")


def composed(text: str) -> str:
    """The text in NFC and without case; equal spellings become equal strings."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", text).casefold())


def unicode_words(text: str) -> list[str]:
    """Words of a text in any script, without punctuation and case."""
    text = _INVISIBLE.sub("", composed(text).translate(_APOSTROPHES))
    kept = [c if _in_word(c) else " " for c in text]
    for i in range(1, len(text) - 1):
        if text[i] in _INNER and kept[i - 1] != " " and _in_word(text[i + 1]):
            kept[i] = text[i]
    return [word.strip(_INNER) for word in split_unspaced("".join(kept))]  # a sign beside a piece is not inside a word


def split_unspaced(text: str) -> list[str]:
    """Words between white space; of scripts without spaces, each sign with its marks."""
    if not is_unspaced(text):
        return text.split()
    return [piece for token in text.split() for piece in pieces(token)]


def characters(text: str) -> str:
    """Characters of a text for the character error rate: white space counts once, and not inside unspaced scripts."""
    return without_inner_spaces(" ".join(text.split()))


def _in_word(c: str) -> bool:
    return unicodedata.category(c)[0] in "LMN"
