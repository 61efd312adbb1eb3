"""Scripts: which letters are written without spaces between words, and pieces of such text."""

from __future__ import annotations

import re
import unicodedata

# Han, kana, Thai, Lao, Khmer, Myanmar, Tibetan and related blocks. Hangul has spaces.
_UNSPACED = (
    "\u0e00-\u0eff\u0f00-\u0fff\u1000-\u109f\u1780-\u17ff\u1950-\u19df\u1a20-\u1aaf\u2e80-\u2fdf\u3005-\u3007"
    "\u3021-\u3029\u3031-\u3035\u3038-\u303c\u3040-\u30ff\u31f0-\u31ff\u3400-\u4dbf\u4e00-\u9fff\ua9e0-\ua9ff"
    "\uaa60-\uaa7f\uf900-\ufaff\uff66-\uff9f\U0001b000-\U0001b16f\U00020000-\U0003ffff"
)
_ANY_UNSPACED = re.compile(f"[{_UNSPACED}]")
_BETWEEN = re.compile(rf"(?<=[{_UNSPACED}])\s+(?=[{_UNSPACED}])")
_BEFORE_CONSONANT = "\u0e40-\u0e44\u0ec0-\u0ec4"  # vowels of Thai and Lao, written before their consonant
_AFTER = "\u30fc\uff70ぁぃぅぇぉゃゅょゎァィゥェォャュョヮ"  # length mark and small kana belong to the sign before
_PIECE = re.compile(rf"[{_BEFORE_CONSONANT}]*[{_UNSPACED}][{_AFTER}]*|[^{_UNSPACED}]+")


def is_unspaced(text: str) -> bool:
    """True if the text has a letter of a script without spaces between words."""
    return _ANY_UNSPACED.search(text) is not None


def pieces(token: str) -> list[str]:
    """A token in pieces: one for each sign of a script without spaces, with its marks; other runs stay whole.

    The pieces together are the token. Punctuation belongs to the piece before it, at the start to the piece after it.
    """
    if not is_unspaced(token):
        return [token]
    found: list[str] = []
    for piece in _PIECE.findall(token):
        while found and piece and unicodedata.category(piece[0])[0] == "M":  # vowel signs and tone marks
            found[-1] += piece[0]
            piece = piece[1:]
        if not piece:
            continue
        if found and (not _has_letter(piece) or not _has_letter(found[-1])):
            found[-1] += piece
        else:
            found.append(piece)
    return found


def without_inner_spaces(text: str) -> str:
    """The text without white space between two signs of scripts without spaces."""
    return _BETWEEN.sub("", text)


def _has_letter(piece: str) -> bool:
    return any(c.isalnum() for c in piece)
