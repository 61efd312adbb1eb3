"""Small runs for the tests of export, and readers of the exported formats, by the peers' packages where they exist."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from helpers.rowmaking import write_dataset

from speechprep.artifacts.run import open_run
from speechprep.artifacts.schemas import UTTERANCES, WORDS, units_schema

RATE = 16_000
GRID = {"sample_rate": RATE, "stride": 320, "window": 400, "padded": False}
Label = tuple[float, float, str]


def tone(seconds: float, seed: int) -> np.ndarray:
    return (np.random.default_rng(seed).standard_normal(round(seconds * RATE)) * 3000).astype(np.int16)


def write_audio(path: Path, seconds: float, seed: int = 0) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, tone(seconds, seed), RATE, subtype="PCM_16")
    return path


def words(*labels: Label) -> list[dict[str, Any]]:
    return [{"text": t, "start": a, "end": b, "score": -1.0, "timing": "aligned"} for a, b, t in labels]


def row(
    id: str, audio: Path | None, duration: float, text: str | None, spoken: list[dict[str, Any]], **more: Any
) -> dict:
    """A row of a corpus: columns of `utterances`, the words, and the verdict."""
    return {
        "id": id, "audio": str(audio) if audio else None, "offset": 0.0, "duration": duration, "sample_rate": RATE,
        "text": text, "spoken": spoken, "kept": True, "reason": None, **more,
    }  # fmt: skip


def write_run(folder: Path, rows: list[dict[str, Any]], n_shards: int = 1, *, units: bool = True) -> Path:
    """A run with `utterances`, `words` and `units`. A row with `aligned=False` has no row in `words`."""
    per = -(-len(rows) // n_shards)
    parts = [rows[i * per : (i + 1) * per] for i in range(n_shards)]
    utterances = [[{f.name: r.get(f.name) for f in UTTERANCES} for r in part] for part in parts]
    write_dataset(folder / "utterances", "utterances", UTTERANCES, utterances)
    spoken = [
        [{f.name: r.get(f.name) for f in WORDS} | {"words": r["spoken"]} for r in part if r.get("aligned", True)]
        for part in parts
    ]
    write_dataset(folder / "words", "words", WORDS, spoken)
    if units:
        schema = units_schema(20)
        made = [[{"id": r["id"], "units": units_of(r), "codebook": "c"} for r in part] for part in parts]
        write_dataset(folder / "units", "units", schema, made, {"k": 20, "grid": GRID})
    return folder


def units_of(row: dict[str, Any]) -> list[int]:
    frames = int((row["duration"] or 0) * 50)
    return [(i // 3) % 20 for i in range(frames)]


def corpus(folder: Path) -> list[dict[str, Any]]:
    """Two speakers in one recording with overlapping segments; names with blanks and dots; rows that are left out."""
    long = write_audio(folder / "a/meeting one.wav", 12.0)
    same = write_audio(folder / "b/meeting one.wav", 2.0, 1)
    plain = write_audio(folder / "c.v2.flac", 3.0, 2)
    said = words((0.1234, 0.5, "Good"), (0.5, 0.5, "zero"), (0.7, 1.0, 'say"so"'), (0.9, 1.5, "Zürich,"))
    first = {"speaker": "ann", "language": "en", "split": "train", "corpus": "toy", "licence": "CC0"}
    second = {"speaker": "bob b", "language": "de", "split": "dev"}
    return [
        row("m 1", long, 4.0, 'Good zero say"so" Zürich,', said, offset=1.0, **first),
        row("m.2", long, 3.0, "the <b>&\nend", words((0.0, 0.02, "the"), (0.02, 2.9, "<b>&"), (2.9, 3.0, "end")),
            offset=4.0, **second),
        row("same", same, 2.0, "日本 naïve", words((0.25, 1.0, "日本"), (1.25, 1.75, "naïve")), **second),
        row("m/3", plain, 3.0, "a a", words((0.0, 1.0, "a"), (2.0, 3.0, "a"))),
        row("dropped", plain, 3.0, "bad", words((0.0, 1.0, "bad")), kept=False, reason="high_wer"),
        row("rejected", same, 2.0, "gone", [], aligned=False),
        row("silent", same, 2.0, None, []),
        row("missing", folder / "absent.wav", 2.0, "lost", words((0.0, 1.0, "lost"))),
        row("text", None, None, "only text", [], aligned=False, sample_rate=None),
    ]  # fmt: skip


def expected(folder: Path, tier: str = "words") -> dict[str, list[Label]]:
    """Id -> labels of the exported utterances in seconds of the recording; segments without a text are left out."""
    from speechprep.pipelines.export.rows import Judge, Source, read_utterances, recording_key

    source = Source.of(open_run(str(folder)))
    names = {f"#{id}": id for id, _ in source.places()} | {recording_key(*p): p[0] for p in source.places()}
    rows = [u for u in read_utterances(source, Judge(kept=True), names) if u.drop is None and u.id != "missing"]
    return {u.id: [(u.offset + a, u.offset + b, t) for a, b, t in u.spans(tier) if t] for u in rows}


def by_recording(folder: Path, out: Path, labels: dict[str, list[Label]]) -> dict[str, list[Label]]:
    """Name of a recording in an export -> its labels in order of time."""
    from speechprep.pipelines.export.names import stem

    renamed = {
        uri: name for name, uri in json.loads((out / "_export.json").read_text())["renamed"]["recordings"].items()
    }
    result: dict[str, list[Label]] = {}
    for utterance in open_run(str(folder))["utterances"].records(["id", "audio"]):
        if labels.get(utterance["id"]):
            name = renamed.get(utterance["audio"]) or stem(utterance["audio"])
            result.setdefault(name, []).extend(labels[utterance["id"]])
    return {name: sorted(rows) for name, rows in result.items()}


def read_textgrid(out: Path) -> dict[str, list[Label]]:
    textgrid = pytest.importorskip("praatio.textgrid")
    result = {}
    for path in out.glob("*.TextGrid"):
        grid = textgrid.openTextgrid(str(path), includeEmptyIntervals=False)
        tiers = [grid.getTier(name) for name in grid.tierNames if "words" in name]
        result[path.stem] = sorted(tuple(entry) for tier in tiers for entry in tier.entries)
    return {name: rows for name, rows in result.items() if rows}


def read_subtitles(ending: str) -> Callable[[Path], dict[str, list[Label]]]:
    def read(out: Path) -> dict[str, list[Label]]:
        pysubs2 = pytest.importorskip("pysubs2")
        result = {}
        for path in out.glob(f"*.{ending}"):
            events = pysubs2.load(str(path), keep_html_tags=True).events
            result[path.name.removesuffix(f".{ending}")] = [
                (e.start / 1000, e.end / 1000, plain(e.text)) for e in events
            ]
        return result

    return read


def plain(text: str) -> str:
    return text.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")


def read_ctm(out: Path, name: str = "words.ctm") -> dict[str, list[Label]]:
    result: dict[str, list[Label]] = {}
    for line in (out / name).read_text(encoding="utf-8").splitlines():
        recording, channel, start, duration, word = line.split(" ")
        assert channel == "1"
        result.setdefault(recording, []).append((float(start), float(start) + float(duration), word))
    return result


def read_audacity(out: Path) -> dict[str, list[Label]]:
    lines = {path.stem: path.read_text(encoding="utf-8").splitlines() for path in out.glob("*.txt")}
    cells = {name: [line.split("\t") for line in rows] for name, rows in lines.items()}
    return {name: [(float(a), float(b), text) for a, b, text in rows] for name, rows in cells.items()}


READERS: dict[str, Callable[[Path], dict[str, list[Label]]]] = {
    "textgrid": read_textgrid,
    "srt": read_subtitles("srt"),
    "vtt": read_subtitles("vtt"),
    "ctm": read_ctm,
    "audacity": read_audacity,
    "kaldi": lambda out: read_ctm(out, "ctm"),
}


def ingested_labels(folder: Path) -> dict[str, list[Label]]:
    """Name of a recording -> the words that `ingest` has read, in seconds of the recording.

    A row with a text and no words is one word: a cue of subtitles of words.
    """
    result: dict[str, list[Label]] = {}
    for row in open_run(str(folder))["utterances"].records():
        start = row["offset"] or 0.0
        labels = [(start + w["start"], start + w["end"], w["text"]) for w in row["words"] or []]
        if not labels and row["text"]:
            labels = [(start, start + row["duration"], row["text"])]
        if labels:
            result.setdefault(Path(row["audio"]).stem, []).extend(labels)
    return {name: sorted(labels) for name, labels in result.items()}


def same_labels(got: dict[str, list[Label]], wanted: dict[str, list[Label]], tolerance: float = 0.001) -> None:
    """The same texts at the same places, times within the tolerance in seconds."""
    assert got.keys() == wanted.keys()
    for name, rows in wanted.items():
        ours = sorted(got[name])
        assert [text for _, _, text in ours] == [text for _, _, text in sorted(rows)], name
        times = np.array([row[:2] for row in ours]) - np.array([row[:2] for row in sorted(rows)])
        assert np.abs(times).max() <= tolerance + 1e-9, name
