"""Words of a transcript for comparison with another one: English readings, in other languages Unicode words."""

from __future__ import annotations

from speechprep.artifacts.languages import without_region
from speechprep.tokenizers.english.spoken import readings
from speechprep.tokenizers.text.error_units import unicode_words
from speechprep.tokenizers.text.markup import unmarked


def is_english(language: str | None) -> bool:
    """True for English, and for an unknown language."""
    return language is None or without_region(language) in ("en", "eng", "english")


def compared_words(text: str, language: str | None = None) -> list[str]:
    """Words as spoken. Markup has none.

    Args:
        text: a transcript.
        language: code of its language. English and unknown languages have English readings of figures and symbols; a
            token without an English reading has its Unicode words. Other languages have Unicode words only.
    """
    return [word for form in compared_forms(text, language) for word in form]


def compared_forms(text: str, language: str | None = None) -> list[list[str]]:
    """`compared_words` for each token between white space."""
    marked = unmarked(text)
    if not is_english(language):
        return [unicode_words(token.text) for token in marked]
    found = zip(readings(text), marked, strict=True)
    return [reading.words or unicode_words(token.text) for reading, token in found]
