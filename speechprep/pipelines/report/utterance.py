"""One utterance on one time axis: waveform, words and units, with a player and its moving cursor.

Everything is placed in per cent of the drawn length, so the page zooms by changing the width of one element.
"""

from __future__ import annotations

import base64
import io
from dataclasses import dataclass
from html import escape
from typing import Any

import numpy as np
from numpy.typing import NDArray

from speechprep.artifacts.media import audio
from speechprep.errors import BadInput
from speechprep.pipelines.report.histogram import nice_step
from speechprep.pipelines.report.messages import without_folders
from speechprep.pipelines.report.selection import Chosen

SAMPLE_RATE = 16000
LONGEST = 20.0  # most seconds drawn and embedded: the page stays small
_COLUMNS = 1000  # of the waveform: a minimum and a maximum each
_PIXELS_PER_SECOND = 110  # for legible short words
_FRAME_RATE = 50.0  # for units without a grid in the manifest


@dataclass(frozen=True)
class Drawn:
    """An utterance as HTML, with the data for the script's tooltip."""

    html: str
    data: dict[str, Any]


def draw(chosen: Chosen, index: int, rate: float | None, scores: tuple[float, float]) -> Drawn:
    """Draw one utterance.

    Args:
        chosen: its rows.
        index: 0, 1, .. its place on the page.
        rate: frames per second of the units.
        scores: (low, high) word scores of the palest and the strongest colour.
    """
    row = chosen.utterance
    try:
        samples = audio.decode(
            row["audio_bytes"] if row["audio_bytes"] is not None else row["audio"],
            offset=row["offset"] or 0.0,
            duration=min(row["duration"], LONGEST),
            sample_rate=SAMPLE_RATE,
        )
    except BadInput as error:
        return Drawn(
            _frame(
                chosen,
                index,
                f'<p class="note">No audio: {escape(without_folders(str(error), row["audio"]))}</p>',
                row["duration"],
            ),
            {},
        )
    length = max(len(samples) / SAMPLE_RATE, 1e-3)
    words = [word for word in (chosen.words or {}).get("words") or [] if word["start"] < length]
    starts, ids = _runs((chosen.units or {}).get("units") or [], rate or _FRAME_RATE, length)
    lanes = [
        _waveform(samples),
        _words(words, length, scores) if chosen.words else "",
        _units(starts, ids, length) if chosen.units else "",
        _boundaries(words, length),
        _ticks(length),
        '<div class="cursor"></div>',
    ]
    body = (
        f'<audio controls preload="metadata" src="{embed(samples)}"></audio>'
        '<div class="zoom" role="group" aria-label="zoom"><button type="button" data-zoom="0.5">&minus;</button>'
        '<button type="button" data-zoom="2">+</button></div>'
        '<div class="track" tabindex="0" role="slider" aria-valuemin="0" aria-valuenow="0" '
        f'aria-valuemax="{length:.2f}" aria-label="position in the utterance, seconds">'
        f'<div class="lanes" style="min-width:{length * _PIXELS_PER_SECOND:.0f}px">{"".join(lanes)}</div></div>'
        '<p class="readout"></p>'
    )
    data = {
        "seconds": round(length, 4),
        "words": [_word_data(word) for word in words],
        "starts": [round(start, 4) for start in starts],
        "units": ids,
    }
    return Drawn(_frame(chosen, index, body, row["duration"]), data)


def _frame(chosen: Chosen, index: int, body: str, duration: float) -> str:
    text = (chosen.words or {}).get("text") or chosen.utterance["text"]
    quote = f"<blockquote>{escape(text)}</blockquote>" if text else '<p class="note">No transcript.</p>'
    cut = f" The first {LONGEST:.0f} s of it are shown." if duration > LONGEST else ""
    who = " · ".join(
        escape(str(part))
        for part in (chosen.utterance["speaker"], chosen.utterance["language"], f"{duration:.2f} s")
        if part
    )
    return (
        f'<article class="utterance" data-utterance="{index}"><header><h3>{escape(chosen.why)}</h3>'
        f"<code>{escape(chosen.utterance['id'])}</code><span>{who}</span></header>"
        f'<p class="note">{escape(chosen.because)}{cut}</p>{quote}{body}</article>'
    )


def embed(samples: NDArray[np.float32]) -> str:
    """A data URI. FLAC: exact to the sample, the same bytes every time, and every browser plays it."""
    import soundfile

    buffer = io.BytesIO()
    soundfile.write(buffer, np.clip(samples, -1, 1), SAMPLE_RATE, format="FLAC", subtype="PCM_16")
    return "data:audio/flac;base64," + base64.b64encode(buffer.getvalue()).decode()


def envelope(samples: NDArray[np.float32], columns: int = _COLUMNS) -> NDArray[np.float32]:
    """(columns, 2) least and greatest sample of each stretch, scaled to a peak of 1."""
    columns = max(min(columns, len(samples)), 1)
    padded = samples if len(samples) else np.zeros(1, np.float32)
    edges = np.linspace(0, len(padded), columns + 1).astype(np.int64)[:-1]
    both = np.stack([np.minimum.reduceat(padded, edges), np.maximum.reduceat(padded, edges)], axis=1)
    return (both / max(float(np.abs(both).max()), 1e-9)).astype(np.float32)


def _waveform(samples: NDArray[np.float32]) -> str:
    both = np.round(envelope(samples) * 100).astype(int)
    n = len(both)
    upper = " ".join(f"{i},{-top}" for i, top in enumerate(both[:, 1]))
    lower = " ".join(f"{i},{-low}" for i, low in reversed(list(enumerate(both[:, 0]))))
    return (
        f'<svg class="wave" viewBox="0 -104 {max(n - 1, 1)} 208" preserveAspectRatio="none" aria-hidden="true">'
        f'<polygon points="{upper} {lower}"/></svg>'
    )


def _words(words: list[dict[str, Any]], length: float, scores: tuple[float, float]) -> str:
    spans = []
    for i, word in enumerate(words):
        timing = word["timing"] if word["timing"] in ("aligned", "interpolated", "given") else "aligned"
        # Labels stand on two lines by turns, so each has room up to the word after the next.
        until = words[i + 2]["start"] if i + 2 < len(words) else length
        room = 100 * max(until - word["start"], 0.0) / max(word["end"] - word["start"], 1e-3)
        spans.append(
            f'<span class="{timing}" style="{_place(word["start"], word["end"], length)};'
            f'--strength:{_strength(word["score"], scores):.2f};--room:{room:.0f}%">'
            f"<b>{escape(word['text'])}</b></span>"
        )
    return f'<div class="words">{"".join(spans)}</div>'


def _strength(score: float | None, scores: tuple[float, float]) -> float:
    low, high = scores
    if score is None or not np.isfinite(score) or high <= low:
        return 1.0
    return 0.3 + 0.7 * min(max((score - low) / (high - low), 0.0), 1.0)


def _runs(units: list[int], rate: float, length: float) -> tuple[list[float], list[int]]:
    """Start in seconds and id of each run of equal units inside the drawn length; the last start is the end."""
    flat = np.asarray(units[: int(np.ceil(length * rate))], np.int64)
    if not len(flat):
        return [], []
    first = np.append(0, np.flatnonzero(np.diff(flat)) + 1)
    return [*(first / rate).tolist(), min(len(flat) / rate, length)], flat[first].tolist()


def _units(starts: list[float], ids: list[int], length: float) -> str:
    # The golden angle keeps the hues of neighbouring ids apart.
    strips = (
        f'<i style="{_place(starts[i], starts[i + 1], length)};--h:{unit * 137.508 % 360:.0f}">{unit}</i>'
        for i, unit in enumerate(ids)
    )
    return f'<div class="units">{"".join(strips)}</div>'


def _boundaries(words: list[dict[str, Any]], length: float) -> str:
    edges = sorted({round(min(word[side] / length, 1.0) * 1000, 2) for word in words for side in ("start", "end")})
    path = "".join(f"M{edge:g} 0V1" for edge in edges)
    box = 'viewBox="0 0 1000 1" preserveAspectRatio="none" aria-hidden="true"'
    return f'<svg class="edges" {box}><path d="{path}"/></svg>'


def _ticks(length: float) -> str:
    step = nice_step(length / 12)
    times = [
        i * step for i in range(int(length / step) + 1) if i * step < 0.97 * length
    ]  # a later label would stick out
    return (
        '<div class="ticks">'
        + "".join(f'<s style="left:{100 * t / length:.3f}%">{t:.3g}</s>' for t in times)
        + "</div>"
    )


def _place(start: float, end: float, length: float) -> str:
    left, right = min(max(start / length, 0.0), 1.0), min(max(end / length, 0.0), 1.0)
    return f"left:{100 * left:.3f}%;width:{100 * max(right - left, 0.0):.3f}%"


def _word_data(word: dict[str, Any]) -> list[Any]:
    score = word["score"]
    shown = round(float(score), 3) if score is not None and np.isfinite(score) else None
    return [word["text"], round(word["start"], 3), round(word["end"], 3), shown, word["timing"]]
