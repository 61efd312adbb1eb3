from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from speechprep.tokenizers.english.letter_to_sound import LONGEST, PHONES, letter_to_sound, pronounce

DICTIONARY = {"brick": "B R IH K", "work": "W ER K", "swelling": "S W EH L IH NG", "make": "M EY K", "stop": "S T AA P"}
REGULAR = {
    "station": "S T EY SH AH N",
    "night": "N AY T",
    "sheep": "SH IY P",
    "knock": "N AA K",
    "phone": "F OW N",
    "queen": "K W IY N",
    "little": "L IH T AH L",
    "bridge": "B R IH JH",
    "church": "CH ER CH",
    "wanted": "W AE N T IH D",
    "singing": "S IH NG IH NG",
    "make": "M EY K",
    "city": "S IH T IY",
    "picture": "P IH K CH ER",
}


@pytest.mark.parametrize(("word", "phones"), REGULAR.items())
def test_regular_spelling_is_read_as_it_is_said(word, phones):
    assert letter_to_sound(word) == phones.split()


@given(st.text(alphabet="abcdefghijklmnopqrstuvwxyz'", min_size=1, max_size=60))
def test_every_word_with_a_letter_has_known_phones_and_not_too_many(word):
    phones = letter_to_sound(word)
    assert set(phones) <= PHONES
    assert bool(phones) == any(c != "'" for c in word)
    assert len(phones) <= 3 * LONGEST


@given(st.text(max_size=20))
def test_any_text_at_all_is_survived(word):
    assert set(letter_to_sound(word)) <= PHONES


@pytest.mark.parametrize(
    ("word", "phones"),
    [
        ("brickwork", "B R IH K W ER K"),
        ("swellings", "S W EH L IH NG Z"),
        ("brick's", "B R IH K S"),
        ("making", "M EY K IH NG"),
        ("stopped", "S T AA P T"),
        ("bricks'", "B R IH K S"),
    ],
)
def test_a_word_is_made_of_words_that_the_dictionary_has(word, phones):
    assert pronounce(word, DICTIONARY.get) == phones.split()


def test_what_the_dictionary_says_goes_first_and_the_letters_last():
    assert pronounce("make", {"make": "M AA"}.get) == ["M", "AA"]
    assert pronounce("zorp", DICTIONARY.get) == letter_to_sound("zorp")


@given(st.text(alphabet="abekmorstw's", min_size=1, max_size=12))
def test_a_pronunciation_is_never_empty_where_there_is_a_letter(word):
    assert bool(pronounce(word, DICTIONARY.get)) == any(c != "'" for c in word)
