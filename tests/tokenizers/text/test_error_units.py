"""Words and characters of every script, for error rates."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from speechprep.tokenizers.english.compared import compared_words
from speechprep.tokenizers.text.error_units import characters, composed, unicode_words
from speechprep.tokenizers.text.scripts import pieces

TABLE = """
Привет, мир! => привет мир
你好，世界 hello => 你 好 世 界 hello
コンピューター => コ ン ピュー ター
สวัสดี => ส วั ส ดี
เมือง => เมื อ ง
नमस्ते दुनिया => नमस्ते दुनिया
مرحبا بالعالم => مرحبا بالعالم
שלום עולם => שלום עולם
한국어 텍스트 => 한국어 텍스트
Ελλάδα => ελλάδα
Cafe\u0301 don’t well-known => café don't well-known
co\u00adoperate – yes => cooperate yes
2024年5月 => 2024 年 5 月
0'㐀 あ-a 㐀\u0300'0 => 0 㐀 あ a 㐀\u0300 0
'quoted' => quoted
STRASSE Straße => strasse strasse
""".strip().splitlines()


@pytest.mark.parametrize("line", TABLE)
def test_words_of_every_script(line):
    text, words = line.split(" => ")
    assert unicode_words(text) == words.split()


def test_white_space_between_unspaced_signs_is_no_character():
    assert characters("你 好  世界 hello  you") == "你好世界 hello you"


@given(st.text(max_size=40) | st.text(alphabet="'-\u2010a0e\u0301㐀あーเี้. ", max_size=12))
def test_the_form_of_composition_and_case_do_not_matter(text):
    words = unicode_words(text)
    assert unicode_words(unicodedata.normalize("NFD", text)) == words
    assert composed(composed(text)) == composed(text)
    assert unicode_words(" ".join(words)) == words
    for word in words:
        assert word == word.strip()
        assert any(unicodedata.category(c)[0] in "LMN" for c in word)


@given(st.text(alphabet="你好あーャกเี้ក្a1,.«» ", max_size=20))
def test_pieces_together_are_the_token(token):
    assert "".join(pieces(token)) == token


def test_words_as_spoken_of_several_languages():
    assert compared_words("It costs $5, привет (laughs quietly) 你好") == [
        "it",
        "costs",
        "five",
        "dollars",
        "привет",
        "你",
        "好",
    ]
    assert compared_words("5 Äpfel [lachen] <unk>", "de") == ["5", "äpfel"]
    assert compared_words("5 apples", "en-US") == ["five", "apples"]
