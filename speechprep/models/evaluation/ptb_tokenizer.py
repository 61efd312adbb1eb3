"""Penn Treebank tokenizer for captions: lower-case tokens without punctuation, as in the COCO caption metrics.

Published CIDEr, ROUGE-L and BLEU of captions use the tokenizer of Stanford CoreNLP 3.4.1, a Java program. This module
gives the same tokens for English captions without Java. Its rules follow the output of the original program. The
abbreviations come from a test of all strings of up to four letters and some thousand longer words. At each position the
longest match counts, and among equal matches the first rule.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

PUNCTUATION = frozenset(["''", "'", "``", "`", ".", "?", "!", ",", ":", "-", "--", "...", ";"])
"""Removed tokens. A run like `!!!` is another token and stays; brackets stay as `-lrb-`."""

_ABBREVIATIONS = (
    r"adj|adm|adv|al|ala|alex|apr|ariz|assn|assoc|asst|atty|aug|ave|bhd|bldg|blvd|brig|bros|"
    r"calif|capt|cf|cie|cmdr|co|col|colo|comdr|conn|corp|cos|cpl|ct|dak|dec|dept|det|dr|"
    r"drs|elec|ens|esq|est|etc|ext|feb|fla|fri|ft|ga|gen|gov|govs|hon|inc|ind|insp|intl|"
    r"invt|jan|jos|jr|jul|jun|kan|kans|ky|lieut|lt|ltd|maj|mar|md|messrs|mfg|mich|minn|"
    r"mlle|mme|mo|mon|mont|mr|mrs|ms|msgr|mt|mtg|natl|neb|nev|nov|oct|okla|penn|pfc|ph|"
    r"ph\.d|plc|ppte|ppty|pres|prof|pte|ptes|pty|ptys|pvt|rd|rep|reps|rev|rt|sen|sens|sep|"
    r"sept|seq|sfc|sgt|spc|sq|sr|st|ste|supt|supts|sys|tel|tenn|thu|thurs|treas|tue|tues|"
    r"univ|va|vs|vt|wed|wis|wisc|wm|wyo"
)
_CAPITAL_ABBREVIATIONS = "Ark|Az|Del|Ill|La|Mass|Miss|Ore|Pa|Tex|Wash"
_NUMBERED_ABBREVIATIONS = "art|ca|figs?|nos?|op|pp|prop"
_TWO_WORDS = ["(can)not", "(gon)na", "(got)ta", "(lem)me", "(gim)me", "(wan)na"]

_L = r"[^\W\d_]"  # a letter
_END = rf"(?!{_L})"
_A = "['\u2019]"  # an apostrophe
_Q = "['`\u2018\u2019\u201b]"  # a character treated as an apostrophe inside a word
_W = rf"{_L}(?:{_L}|\d)*"

# The first matching group is the token; the text after the group is required context.
_RULES = [
    re.compile(rule)
    for rule in (
        rf"({_L}+){_A}(?i:[msd]|re|ve|ll){_END}",  # it 's
        rf"({_L}+?)(?i:n){_Q}(?i:t)",  # do n't
        rf"((?i:n){_Q}(?i:t)){_END}",
        rf"({_A}(?i:[msd]|re|ve|ll)){_END}|(\u2019[sS])",
        *(rf"(?i:{words}){_END}" for words in _TWO_WORDS),  # can not
        rf"((?i:{_ABBREVIATIONS})\.)",
        rf"((?:{_CAPITAL_ABBREVIATIONS})\.)",
        rf"((?i:{_NUMBERED_ABBREVIATIONS})\.)\s*\d",
        r"((?:[A-Za-z]\.)+)",  # u.s. and a plan a.
        rf"({_W}(?:[.!?]{_W})*)",  # a word, also said.then
        rf"({_A}(?i:t))(?i:is|was){_END}",  # 't is
        rf"({_A}(?i:n){_A})|({_A}(?i:n)){_END}",  # rock 'n' roll
        rf"({_A}(?i:em|till?|cause)|{_A}[2-9]0[sS]?)",
        rf"((?i:[djly]){_A}){_L}",  # y' all
        rf"([A-HK-XZdlno]{_Q}{_L}{{2,}}|{_L}+[aeiouyAEIOUY]{_A}[aeiouA-Z]{_L}*)",  # o'clock, jusqu'a
        rf"((?i:cap'n|c'mon|e'er|ev'ry|li'l|ma'am|nat'l|nor'easter|ol'|s'mores|somethin')){_END}",
        r"([A-Za-z0-9][A-Za-z0-9.,]*(?:-[A-Za-z0-9]+)+)",  # merry-go-round
        r"([A-Za-z0-9]+(?:-[A-Za-z]+){0,2}(?:/[A-Za-z0-9]+(?:-[A-Za-z]+){0,2}){1,2})",  # and/or
        r"([A-Z]+(?:[+&][A-Z]+)+)",  # R&B
        r"(\d+[A-Za-z][A-Za-z0-9]*)",  # 5kg
        r"([-+]?(?:\d*(?:[.:,]\d+)+|\d+))",  # 1,000.5
        r"((?:\d{1,4}-)?\d{1,4}/\d{1,4}|\d{1,2}[-/]\d{1,2}[-/]\d{2,4})",  # 10-1/2 and dates
        r"(https?://\S+|www\.\S+|[\w.-]+@[\w-]+(?:\.[\w-]+)*)",
        rf"([@#]{_L}\w*|[A-Za-z0-9]+(?:_[A-Za-z0-9]+)+|<[A-Za-z/][^<>\s]*>)",
        r"(\.{3,}|-+|_+|[!?]+|\*+|''|``|\S)",
    )
]
_PLAIN = re.compile(r"[A-Za-z]+(?=[\s,;]|$)")  # fast path for plain words, most of a caption
_SPACE = re.compile(r"\s+")
_ASTRAL = re.compile("[\U00010000-\U0010ffff]")  # emoji have no token
_SPECIAL = frozenset(words.replace("(", "").replace(")", "") for words in _TWO_WORDS)
_BEFORE = {"&amp;": "&", "&lt;": "<", "&gt;": ">", "&quot;": '"', "&nbsp;": " ", "\u2026": "...", "\u00ad": ""}
_BEFORE |= {"\u2013": "--", "\u2014": "--", "\u00bd": " 1/2"}
_AS = {"(": "-lrb-", ")": "-rrb-", "[": "-lsb-", "]": "-rsb-", "{": "-lcb-", "}": "-rcb-"}
_AS |= dict.fromkeys('"\u201c\u201d\u00ab\u00bb', "''") | dict.fromkeys("\u2018\u2019\u201b", "'")
_AS |= dict.fromkeys(("---", "----"), "--") | {"\u20ac": "$", "\u00a3": "#", "\u00a2": "cents"}


def tokenize(caption: str) -> list[str]:
    """Lower-case tokens of a caption, without `PUNCTUATION`."""
    caption = _ASTRAL.sub(" ", caption)
    for text, replacement in _BEFORE.items():
        if text in caption:
            caption = caption.replace(text, replacement)
    return [token for token in _tokens(caption) if token not in PUNCTUATION]


def _tokens(text: str) -> Iterator[str]:
    at = 0
    while at < len(text):
        space = _SPACE.match(text, at)
        if space:
            at = space.end()
            continue
        plain = _PLAIN.match(text, at)
        token = plain.group() if plain and plain.group().lower() not in _SPECIAL else _longest(text, at)
        at += len(token)
        token = _AS.get(token, token).lower()
        yield "..." if token.startswith("...") else token.replace("\u2019", "'")


def _longest(text: str, at: int) -> str:
    """The token at this position: the longest match with its required context."""
    matches = [match for rule in _RULES if (match := rule.match(text, at))]
    best = max(matches, key=lambda match: match.end())  # max returns the first of equal matches

    return next(group for group in best.groups() if group)
