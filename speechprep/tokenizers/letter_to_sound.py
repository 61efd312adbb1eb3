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

Lookup = Callable[[str], str | None]


def _set(phones: str) -> frozenset[str]:
    return frozenset(phones.split())


PHONES = _set("AA AE AH AO AW AY B CH D DH EH ER EY F G HH IH IY JH K L M N NG OW OY P R S SH T TH UH UW V W Y Z ZH")
VOICELESS = _set("P T K F TH")
SIBILANT = _set("S Z SH ZH CH JH")
SHORTEST_PART = 3  # letters; shorter words are found inside of everything
LONGEST = 40  # letters that the rules read; more is no word

# grapheme, what must stand left of it, what must stand right of it (regular expressions), phones.
# `.` in a context is any letter, `^` and `$` the ends of the word.
_RULES = """
augh | | | AO
au | | | AO
aw | | | AO
air | | | EH R
ai | | | EY
ay | | | EY
are | | $ | EH R
ar | | (?![aeiouy]) | AA R
ar | .[^aeiouy] | y$ | EH R
all | | $ | AO L
al | | [kt] | AO L
al | [aeiouy].* | $ | AH L
ange | | | EY N JH
age | [aeiouy].* | $ | IH JH
able | .. | $ | AH B AH L
a | | tion | EY
a | | [^aeiouywxr](e|es|ed|er|ing)$ | EY
a | | $ | AH
a | ^ | [^aeiouy][aeiouy] | AH
a | [aeiouy].* | [nm](ce|t|d)?s?$ | AH
a | | | AE
bb | | | B
b | m | $ |
b | | | B
cc | | [eiy] | K S
cc | | | K
ch | | [rl] | K
ch | | | CH
ck | | | K
cian | | | SH AH N
cious | | | SH AH S
c | | [eiy] | S
cq | | u | K
c | | | K
dd | | | D
dg | | [ei] | JH
d | | | D
eau | | | OW
eigh | | | EY
ear | | [^aeiouys] | ER
ea | | [dlv]th?$ | EH
ea | | | IY
eer | | | IH R
ee | | | IY
ei | c | | IY
ei | | | EY
eu | | | UW
ew | | | UW
ey | | s?$ | IY
ere | | $ | IH R
er | | (?![aeiouy]) | ER
ed | [aeiouy].*[td] | $ | IH D
ed | [aeiouy].*([pkfxcs]|sh|ch) | $ | T
ed | [aeiouy].* | $ | D
es | [aeiouy].*([szxc]|sh|ch|g) | $ | IH Z
es | [aeiouy].*[ptkf] | $ | S
es | [aeiouy].* | $ | Z
e | [aeiouy].* | $ |
e | [aeiouy].* | (ly|ness|less|ful|ment)s?$ |
e | | $ | IY
e | [aeiouy].* | [lnm](t|ts|ce|cy|s)?$ | AH
e | ^(b|d|r|pr) | [^aeiouy][aeiouy] | IH
e | ^.? | [^aeiouyrx]e$ | IY
e | | | EH
ff | | | F
f | | | F
gg | | | G
gh | ^ | | G
gh | | |
gn | ^ | | N
gn | | $ | N
gu | | [eiy] | G
g | | [eiy] | JH
g | | | G
h | [aeiou] | (?![aeiouy]) |
h | r | |
h | | | HH
igh | | | AY
ing | [aeiouy].* | s?$ | IH NG
ier | | | IY ER
ies | [aeiouy].* | $ | IY Z
ied | [aeiouy].* | $ | IY D
ie | ^[^aeiouy]+ | [ds]?$ | AY
ie | | | IY
ir | | (?![aeiouy]) | ER
ion | | | Y AH N
ious | | | IY AH S
ia | | | IY AH
io | | | IY OW
i | | (nd|ld)$ | AY
i | [cv] | ve$ | IH
i | [aeiouy].* | (ve|te|ne)$ | IH
i | | [^aeiouywxr](e|es|ed|er)$ | AY
i | | ng$ | IH
i | | z(e|ed|es|ing|er)$ | AY
i | | $ | IY
i | | | IH
jj | | | JH
j | | | JH
kk | | | K
kn | ^ | | N
k | | | K
ll | | | L
le | [^aeiouylr] | s?$ | AH L
l | [ao] | [kmf] |
l | | | L
mm | | | M
mn | | $ | M
m | | | M
nn | | | N
ng | | $ | NG
n | | (k|g$|g[^eiyaou]|x|q) | NG
n | | | N
ough | | t | AO
ough | | | OW
ould | | | UH D
oul | | d | OW L
oor | | | AO R
ook | | | UH K
oo | | | UW
ous | | (e$|ing$) | AW S
ous | [aeiouy].* | (ly|ness)?$ | AH S
our | | | AO R
ou | | | AW
ow | | $ | OW
ow | | (s|ed|er|ing)$ | OW
ow | | | AW
oi | | | OY
oy | | | OY
oa | | | OW
oe | | s?$ | OW
or | [aeiouy].* | s?$ | ER
or | w | [^aeiouy] | ER
or | | | AO R
o | | (ld|lt|ll|st|th)$ | OW
o | [aeiouy].* | [nm](s|d)?$ | AH
o | | [^aeiouywxr](e|es|ed|er|ing)$ | OW
o | | $ | OW
o | | s$ | OW
o | ^c | [mn] | AH
o | | | AA
ph | | | F
pp | | | P
pn | ^ | | N
ps | ^ | | S
p | | | P
qu | | e$ | K
qu | | | K W
q | | | K
rr | | | R
rh | | | R
r | | | R
ssion | | | SH AH N
sion | [aeiour] | | ZH AH N
sion | | | SH AH N
sure | | | ZH ER
sch | | | SH
sch | ^ | | S K
sc | | [eiy] | S
sh | | | SH
ss | | | S
s | [aeiouy] | [aeiou] | Z
s | [aeiouy].*[aeiobdglmnrvwy] | $ | Z
s | [aeo] | m$ | Z AH
s | | | S
tion | | | SH AH N
tious | | | SH AH S
tial | | | SH AH L
tian | | | SH AH N
tch | | | CH
ture | [aeiouy].* | | CH ER
th | ^ | (e|i|a|o)?[smny]?$ | DH
th | | er | DH
th | | | TH
tt | | | T
t | s | le$ |
t | | | T
ur | | (?![aeiouy]) | ER
ure | | $ | Y UH R
uy | | | AY
ui | | | UW
ue | | s?$ | UW
u | ^ | [^aeiouy][aeiouy] | Y UW
u | ^p | [lst][lsth] | UH
u | [bcfghmpk] | [^aeiouywx][aeiouy] | Y UW
u | | [^aeiouywx](e|es|ed|er|ing|i|o|a) | UW
u | | $ | UW
u | | | AH
vv | | | V
v | | | V
wh | | o | HH
wh | | | W
wr | | | R
w | | | W
x | ^ | | Z
x | | | K S
y | ^ | [aeiou] | Y
y | ^[^aeiouy]+ | $ | AY
y | | $ | IY
y | | [^aeiouywx]e$ | AY
y | [aeou] | |
y | [^aeiouy] | [aeiou] | IY
y | | | IH
zz | | | Z
z | | | Z
"""


@lru_cache(maxsize=1)
def _rules() -> dict[str, list[tuple[str, re.Pattern[str] | None, re.Pattern[str] | None, tuple[str, ...]]]]:
    """The table by first letter, contexts compiled."""
    rules: dict[str, list[tuple[str, re.Pattern[str] | None, re.Pattern[str] | None, tuple[str, ...]]]] = {}
    for line in _RULES.strip().splitlines():
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
