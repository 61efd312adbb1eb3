"""The text of a transcript in the letters of a CTC model: written tokens, their spoken words, and letter ids."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from speechprep.pipelines.backends.aligners.timing import WILDCARD, with_wildcards
from speechprep.tokenizers.english.compared import is_english
from speechprep.tokenizers.english.spoken import readings
from speechprep.tokenizers.text import numbers, romanise
from speechprep.tokenizers.text.markup import Marked, unmarked
from speechprep.tokenizers.text.scripts import is_unspaced, pieces

STAR = -1  # letter id of a wildcard: any sound


class SpokenText(NamedTuple):
    """Written tokens, and the spoken words of each."""

    written: list[str]
    forms: list[list[str]]


def spoken_text(text: str, language: str, letters: Mapping[str, int]) -> SpokenText:
    """Tokens of a text with their spoken words.

    Tokens are separated by white space. In scripts without spaces each sign is a token, except that foreign words in
    English stay whole. English has the readings of `tokenizers.english.spoken`; in other languages numbers are words
    (num2words), all else is spelled as written, and if all letters of the model are those of English, words with
    other letters are romanised (uroman). A token with sound but without a letter of the model is a wildcard; adjacent
    wildcards are one.

    Args:
        text: a transcript.
        language: code of its language.
        letters: letter -> id of the model.
    """
    spans = _spans(text, split=not is_english(language) or any(is_unspaced(letter) for letter in letters))
    marked = unmarked(text, spans)
    latin = not is_english(language) and all(letter.isascii() for letter in letters)
    if is_english(language) and len(spans) == len(text.split()):
        words = [reading.words for reading in readings(text)]
    else:
        words = [_plain_words(token, language) for token in marked]
    forms: list[list[str]] = []
    for token, form in zip(marked, words, strict=True):
        form = form or _plain_words(token, language)
        form = [_in_letters(word, language, letters, latin=latin) for word in form]
        forms.append([word for word in form if any(c in letters for c in word)])
    unknown = [
        not form and (token.unknown or any(c.isalnum() for c in token.text))
        for token, form in zip(marked, forms, strict=True)
    ]
    return SpokenText([text[start:stop] for start, stop in spans], with_wildcards(forms, unknown))


def _spans(text: str, *, split: bool) -> list[tuple[int, int]]:
    spans = []
    for match in re.finditer(r"\S+", text):
        start = match.start()
        for piece in pieces(match[0]) if split else [match[0]]:
            spans.append((start, start + len(piece)))
            start += len(piece)
    return spans


def _plain_words(token: Marked, language: str) -> list[str]:
    return unicodedata.normalize("NFC", numbers.with_words(token.text, language)).split()


def _in_letters(word: str, language: str, letters: Mapping[str, int], *, latin: bool) -> str:
    foreign = latin and any(c.isalpha() and c not in letters for c in word)
    return romanise.romanised(word, language) if foreign else word


def spell(words: Sequence[str], letters: Mapping[str, int]) -> list[list[int]]:
    """The letter ids of each word; characters without a letter are left out. `[STAR]` is a wildcard."""
    return [[STAR] if word == WILDCARD else [letters[char] for char in word if char in letters] for word in words]


def sequence(
    spelled: Sequence[Sequence[int]], delimiter: int | None, *, edges: bool = False, between: bool = False
) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """All letters with a delimiter between words, and the word number of each (-1 for a delimiter or wildcard).

    Args:
        spelled: letter ids of each word.
        delimiter: id of the delimiter of words, if there is one.
        edges: a wildcard before the first and after the last word.
        between: a wildcard between words in place of the delimiter.
    """
    ids: list[int] = [STAR] if edges else []
    owners: list[int] = [-1] if edges else []
    for number, word in enumerate(spelled):
        if not word or (word[0] == STAR and ids[-1:] == [STAR]):
            continue
        if ids and STAR not in (ids[-1], word[0]) and (between or delimiter is not None):
            ids.append(STAR if between or delimiter is None else delimiter)
            owners.append(-1)
        ids += word
        owners += [-1 if word[0] == STAR else number] * len(word)
    if edges and ids[-1] != STAR:
        ids.append(STAR)
        owners.append(-1)
    return np.array(ids, np.int32), np.array(owners, np.int32)
