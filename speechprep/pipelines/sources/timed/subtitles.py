"""Subtitles through pysubs2: SRT, WebVTT, ASS and SSA. Each cue is a segment."""

from __future__ import annotations

import html
import re

from speechprep.errors import BadInput
from speechprep.pipelines.sources.timed.transcript import Segment, Timed, Word

_VOICE = re.compile(r"<v(?:\.[^\s>]*)?\s+([^>]*)>")
_STAMP = re.compile(r"<((?:\d+:)?\d\d:\d\d\.\d{3})>")
_TAG = re.compile(r"</?[a-zA-Z][^>]*>|\{\\[^}]*\}")
_LAST_CUE = "\n\n0\n"  # pysubs2 drops a number in the last line, because it may be the number of the next cue


def read(text: str, form: str) -> Timed:
    """The cues of a subtitle file; `form` is srt, vtt, ass or ssa.

    Raises:
        BadInput: `bad_transcript`.
    """
    import pysubs2

    text = text.replace("\r\n", "\n").replace("\r", "\n")
    if form in ("srt", "vtt"):
        text = text.rstrip() + _LAST_CUE
    try:
        file = pysubs2.SSAFile.from_string(text, format_=form, keep_unknown_html_tags=True)
    except (pysubs2.Pysubs2Error, ValueError, KeyError, IndexError, TypeError, OverflowError, AttributeError) as error:
        raise BadInput("bad_transcript", f"the subtitles cannot be read: {error}; repair the file") from None
    if not file.events and not _is_empty(text):
        raise BadInput("bad_transcript", "the subtitles have no cue with a start and an end; repair the file")
    segments = [_segment(event, form) for event in file.events if not event.is_comment]
    return Timed([segment for segment in segments if segment.text])


def _is_empty(text: str) -> bool:
    """Whether a file has nothing but its header."""
    body = text.removesuffix(_LAST_CUE).strip("\ufeff \n\t")
    return not body or (body.startswith(("WEBVTT", "[Script Info]")) and "-->" not in body and "Dialogue:" not in body)


def _segment(event: object, form: str) -> Segment:
    start, end = event.start / 1000, event.end / 1000  # type: ignore[attr-defined]
    text: str = event.text  # type: ignore[attr-defined]
    if form == "vtt":
        text = re.split(r"\\N *\\N", text)[0]  # the name of the next cue or a note
    voice = _VOICE.search(text)
    name = voice[1].strip() if voice else (getattr(event, "name", "") if form in ("ass", "ssa") else "")
    pieces = _STAMP.split(text)
    words: list[Word] = []
    if len(pieces) > 1:
        stamps = [start, *map(_seconds, pieces[1::2]), end]
        for at, piece in enumerate(pieces[::2]):
            if spoken := _plain(piece):
                words.append((spoken, stamps[at], max(stamps[at + 1], stamps[at])))
    return Segment(start, end, _plain("".join(pieces[::2])), name or None, words=words)


def _plain(text: str) -> str:
    text = text.replace("\\N", " ").replace("\\n", " ").replace("\\h", " ")
    return html.unescape(" ".join(_TAG.sub("", text).split()))


def _seconds(stamp: str) -> float:
    seconds = 0.0
    for part in stamp.split(":"):
        seconds = 60 * seconds + float(part)
    return seconds
