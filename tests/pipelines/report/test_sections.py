"""The sections of the report on run folders made table by table: present with their data, absent without, escaped."""

from __future__ import annotations

import base64
import csv
import html
import io
import json
import re
import shutil
import xml.etree.ElementTree as ElementTree
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
import soundfile
from helpers.report_runs import (
    EVIL,
    K,
    aligned,
    data_of,
    declare,
    make_run,
    text_of,
    token_row,
    tone,
    utterance,
    write,
    write_rejects,
)

from speechprep.artifacts import schemas
from speechprep.artifacts.run import open_run
from speechprep.artifacts.shards import shard_name
from speechprep.pipelines.report import build_report, render
from speechprep.pipelines.report.doubtful import LOW, REJECTED, SECONDS, SILENT, clips_to_check
from speechprep.pipelines.report.facts import gather
from speechprep.pipelines.report.rows import MOST, choose_rows
from speechprep.pipelines.stages.cluster.quality import UNIT_LABELS

VOID = {"meta", "link", "br", "img", "input", "hr"}
HOSTILE = (
    EVIL,
    '"><img src=x onerror=alert(1)>',
    "'); alert(1); ('",
    "</svg><script>alert(1)</script>",
    "]]>&lt;b&gt;",
    "$data ${plotly}",
    '=HYPERLINK("http://x")',
    "\x1b[31mred\x07\x0b",
    "\u202eright to left",
    "line\nbreak\ttab",
)


class Balanced(HTMLParser):
    """Checks that each element is closed in order, and collects the ids and the attributes of all elements."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.ids: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.ids += [value or "" for name, value in attrs if name == "id"]
        self.attributes += attrs
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.attributes += attrs

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def parsed(page: str) -> Balanced:
    parser = Balanced()
    parser.feed(text_of(page))
    parser.close()
    assert parser.open == []
    assert len(parser.ids) == len(set(parser.ids))
    return parser


def section(page: str, anchor: str) -> str:
    """HTML of a section; empty if it is absent."""
    found = re.search(rf'<section id="{anchor}">(.*?)</section>', page, re.DOTALL)
    return found[1] if found else ""


def downloads(page: str) -> dict[str, str]:
    """File name -> content of the download links."""
    links = re.findall(r'<a download="([^"]+)"[^>]* href="data:[^,"]+;base64,([^"]*)"', page)
    return {html.unescape(name): base64.b64decode(content).decode() for name, content in links}


def rows_of(text: str) -> list[list[str]]:
    return list(csv.reader(io.StringIO(text)))


def full_run(run: Path, names: tuple[str, ...] = ("a", "b", "c", "d"), shards: int = 1) -> Path:
    """A run with data for each section; each text of the data is one of `names`."""
    several = [names[i % len(names)] for i in range(4)]
    ids = [f"{i}{name}" for i, name in enumerate(several)]
    rows = [
        utterance(ident, 1.0 + i, text=name, speaker=name, corpus=name)
        for i, (ident, name) in enumerate(zip(ids, several, strict=True))
    ]
    facts = {
        "files": {"seen": 3, "read": {several[0]: 1}, "not_read": {several[1]: {several[2]: 2}}},
        "unused_transcripts": {"count": 1, "names": [several[3]]},
        "with_transcript": 1,
        "without_transcript": 2,
    }
    write(run, "utterances", schemas.UTTERANCES, rows, shards, **facts)
    spoken = [aligned(ids[0], 1.0, -9.0, level=-20.0), aligned(ids[1], 2.0, 0.5, level=-90.0)]
    spoken.append(aligned(ids[2], 3.0, 0.1, level=-20.0, kept=False, reason=several[0]))
    for row, name in zip(spoken, several, strict=False):
        row["text"] = row["words"][0]["text"] = name
    write(run, "words", schemas.WORDS, spoken, shards)
    write_rejects(
        run,
        "words",
        [{"id": ids[3], "stage": several[0], "code": several[1], "message": several[2]}],
        shard_name(3 % shards, shards),
    )
    write(run, "units", schemas.units_schema(K), [{"id": ids[0], "units": [1, 1, 2], "codebook": "c"}], k=K)
    parts = [("unit", 20, 0.5), ("text", 9, 0.5)]
    declare(run, "codebook", k=3)
    counts = {"labels": ["", *several[1:]], "frames": [[9, 0, 0], [1, 4, 0], [0, 4, 0], [0, 2, 0]], "other": [0, 0, 0]}
    (run / "codebook" / UNIT_LABELS).write_text(json.dumps(counts))
    write(run, "tokens", schemas.TOKENS, [token_row(ids[0], kind, parts, 4) for kind in ("ast", "cst_ut", several[0])])
    stages = [{"name": name, "seconds": 1.5, "workers": name, "rejected": name} for name in several]
    (run / "run.json").write_text(json.dumps({"recipe": several[0], "description": several[1], "stages": stages}))
    return run


SECTIONS = {
    "stages": lambda run: (run / "run.json").unlink(),
    "input": lambda run: shutil.rmtree(run / "utterances"),
    "check": lambda run: [shutil.rmtree(run / kind) for kind in ("words", "utterances")],
    "breakdown": lambda run: shutil.rmtree(run / "utterances"),
    "labels": lambda run: (run / "codebook" / UNIT_LABELS).unlink(),
    "rows": lambda run: shutil.rmtree(run / "tokens"),
}


@pytest.mark.parametrize("anchor", SECTIONS)
def test_a_section_is_present_with_its_data_and_absent_without(anchor: str, tmp_path: Path) -> None:
    run = full_run(tmp_path / "run")
    before = render(str(run))
    assert section(before, anchor)
    assert f'href="#{anchor}"' in before
    SECTIONS[anchor](run)
    after = render(str(run))
    assert not section(after, anchor)
    assert f'href="#{anchor}"' not in after


@pytest.mark.parametrize("hostile", HOSTILE, ids=range(len(HOSTILE)))
def test_hostile_text_in_each_field_is_text_in_each_section(hostile: str, tmp_path: Path) -> None:
    page = render(str(full_run(tmp_path / "run", (hostile,))))
    name_of_as_many_words = " ".join("n" for _ in hostile.split())
    plain = render(str(full_run(tmp_path / "plain", (name_of_as_many_words,))))
    parser, expected = parsed(page), parsed(plain)
    assert [name for name, _ in parser.attributes] == [name for name, _ in expected.attributes]
    assert not re.search("[\x00-\x08\x0b\x0c\x0e-\x1f]", text_of(page))
    assert page.count("</script>") == plain.count("</script>") == 4
    assert data_of(page).keys() == data_of(plain).keys()
    for anchor in SECTIONS:
        assert section(page, anchor)
    files = downloads(page)
    assert files.keys() == downloads(plain).keys()
    for name, content in files.items():
        if name.endswith(".svg"):
            tags = {element.tag.rpartition("}")[2] for element in ElementTree.fromstring(content).iter()}
            assert tags <= {"svg", "title", "rect", "path", "text"}
        else:
            cells = [cell for row in rows_of(content) for cell in row]
            assert not any(cell.startswith(("=", "@")) for cell in cells)


def test_the_same_run_gives_the_same_bytes_in_another_folder_and_for_any_shards(tmp_path: Path) -> None:
    pages = []
    for folder, shards in (("one", 1), ("two", 1), ("three", 4)):
        run = full_run(tmp_path / folder / "run", shards=shards)
        pages += [build_report(str(run)).read_bytes(), build_report(str(run)).read_bytes()]
    assert len(set(pages)) == 1


def test_no_path_and_no_time_of_the_machine_is_in_the_page(tmp_path: Path) -> None:
    audio = tmp_path / "some folder" / "b.wav"
    rows = [utterance("a", 1.0) | {"audio_bytes": None, "audio": str(tmp_path / "gone.wav")}]
    run = tmp_path / "run"
    write(run, "utterances", schemas.UTTERANCES, rows)
    rejects = [
        {"id": "b", "stage": "ingest", "code": "audio_empty", "message": f"0 bytes: {audio}", "audio": str(audio)},
        {"id": "c", "stage": "ingest", "code": "audio_missing", "message": f"no such file: {tmp_path}/x/c.wav"},
    ]
    write_rejects(run, "utterances", rejects)
    record = {"started": "2026-01-02T03:04:05", "sources": [str(tmp_path)], "stages": [{"name": "x", "seconds": 1}]}
    (run / "run.json").write_text(json.dumps(record))
    page = text_of(render(str(run)))
    assert str(tmp_path) not in page
    assert "2026-01-02" not in page
    assert "no such file: c.wav" in page
    assert "0 bytes: b.wav" in page
    assert "no such file: gone.wav" in page


def test_lone_surrogates_in_run_json_do_not_stop_the_report(tmp_path: Path) -> None:
    (tmp_path / "run.json").write_text('{"recipe": "x\\ud800", "description": "\\udfff"}')
    assert "<h1>x\ufffd</h1>" in build_report(str(tmp_path)).read_text(encoding="utf-8")


def test_each_figure_has_its_numbers_as_csv_and_its_picture_as_svg(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run")
    (run / "run.json").write_text(json.dumps({"stages": [{"name": "align", "seconds": 90.0}]}))
    page = render(str(run))
    files, figures = downloads(page), data_of(page)["figures"]
    assert len(figures) >= 9
    assert files.keys() == {f"{name}.{ending}" for name in figures for ending in ("svg", "csv")}
    for name, figure in figures.items():
        assert set(figure) == {"data", "layout"}
        rows, trace = rows_of(files[f"{name}.csv"]), figure["data"][0]
        assert len({len(row) for row in rows}) == 1
        assert len(rows) == 1 + len(trace["x"])
        values = trace["x" if trace.get("orientation") == "h" else "y"]
        column = 1 + ("base" in trace)
        assert [float(row[column]) for row in rows[1:]] == pytest.approx(values)
    assert rows_of(files["stage-times.csv"]) == [["stage", "minutes"], ["align", "1.5"]]


def boxes(content: str) -> list[tuple[float, float, float, float]]:
    """(x, y, width, height) of the filled rectangles of an SVG file."""
    pattern = re.compile(r"M([-\d.e]+) ([-\d.e]+)h([-\d.e]+)v([-\d.e]+)h[-\d.e]+z")
    filled = [e for e in ElementTree.fromstring(content).iter() if e.get("fill", "none") != "none" and e.get("d")]
    return [tuple(map(float, match)) for e in filled for match in pattern.findall(e.get("d") or "")]  # type: ignore[misc]


def test_the_bars_of_the_svg_have_the_lengths_of_the_numbers(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run")
    stages = [{"name": "a", "seconds": 10.0}, {"name": "b", "seconds": 40.0}, {"name": "c", "seconds": 20.0}]
    (run / "run.json").write_text(json.dumps({"stages": stages}))
    files = downloads(render(str(run)))
    widths = [width for _, _, width, _ in boxes(files["stage-times.svg"])]
    assert [width / widths[0] for width in widths] == pytest.approx([1, 4, 2], rel=1e-3)
    heights = [height for *_, height in boxes(files["durations.svg"])]
    counts = [float(row[1]) for row in rows_of(files["durations.csv"])[1:] if float(row[1])]
    assert [height / heights[0] for height in heights] == pytest.approx([n / counts[0] for n in counts], rel=1e-2)


def test_everything_in_the_svg_lies_inside_of_it(tmp_path: Path) -> None:
    for name, content in downloads(render(str(full_run(tmp_path / "run", ("x" * 300,))))).items():
        if name.endswith(".svg"):
            _, _, width, height = map(float, ElementTree.fromstring(content).get("viewBox", "").split())
            for x, y, w, h in boxes(content):
                assert -0.01 <= x <= x + w <= width + 0.01
                assert -0.01 <= y <= y + h <= height + 0.01


def test_speech_by_speaker_and_corpus_adds_up(tmp_path: Path) -> None:
    rows = [
        utterance(f"u{i}", 60.0 * (i + 1), speaker=s, corpus="one", audio_bytes=b"")
        for i, s in enumerate(["x", "y", "x", None])
    ]
    write(tmp_path, "utterances", schemas.UTTERANCES, rows, shards=2)
    spoken = [aligned("u0", 60.0), aligned("u1", 120.0, kept=False, reason="score_low"), aligned("u2", 180.0)]
    write(tmp_path, "words", schemas.WORDS, spoken, shards=3)  # shards of other names than in `utterances`
    files = downloads(render(str(tmp_path)))
    head = ["name", "kept (minutes)", "not kept (minutes)"]
    assert rows_of(files["by-corpus.csv"]) == [head, ["one", "4.0", "6.0"]]
    people = [["x", "4.0", "0.0"], ["not stated", "0.0", "4.0"], ["y", "0.0", "2.0"]]
    assert rows_of(files["by-speaker.csv"]) == [head, *people]


def test_without_words_no_speech_is_kept_or_not_kept(tmp_path: Path) -> None:
    write(tmp_path, "utterances", schemas.UTTERANCES, [utterance("a", 2.0, speaker="x")])
    page = render(str(tmp_path))
    assert rows_of(downloads(page)["by-speaker.csv"]) == [["name", "ingested (seconds)"], ["x", "2.0"]]
    assert "by-corpus" not in page


def test_smaller_speakers_are_counted_in_the_caption(tmp_path: Path) -> None:
    rows = [utterance(f"u{i:02d}", 1.0, speaker=f"s{i:02d}", audio_bytes=b"") for i in range(30)]
    write(tmp_path, "utterances", schemas.UTTERANCES, rows)
    page = render(str(tmp_path))
    assert len(rows_of(downloads(page)["by-speaker.csv"])) == 26
    assert "Without 5 smaller ones: 5 s." in section(page, "breakdown")


def test_silent_low_and_rejected_clips_can_be_played(tmp_path: Path) -> None:
    run = full_run(tmp_path / "run")
    clips = clips_to_check(open_run(str(run)), gather(open_run(str(run))))
    assert [(clip.group, clip.id, clip.why) for clip in clips] == [
        (SILENT, "1b", "-90 dBFS"),
        (LOW, "0a", "score -9"),
        (LOW, "2c", "score 0.1"),
        (REJECTED, "3d", "a: b"),
    ]
    for clip, seconds in zip(clips, (2.0, 1.0, 3.0, 4.0), strict=True):
        samples, rate = soundfile.read(io.BytesIO(base64.b64decode(clip.source.split(",")[1])))
        assert len(samples) / rate == pytest.approx(seconds)
    assert section(render(str(run)), "check").count("<audio ") == 4


def test_the_audio_of_a_clip_to_check_is_of_limited_size(tmp_path: Path) -> None:
    noise = io.BytesIO()
    soundfile.write(noise, np.random.default_rng(0).uniform(-1, 1, 44100 * 60), 44100, format="WAV")
    write(tmp_path, "utterances", schemas.UTTERANCES, [utterance("a", 60.0, audio_bytes=noise.getvalue())])
    write(tmp_path, "words", schemas.WORDS, [aligned("a", 60.0)])
    (clip,) = clips_to_check(open_run(str(tmp_path)), gather(open_run(str(tmp_path))))
    assert len(clip.source) < SECONDS * 16_000 * 2 * 1.4  # noise at full scale: FLAC cannot make it smaller


@pytest.mark.parametrize("audio", ["file", None, "missing", "a folder", "broken"])
def test_a_reject_of_ingest_is_played_from_its_file_or_named(audio: str | None, tmp_path: Path) -> None:
    write(tmp_path, "utterances", schemas.UTTERANCES, [])
    path = tmp_path / "x.wav"
    if audio == "file":
        path.write_bytes(tone(1.0))
    elif audio == "broken":
        path.write_bytes(b"RIFF1234WAVE")
    elif audio == "a folder":
        path.mkdir()
    reject = {"id": "r", "stage": "ingest", "code": "text_bad", "message": "no text"}
    write_rejects(tmp_path, "utterances", [reject | {"audio": None if audio is None else str(path)}])
    page = section(render(str(tmp_path)), "check")
    assert ("<audio " in page) == (audio == "file")
    assert ("No audio." in page) == (audio != "file")
    assert "ingest: text_bad" in page
    assert "<code>r</code>" in page
    assert "no text" in page


def test_rows_are_drawn_in_order_with_their_switches(tmp_path: Path) -> None:
    run = full_run(tmp_path / "run")
    rows = choose_rows(open_run(str(run)))
    assert [row.kind for row in rows] == ["ast", "cst_ut"]
    for row in rows:
        assert [part.modality for part in row.parts] == ["switch", "unit", "text", "switch"]
        assert [len(part.tokens) for part in row.parts] == [1, 20, 9, 3]
        assert [token for part in row.parts for token in part.tokens] == [f"#{i}" for i in range(33)]
        assert row.parts[1].words == "a"
    page = section(render(str(run)), "rows")
    for modality in ("unit", "text", "switch"):
        assert f'<span class="{modality}"' in page
    assert page.count('<li style="--tone:') == 3


def test_a_long_row_is_cut_and_says_so(tmp_path: Path) -> None:
    write(tmp_path, "tokens", schemas.TOKENS, [token_row("a", "ast", [("unit", 500, 1.0)], 2)])
    (row,) = choose_rows(open_run(str(tmp_path)))
    assert sum(len(part.tokens) for part in row.parts) == MOST
    assert f"{502 - MOST} more are left out." in section(render(str(tmp_path)), "rows")


def test_a_damaged_vocabulary_leaves_the_ids(tmp_path: Path) -> None:
    run = full_run(tmp_path / "run")
    declare(run, "subword", size=50)
    (run / "subword/vocab.json").write_text("{")
    assert "<b>#3</b>" in section(render(str(run)), "rows")


def test_the_map_of_units_and_labels_has_the_shares_of_the_frames(tmp_path: Path) -> None:
    page = render(str(full_run(tmp_path / "run")))
    trace = data_of(page)["figures"]["units-by-label"]["data"][0]
    assert trace["x"] == ["0", "1"]  # unit 2 has no frame
    assert trace["z"] == [[90.0, 0.0], [10.0, 40.0], [0.0, 40.0], [0.0, 20.0]]
    rows = rows_of(downloads(page)["units-by-label.csv"])
    assert rows[0] == ["label", "0", "1"]
    assert [row[0] for row in rows[1:]] == ["(no label)", "b", "c", "d"]
    assert len(boxes(downloads(page)["units-by-label.svg"])) == 5


@pytest.mark.parametrize("content", ["", "{}", "[]", '{"labels": ["a"], "frames": [[1, 2], [3]], "other": []}', "null"])
def test_a_damaged_map_of_units_and_labels_is_left_out(content: str, tmp_path: Path) -> None:
    run = full_run(tmp_path / "run")
    (run / "codebook" / UNIT_LABELS).write_text(content)
    assert not section(render(str(run)), "labels")
