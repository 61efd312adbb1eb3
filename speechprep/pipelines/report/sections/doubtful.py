"""Section "Clips to check": silent clips, clips of low score, and rejected clips, to play."""

from __future__ import annotations

from html import escape

from speechprep.artifacts.run import Run
from speechprep.pipelines.report.doubtful import LOW, REJECTED, SECONDS, SILENCE, SILENT, Clip, clips_to_check
from speechprep.pipelines.report.facts import Facts
from speechprep.pipelines.report.page import Page

_GROUPS = {
    SILENT: ("Silent", f"The lowest levels below {SILENCE:.0f} dBFS: level of the loudest tenth of a second."),
    LOW: ("Low score", "The lowest alignment scores of the run, kept or not."),
    REJECTED: ("Rejected", "The first ids of each of the most frequent reasons. All are in `speechprep rejects`."),
}


def section(page: Page, run: Run, facts: Facts) -> None:
    """Each group with its clips."""
    clips = clips_to_check(run, facts)
    body = []
    for group, (title, lead) in _GROUPS.items():
        entries = "".join(_entry(clip) for clip in clips if clip.group == group)
        if entries:
            lead = lead.replace("`speechprep rejects`", "<code>speechprep rejects</code>")
            body.append(f'<h3>{title}</h3><p class="note">{lead}</p><ul class="checks">{entries}</ul>')
    page.section("check", "Clips to check", body, f"The first {SECONDS:.0f} s of each clip can be played.")


def _entry(clip: Clip) -> str:
    length = "" if clip.duration is None else f" <span>{clip.duration:.2f} s</span>"
    if clip.source:
        sound = f'<audio controls preload="none" aria-label="{escape(clip.id)}" src="{clip.source}"></audio>'
    else:
        sound = '<p class="note"><strong>No audio.</strong></p>'
    text = f'<blockquote dir="auto">{escape(clip.text)}</blockquote>' if clip.text else ""
    note = f'<p class="note">{escape(clip.note)}</p>' if clip.note else ""
    name = escape(clip.id) or "a record without an id"
    return (
        f'<li class="card"><header><strong>{escape(clip.why)}</strong>{length}</header><code>{name}</code>{sound}'
        f"{text}{note}</li>"
    )
