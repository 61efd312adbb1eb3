"""Markup in transcripts of any language, found by span: what of each written token is spoken.

Markup are square and curly brackets, tags (`<i>`, `<|2.00|>`, `<v Ann>`), cue times with their numbers, labels of
speakers, and stage directions in round brackets or asterisks. A stage direction has a word of `markup_words`, or stands
in capitals in a text with small letters; other words in round brackets are spoken. A span may have several tokens.

Speech of unknown content (`<unk>`, `[inaudible]`, `(speaking French)`) has no spoken form, but it takes time: its
tokens are `unknown`.
"""

# ruff: noqa: RUF001 - brackets of full width are markup too

from __future__ import annotations

import html
import re
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import NamedTuple

from speechprep.tokenizers.text import markup_words as words

_TIME = r"\d{1,3}:\d\d(?::\d\d)?(?:[.,]\d{1,3})?"
_SETTINGS = r"(?:[ \t]+(?:align|position|line|size|region|vertical):\S+)*"
_CUE = re.compile(rf"(?<!\S)(?:(?P<number>\d+)(?P<gap>\s+))?{_TIME}\s*-->\s*{_TIME}{_SETTINGS}")
_CUE_TIME = re.compile(r"(?<!\S)\d{1,2}:\d\d:\d\d[.,]\d{3}(?!\S)")
_HEADER = re.compile(r"\A\s*WEBVTT(?!\S)")
_LETTER = r"[^\W\d_]"
_INLINE = "b|i|u|s|em|strong|font|c|span|ruby|rt|small|sub|sup"
_TAG = re.compile(
    rf"<\|[^<>|\n]{{0,40}}\|>|<{_TIME}>|</?(?:{_INLINE}|v|lang|p|br|div|foreign)(?:[\s.][^<>]{{0,200}})?/?>"
    rf"|</?{_LETTER}[^<>\s]{{0,60}}>|(?<!\w)<{_LETTER}[^<>]{{0,80}}>",
    re.I,
)
_FORMATTING = re.compile(rf"</?(?:{_INLINE})(?:[\s.][^<>]*)?>", re.I)
_SQUARE = re.compile(r"\[[^\[\]]{0,120}\]|［[^［］]{0,60}］|【[^【】]{0,60}】|〔[^〔〕]{0,60}〕")
_CURLY = re.compile(r"\{[^{}]{0,120}\}")
_DISFLUENCY = re.compile(r"\{[A-Z]\s[^{}]*\}")  # of Switchboard: {F uh}; the words are spoken
_EMPTY = re.compile(r"\(\(\s*\)\)")
_ROUND = re.compile(r"\([^()\n]{1,80}\)|（[^（）\n]{1,40}）")
_STAR = re.compile(r"(?<![\w*])\*(?![\s*])[^*\n]{1,60}(?<!\s)\*(?![\w*])")
_NAMED = rf"(?:{'|'.join(sorted(words.SPEAKERS, key=len, reverse=True))})"
_LABEL = re.compile(rf"(?<!\S){_NAMED}[ _-]?(?:\d{{1,3}}|[A-Z])\s?[:：]", re.I)
_LINE_LABEL = re.compile(rf"(?m)^[ \t>*-]*({_NAMED}|{_LETTER}[^\s:：]*(?:[ \t][^\s:：]+){{0,2}})[:：](?=\s|$)", re.I)
_CHEVRONS = re.compile(rf"(?<!\S)>>+[ \t]*({_LETTER}[\w.'-]*(?:[ \t][\w.'-]+){{0,2}}):(?=\s|$)")
_POSSIBLE = re.compile(r"[\[<{(*:：&（［【〔\u200b]")
MOST_WORDS = 12  # in a span of square or curly brackets
MOST_DIRECTION = 5  # in a stage direction in round brackets or asterisks

SPOKEN, MARKUP, GLUED, UNKNOWN = range(4)  # GLUED: markup that does not separate words


class Marked(NamedTuple):
    """A written token without its markup.

    Attributes:
        text: what is spoken, "" if nothing is. It has spaces where markup separated words.
        unknown: the token is part of markup for speech of unknown content.
    """

    text: str
    unknown: bool


def unmarked(text: str, spans: Sequence[tuple[int, int]] | None = None) -> list[Marked]:
    """The spoken part of each token.

    Args:
        text: a transcript.
        spans: first character of each token and the one after its last; None: the tokens of `text.split()`.
    """
    if spans is None:
        spans = [match.span() for match in re.finditer(r"\S+", text)]
    if not _POSSIBLE.search(text):
        return [Marked(text[start:stop], unknown=False) for start, stop in spans]
    kinds = _kinds(text)
    return [_token(text, kinds, start, stop) for start, stop in spans]


def _token(text: str, kinds: bytearray, start: int, stop: int) -> Marked:
    part = text[start:stop]
    if any(kinds[start:stop]):
        spans = [0, *(i for i in range(1, len(part)) if kinds[start + i] != kinds[start + i - 1]), len(part)]
        pieces = []
        for first, last in pairwise(spans):
            kind = kinds[start + first]
            pieces.append(part[first:last] if kind == SPOKEN else "" if kind == GLUED else " ")
        part = "".join(pieces).strip()
    if "\u200b" in part:
        part = part.replace("\u200b", " ").strip()
    if "&" in part and ";" in part:
        part = html.unescape(part).strip()
    return Marked(part, unknown=UNKNOWN in kinds[start:stop])


def _kinds(text: str) -> bytearray:
    """The kind of each character."""
    kinds = bytearray(len(text))

    def mark(start: int, stop: int, kind: int) -> None:
        for i in range(start, stop):
            if not kinds[i]:
                kinds[i] = kind

    def mark_all(pattern: re.Pattern[str], kind: Callable[[str], int]) -> None:
        for match in pattern.finditer(text):
            if not any(kinds[match.start() : match.end()]):
                mark(match.start(), match.end(), kind(match[0]))

    for match in _CUE.finditer(text):
        mark(match.start() if _is_cue_number(match, text) else _after_number(match), match.end(), MARKUP)
    for pattern in (_HEADER, _CUE_TIME):
        mark_all(pattern, lambda span: MARKUP)
    mark_all(_TAG, lambda span: GLUED if _FORMATTING.fullmatch(span) else _kind_of_brackets(span))
    mark_all(_SQUARE, _kind_of_brackets)
    for match in _CURLY.finditer(text):
        if _DISFLUENCY.fullmatch(match[0]):
            mark(match.start(), match.start() + 2, MARKUP)
            mark(match.end() - 1, match.end(), MARKUP)
        else:
            mark(match.start(), match.end(), _kind_of_brackets(match[0]))
    mark_all(_EMPTY, lambda span: UNKNOWN)
    mixed = text != text.upper()
    mark_all(_ROUND, lambda span: _kind_of_direction(span, capitals=mixed))
    mark_all(_STAR, lambda span: _kind_of_direction(span, capitals=False))
    mark_all(_LABEL, lambda span: MARKUP)
    mark_all(_CHEVRONS, lambda span: MARKUP)
    _mark_line_labels(text, mark, mixed=mixed)
    return kinds


def _is_cue_number(match: re.Match[str], text: str) -> bool:
    """True if the number before a cue time is that of the cue: alone on its line, or in the style of SRT."""
    if match["number"] is None:
        return False
    if "\n" in text:
        return "\n" in match["gap"] and not text[: match.start()].rpartition("\n")[2].strip()
    return "," in match[0]


def _after_number(match: re.Match[str]) -> int:
    return match.start() if match["number"] is None else match.end("gap")


def _bare_words(span: str) -> list[str]:
    return [word for word in (word.strip("-,;:!\"'*") for word in span.casefold().split()) if word]


def _kind_of_brackets(span: str) -> int:
    inside = _bare_words(span.strip("[]<>{}［］【】〔〕|/"))
    if len(inside) > MOST_WORDS:
        return SPOKEN
    return UNKNOWN if _is_unknown(inside) else MARKUP


def _is_unknown(inside: list[str]) -> bool:
    joined = "".join(inside)
    return any(w in words.UNKNOWN for w in inside) or joined.startswith(words.UNKNOWN_UNSPACED)


def _kind_of_direction(span: str, *, capitals: bool) -> int:
    content = span.strip("()（）*").strip()
    inside = _bare_words(content)
    if not inside or len(inside) > MOST_DIRECTION or any(word in words.SENTENCE for word in inside):
        return SPOKEN
    joined = "".join(inside)
    if _is_unknown(inside):
        return UNKNOWN
    if any(w in words.SOUNDS for w in inside) or joined.startswith(words.SOUNDS_UNSPACED):
        return MARKUP
    if joined.endswith(words.SOUNDS_UNSPACED) or re.fullmatch(_TIME, content):
        return MARKUP
    shouted = capitals and content.isupper() and len(content) > 3 and not re.search(r"[\d.&]", content)
    return MARKUP if shouted else SPOKEN


def _mark_line_labels(text: str, mark: Callable[[int, int, int], None], *, mixed: bool) -> None:
    """Labels at the start of lines: names of parts, names in capitals, and names of a dialogue of several lines."""
    matches = list(_LINE_LABEL.finditer(text))
    titled = [match for match in matches if all(word[0].isupper() for word in match[1].split())]
    for match in matches:
        name = match[1]
        capitals = mixed and name.isupper() and not re.fullmatch(r"[\d\W]*", name)
        dialogue = len(titled) > 1 and match in titled
        if name.casefold() in words.SPEAKERS or capitals or dialogue:
            mark(match.start(), match.end(), MARKUP)
