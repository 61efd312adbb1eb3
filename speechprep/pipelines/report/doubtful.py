"""Choice of the clips to check: silent ones, ones with a low score, and rejected ones, with their audio."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from speechprep.artifacts import storage
from speechprep.artifacts.media import audio
from speechprep.artifacts.run import Dataset, Run
from speechprep.errors import SpeechprepError
from speechprep.pipelines.report.facts import Facts, Loss
from speechprep.pipelines.report.messages import without_folders
from speechprep.pipelines.report.utterance import SAMPLE_RATE, embed

SILENT, LOW, REJECTED = "silent", "low", "rejected"
NUMBER = 3  # silent clips, and clips of low score
REASONS = 6  # reasons of rejected clips, the most frequent ones
SECONDS = 5.0  # of a clip on the page: about 100 kB
SILENCE = -65.0  # dBFS of the loudest 0.1 s; below there is only silence, see the score `level`


@dataclass(frozen=True)
class Clip:
    """A clip to check.

    Attributes:
        group: SILENT, LOW or REJECTED.
        id: of the utterance.
        why: reason code, score or level.
        note: message of the stage, or the reason why there is no audio.
        text: transcript, or empty.
        source: data URI of its first seconds; empty without audio.
        duration: seconds of the utterance; None: not known.
    """

    group: str
    id: str
    why: str
    note: str
    text: str
    source: str
    duration: float | None


def clips_to_check(run: Run, facts: Facts) -> list[Clip]:
    """The clips of the three groups, each utterance once; the same ones whatever the number of shards."""
    words, utterances = run.get("words"), run.get("utterances")
    silent, low = _lowest(words) if words else ([], [])
    clips = [_clip(SILENT, ident, f"{level:.0f} dBFS", "", None, utterances, words) for level, ident in silent]
    taken = {clip.id for clip in clips}
    low = [(score, ident) for score, ident in low if ident not in taken][:NUMBER]
    clips += [_clip(LOW, ident, f"score {score:.3g}", "", None, utterances, words) for score, ident in low]
    taken |= {ident for _, ident in low}
    for loss in sorted(facts.yields.losses.values(), key=_frequent_first)[:REASONS]:
        for example in loss.examples:
            if example.id not in taken or not example.id:
                why, message = f"{loss.stage}: {loss.code}", "" if loss.kept_out else example.message
                clips.append(_clip(REJECTED, example.id, why, message, example.audio, utterances, words))
                taken.add(example.id)
    return clips


def _frequent_first(loss: Loss) -> tuple[int, str, str]:
    return (-loss.count, loss.stage, loss.code)


def _lowest(words: Dataset) -> tuple[list[tuple[float, str]], list[tuple[float, str]]]:
    """(level, id) of the most silent rows, and (score, id) of the rows with the lowest score; ties by id."""
    silent: list[tuple[float, str]] = []
    low: list[tuple[float, str]] = []
    for batch in words.batches(["id", "score", "level"]):
        ids = batch.column("id").to_pylist()
        score, level = (
            batch.column(name).to_numpy(zero_copy_only=False).astype(np.float64) for name in ("score", "level")
        )
        below = np.where(level < SILENCE, level, np.nan)
        silent = _least(silent, below, ids, NUMBER)
        low = _least(low, score, ids, 2 * NUMBER)  # some of them may be silent
    return silent, low


def _least(
    so_far: list[tuple[float, str]], values: np.ndarray[Any, Any], ids: list[str], number: int
) -> list[tuple[float, str]]:
    """The smallest values with their ids; infinite values count as not stated, except for digital silence."""
    finite = np.flatnonzero(~np.isnan(values) & (values != np.inf))
    if len(finite) > number:
        limit = np.partition(values[finite], number - 1)[number - 1]
        finite = finite[values[finite] <= limit]
    return sorted([*so_far, *((float(values[i]), ids[i]) for i in finite)])[:number]


def _clip(
    group: str,
    ident: str,
    why: str,
    message: str,
    file: str | None,
    utterances: Dataset | None,
    words: Dataset | None,
) -> Clip:
    row = utterances.find(ident) if utterances and ident else None
    spoken = words.find(ident) if words and row else None
    source, note, duration = "", message, None
    if row is not None:
        duration = row["duration"]
        source, problem = _audio(row["audio_bytes"] or row["audio"], row["offset"] or 0.0, duration)
    elif file and storage.is_local(file):
        source, problem = _audio(file, 0.0, None)
    else:
        problem = ""
    if problem and problem not in note:
        note = f"{note}. {problem}" if note else problem
    text = (spoken or {}).get("text") or (row or {}).get("text") or ""
    return Clip(group, ident, why, note, text, source, duration)


def _audio(stored: Any, offset: float, duration: float | None) -> tuple[str, str]:
    """(data URI, "") of the first seconds, or ("", the problem)."""
    if not stored:
        return "", "no audio is stored"
    name = stored if isinstance(stored, str) else None
    try:
        if duration is None:
            duration = audio.probe(stored).duration
        samples = audio.decode(stored, offset=offset, duration=min(duration, SECONDS), sample_rate=SAMPLE_RATE)
    except (SpeechprepError, OSError, ValueError) as error:
        return "", without_folders(str(error), name)
    return embed(samples), ""
