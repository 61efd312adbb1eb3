"""Subtitles: SRT and WebVTT, written by pysubs2."""

from __future__ import annotations

from typing import ClassVar

from speechprep.pipelines.export.recording import Recording
from speechprep.pipelines.export.rows import Span, Utterance
from speechprep.pipelines.export.writer import LabelWriter

SHORTEST = 1  # milliseconds of a cue: players and `ingest` refuse a cue without a length


class Srt(LabelWriter):
    """A SubRip file for each recording and tier; a cue for each row, in milliseconds."""

    form: ClassVar[str] = "srt"

    def write(self, recording: Recording, tiers: dict[str, list[tuple[Utterance, Span]]]) -> None:
        """See `LabelWriter`."""
        from pysubs2 import SSAEvent, SSAFile

        for tier, rows in tiers.items():
            subtitles = SSAFile()
            for _, span in rows:
                text = self.cue(span.text)
                self.counts.changed["backslash"] += "\\" in span.text
                start = round(span.start * 1000)
                subtitles.append(SSAEvent(start, max(round(span.end * 1000), start + SHORTEST), text))
            text = subtitles.to_string(self.form, keep_ssa_tags=True)
            self.lines(self.file_name(recording, tier, self.form), text.splitlines())

    def cue(self, text: str) -> str:
        """Text of a cue. pysubs2 would read a backslash as the start of a line break."""
        return text.replace("\\", "/")


class Vtt(Srt):
    """A WebVTT file for each recording and tier, with character references for `&`, `<` and `>`."""

    form: ClassVar[str] = "vtt"

    def cue(self, text: str) -> str:
        """Text of a cue, by the section "cue text" of the W3C recommendation of WebVTT."""
        return super().cue(text).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
