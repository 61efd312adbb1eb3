"""Label tracks of Audacity and CTM files of NIST: plain text."""

from __future__ import annotations

from speechprep.pipelines.export.recording import Recording
from speechprep.pipelines.export.rows import Span, Utterance
from speechprep.pipelines.export.writer import LabelWriter, one_token


class Audacity(LabelWriter):
    """A label track for each recording: start, end and label, separated by tabs, in seconds."""

    def write(self, recording: Recording, tiers: dict[str, list[tuple[Utterance, Span]]]) -> None:
        """See `LabelWriter`."""
        for tier, rows in tiers.items():
            lines = (f"{span.start:.6f}\t{span.end:.6f}\t{span.text}" for _, span in rows)
            self.lines(self.file_name(recording, tier, "txt"), lines)


class Ctm(LabelWriter):
    """A CTM file for each tier over all recordings: recording, channel, start, duration, word.

    Source: NIST SCTK, `ctm` format. Rows are sorted by recording and time.
    """

    def write(self, recording: Recording, tiers: dict[str, list[tuple[Utterance, Span]]]) -> None:
        """See `LabelWriter`."""
        for tier, rows in tiers.items():
            with (self.target.folder / f"{tier}.ctm").open("a", encoding="utf-8", newline="\n") as file:
                for _, span in rows:
                    token = one_token(span.text)
                    self.counts.changed["blank_in_token"] += token != span.text
                    file.write(ctm_line(recording.name, span, token) + "\n")


def ctm_line(name: str, span: Span, token: str) -> str:
    """A row of a CTM file. Start and end are rounded to milliseconds, then subtracted."""
    start, end = round(span.start * 1000), round(span.end * 1000)
    return f"{name} 1 {start / 1000:.3f} {(end - start) / 1000:.3f} {token}"
