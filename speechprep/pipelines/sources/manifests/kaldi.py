"""Data directories of Kaldi: `wav.scp`, `segments`, `text`, `utt2spk`, `utt2lang`, and word times in `ctm`."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator
from typing import Any

from speechprep.artifacts import storage
from speechprep.errors import BadInput
from speechprep.pipelines.sources.dialect import Dialect, Folder
from speechprep.pipelines.sources.entry import Options, Record, Rejected, printable
from speechprep.pipelines.sources.fields import to_record
from speechprep.pipelines.sources.files import Base
from speechprep.pipelines.sources.lines import read_lines
from speechprep.pipelines.sources.timed import columns
from speechprep.pipelines.sources.timed.sidecars import MAX_TIMED, read_text
from speechprep.pipelines.sources.timed.transcript import Word
from speechprep.pipelines.sources.trees import tree

_OTHERS = ("spk2utt", "utt2dur", "reco2dur", "utt2num_frames", "utt2num_samples", "spk2gender", "utt2uniq")


def read(uri: str, options: Options) -> Iterator[Record]:
    """One entry for each line of `segments`; without it, for each line of `wav.scp`.

    Sources that are shell commands are rejected.
    """
    tables: dict[str, dict[str, tuple[str, str]]] = {}
    for name in ("wav.scp", "text", "utt2spk", "utt2lang", "reco2file_and_channel"):
        tables[name] = {}
        for where, line in _lines(uri, name, options):
            if isinstance(line, BadInput):
                yield Rejected(where, line)
                continue
            key, _, value = _halves(line)
            if key in tables[name]:
                reason = f"{where}: {key!r} is there twice; the first line is read"
                yield Rejected(where, BadInput("bad_row", reason))
            else:
                tables[name][key] = value, where
    for name in _OTHERS:
        if tree.is_file(storage.join(uri, name)):
            options.ledger.use(storage.join(uri, name), "manifest")
    base = Base.of(storage.join(uri, "wav.scp"), options.audio_root, options.search)
    recorded = tables["wav.scp"]
    segments = list(_segments(uri, recorded, options))
    good = [segment for _, segment in segments if not isinstance(segment, BadInput)]
    words = _words_by_segment(good, _words(uri, options), {id: text for id, (text, _) in tables["text"].items()})
    used: set[str] = set()
    for where, segment in segments:
        if isinstance(segment, BadInput):
            yield Rejected(where, segment)
            continue
        used.add(segment["id"])
        yield _record(segment, where, tables, words.get(segment["id"], []), base, options)
    for id in sorted(tables["text"].keys() - used):
        where = tables["text"][id][1]
        reason = f"{where}: no line for {printable(id)!r} in {'segments or ' if used else ''}wav.scp; add it"
        yield Rejected(printable(id), BadInput("audio_missing", reason), claims=True)


def _record(
    segment: dict[str, Any],
    where: str,
    tables: dict[str, dict[str, tuple[str, str]]],
    spoken: list[Word],
    base: Base,
    options: Options,
) -> Record:
    recording = segment.pop("recording")
    source = tables["wav.scp"].get(recording)
    if source is None:
        reason = f"{where}: no recording {printable(recording)!r} in wav.scp; add it"
        return Rejected(printable(segment["id"]), BadInput("audio_missing", reason), claims=True)
    row = {**segment, "audio": source[0]}
    for field, name in (("text", "text"), ("speaker", "utt2spk"), ("language", "utt2lang")):
        value = tables[name].get(segment["id"])
        if value is not None and value[0]:
            row[field] = value[0]
    told = tables["reco2file_and_channel"].get(recording)
    if told is not None and (channel := told[0].split()[-1:]) and {"A", "B"} <= _channels(tables):
        row["channel"] = channel[0]
    if spoken:
        start = segment.get("start", 0.0)
        row["words"] = [{"w": w, "start": max(a - start, 0.0), "end": b - start} for w, a, b in spoken]
    return to_record(row, base, where, Options(options.audio_root, options.words))


def _words_by_segment(
    segments: list[dict[str, Any]], words: dict[str, list[Word]], texts: dict[str, str]
) -> dict[str, list[Word]]:
    """Id of a segment -> the words with their midpoint in it, in order.

    A file `ctm` names recordings only. A word in two overlapping segments belongs to the first one whose text has this
    word more often than the words that it already has.
    """
    of_recording: dict[str, list[dict[str, Any]]] = {}
    for segment in segments:
        of_recording.setdefault(segment["recording"], []).append(segment)
    lacking = {segment["id"]: Counter(texts.get(segment["id"], "").split()) for segment in segments}
    owned: dict[str, list[Word]] = {}
    for recording, spoken in words.items():
        shared: list[tuple[Word, list[str]]] = []
        for word in spoken:
            middle = (word[1] + word[2]) / 2
            holders = [
                segment["id"]
                for segment in of_recording.get(recording, ())
                if segment.get("start", 0.0) <= middle < segment.get("end", math.inf)
            ]
            if len(holders) == 1:
                owned.setdefault(holders[0], []).append(word)
                lacking[holders[0]][word[0]] -= 1
            elif holders:
                shared.append((word, holders))
        for word, holders in shared:
            owner = next((id for id in holders if lacking[id][word[0]] > 0), holders[0])
            owned.setdefault(owner, []).append(word)
            lacking[owner][word[0]] -= 1
    return {id: sorted(spoken, key=lambda word: word[1:]) for id, spoken in owned.items()}


def _channels(tables: dict[str, dict[str, tuple[str, str]]]) -> set[str]:
    return {value.split()[-1] for value, _ in tables["reco2file_and_channel"].values() if value.split()}


def _lines(folder: str, name: str, options: Options) -> Iterator[tuple[str, str | BadInput]]:
    uri = storage.join(folder, name)
    if not tree.is_file(uri):
        return
    options.ledger.use(uri, "manifest")
    try:
        for number, line in read_lines(uri):
            yield f"{name}:{number}", line.decode("utf-8", "surrogateescape").strip()
    except BadInput as error:
        yield name, error


def _halves(line: str) -> tuple[str, str, str]:
    parts = line.split(None, 1)
    return parts[0], " ", parts[1] if len(parts) > 1 else ""


def _segments(
    uri: str, recorded: dict[str, tuple[str, str]], options: Options
) -> Iterator[tuple[str, dict[str, Any] | BadInput]]:
    """(place, id, recording, start and end or error) of each utterance."""
    if not tree.is_file(storage.join(uri, "segments")):
        for id, (_, where) in recorded.items():
            yield where, {"id": id, "recording": id}
        return
    for where, line in _lines(uri, "segments", options):
        if isinstance(line, BadInput):
            yield where, line
            continue
        cells = line.split()
        try:
            id, recording, start, end = cells[0], cells[1], float(cells[2]), float(cells[3])
        except (IndexError, ValueError):
            reason = f"{where}: {printable(line, 80)!r} is not `utterance recording start end`; correct it"
            yield where, BadInput("bad_row", reason)
            continue
        segment = {"id": id, "recording": recording, "start": start}
        yield where, segment if end < 0 else {**segment, "end": end}  # -1: to the end of the recording


def _words(uri: str, options: Options) -> dict[str, list[Word]]:
    """Recording -> words with their times, from the file `ctm`; none from a damaged one."""
    place = storage.join(uri, "ctm")
    if not tree.is_file(place):
        return {}
    try:
        recordings = columns.ctm(read_text(place, MAX_TIMED))
    except BadInput:
        return {}
    options.ledger.use(place, "transcript")
    return {name: timed.words or [w for s in timed.segments for w in s.words] for name, timed in recordings.items()}


def _is_kaldi(folder: Folder) -> bool:
    return "wav.scp" in folder.names


DIALECT = Dialect(
    name="kaldi",
    summary="a data directory of Kaldi: wav.scp, segments, text, utt2spk",
    read=read,
    folder=_is_kaldi,
)
