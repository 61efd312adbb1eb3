from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from speechprep.tokenizers.english.numerals import cardinal, ordinal, roman, year
from speechprep.tokenizers.english.spoken import spoken_forms, tokens

# written -> said; several tokens are separated by " | " in both
TABLE = """
1984: => nineteen eighty four
$5.50 => five dollars and fifty cents
& => and
30% => thirty percent
naïve => naive
café => cafe
$43,000. => forty three thousand dollars
EM3985771 => e m three nine eight five seven seven one
8:00 => eight o'clock
8:00 | p.m. => eight | p m
8:05am, => eight oh five a m
12:45 => twelve forty five
10:30:15 => ten thirty fifteen
Mr. | Smith => mister | smith
Mrs. => missus
Dr. | Jones => doctor | jones
Elm | Dr. => elm | drive
St. | Paul => saint | paul
Elm | St. => elm | street
MR => mr
1st => first
2nd, => second
3rd => third
12th => twelfth
21st => twenty first
100,000th => one hundred thousandth
1980s => nineteen eighties
1980's => nineteen eighties
'90s => nineties
’90s => nineties
1066 => one thousand sixty six
1492 => fourteen ninety two
1900 => nineteen hundred
1905 => nineteen oh five
2000 => two thousand
2005 => two thousand five
2010 => twenty ten
2100 => two thousand one hundred
1,984 => one thousand nine hundred eighty four
3.14 => three point one four
.5 => point five
-5 => minus five
−5 => minus five
+44 => plus forty four
1/2 => one half
3/4 => three quarters
2/3 => two thirds
½ => one half
24/7 => twenty four seven
0 => zero
007 => zero zero seven
1,000,000 => one million
12,345.67 => twelve thousand three hundred forty five point six seven
$5 | million => five | million dollars
£3.5 | billion => three point five | billion pounds
$1 => one dollar
$1.01 => one dollar and one cent
$0.99 => ninety nine cents
€20 => twenty euros
£2.50 => two pounds and fifty pence
¥100 => one hundred yen
$5k => five thousand dollars
$10-$20 => ten dollars to twenty dollars
US$7 => seven dollars
20% => twenty percent
5kg => five kilograms
10km => ten kilometers
100mph => one hundred miles per hour
20°C => twenty degrees celsius
37.5° => thirty seven point five degrees
3x => three times
20-30 => twenty to thirty
1914–18 => nineteen fourteen to eighteen
30–40% => thirty to forty percent
555-1234 => five five five one two three four
No. | 5 => number | five
No. => no
#1 => number one
pp. | 20 => pages | twenty
twenty-one => twenty one
4-year-old => four year old
12th-century => twelfth century
and/or => and or
"Hello," => hello
(sic) => sic
word— => word
don't => don't
don’t => don't
o'clock => o'clock
'cause => 'cause
boys' => boys
rock'n'roll => rock'n'roll
O'Brien's => o'brien's
U.S. => u s
U.S.A. => u s a
F.B.I.'s => f b i's
J. | K. | Rowling => j | k | rowling
Ph.D. => p h d
e.g. => for example
i.e., => that is
etc. => et cetera
vs. => versus
BBC => b b c
TV => t v
NASA => nasa
MP3 => m p three
B52 => b fifty two
C-3PO => c three p o
3D => three d
AT&T => at and t
R&D => r and d
C++ => c plus plus
Louis | XIV => louis | the fourteenth
Chapter | IV => chapter | four
I => i
www.example.com => www dot example dot com
me@site.org => me at site dot org
x=y => x equals y
Straße => strasse
ﬁne => fine
Øre => ore
٣ => three
1234567890123456789 => one two three four five six seven eight nine zero one two three four five six seven eight nine
""".strip().splitlines()

SILENT = ["—", "-", "…", "...", "🙂", "«привет»", "東京", "[noise]", "<unk>", "[noise].", "'", "???", ")", "--", "♪"]


@pytest.mark.parametrize("line", TABLE)
def test_written_tokens_are_said_as_english_says_them(line):
    written, spoken = line.split(" => ")
    assert [" ".join(form) for form in spoken_forms(written.replace(" | ", " "))] == spoken.split(" | ")


@pytest.mark.parametrize("token", SILENT)
def test_what_cannot_be_said_has_no_words_and_stays_a_token(token):
    assert tokens(f"a {token} b") == ["a", token, "b"]
    assert spoken_forms(f"go {token} on") == [["go"], [], ["on"]]


@given(st.text(max_size=60))
def test_every_token_has_an_entry_and_spoken_words_are_plain_letters(text):
    forms = spoken_forms(text)
    assert len(forms) == len(tokens(text)) == len(text.split())
    for form in forms:
        for word in form:
            assert re.fullmatch(r"[a-z']*[a-z][a-z']*", word), (text, word)


@given(st.text(alphabet="0123456789$€£%,.:-/'#+stndrhkmxAIXV& ", max_size=30))
def test_every_token_with_a_digit_is_said(text):
    for token, form in zip(tokens(text), spoken_forms(text), strict=True):
        assert form or not re.search(r"\d", token), token


@given(st.integers(0, 10**15 - 1))
def test_cardinals_add_up(number):
    values = {w: i for i, w in enumerate(cardinal(i)[0] for i in range(20))}
    values |= {cardinal(i)[0]: i for i in range(20, 100, 10)}
    scales = {"thousand": 10**3, "million": 10**6, "billion": 10**9, "trillion": 10**12}
    total = group = 0
    for word in cardinal(number):
        if word == "hundred":
            group *= 100
        elif word in scales:
            total, group = total + group * scales[word], 0
        else:
            group += values[word]
    assert total + group == number


def test_ordinals_years_and_roman_numerals():
    assert ordinal(40) == ["fortieth"]
    assert ordinal(112) == ["one", "hundred", "twelfth"]
    assert year(1800) == ["eighteen", "hundred"]
    assert [roman(n) for n in ("XIV", "IX", "XXXIX", "IIX", "I", "MIX", "")] == [14, 9, 39, None, None, None, None]
