"""Fields that select samples are honoured, or their record is rejected."""

from __future__ import annotations

import io
import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import soundfile

from speechprep.artifacts.media.audio import decode
from speechprep.pipelines import sources
from speechprep.pipelines.sources.entry import Entry, Options
from speechprep.pipelines.stages.ingest import STAGE

RATE = 8000
LEFT = np.random.default_rng(0).uniform(-0.5, 0.5, 3 * RATE)
RIGHT = np.random.default_rng(1).uniform(-0.5, 0.5, 3 * RATE)


@pytest.fixture
def stereo(tmp_path: Path) -> Path:
    soundfile.write(tmp_path / "st.wav", np.stack([LEFT, RIGHT], 1), RATE, subtype="PCM_16")
    return tmp_path / "st.wav"


def ingested(run_stage: Any, place: Path, **options: Any) -> tuple[list[dict], dict[str, str]]:
    folder = run_stage(STAGE, options, sources=[place], rebuild=True)
    files = sorted(folder.glob("*.parquet"))
    rows = [row for file in files for row in pq.read_table(file).to_pylist()]
    rejects = [row for file in (folder / "_rejects").glob("*.parquet") for row in pq.read_table(file).to_pylist()]
    return rows, {row["id"]: row["code"] for row in rejects}


SEGMENTS = {
    "start and end": {"start": 0.5, "end": 1.25},
    "texts": {"start": "0.5", "end": "1.25"},
    "upper case": {"Start": 0.5, "End": 1.25},
    "start_time": {"start_time": 0.5, "end_time": 1.25},
    "begin_time": {"begin_time": 0.5, "end_time": 1.25},
    "start and duration": {"start": 0.5, "duration": 0.75},
    "offset and duration": {"offset": 0.5, "duration": 0.75},
    "offset and end": {"offset": 0.5, "end": 1.25},
    "milliseconds": {"start_ms": 500, "end_ms": 1250},
    "samples": {"start_sample": 4000, "end_sample": 10_000, "sample_rate": RATE},
    "samples and their number": {"start_sample": 4000, "num_samples": 6000, "sampling_rate": RATE},
}
BAD_SEGMENTS = {
    "end before start": ({"start": 2, "end": 1}, "bad_field"),
    "no length": ({"start": 1, "end": 1}, "bad_field"),
    "negative": ({"start": -1, "end": 1}, "bad_field"),
    "words": ({"start": "00:00:01", "end": "00:00:02"}, "bad_field"),
    "samples without a rate": ({"start_sample": 4000, "end_sample": 8000}, "bad_field"),
    "absurd": ({"start": 0, "end": 1e300}, "bad_field"),
    "outside": ({"start": 2, "end": 9}, "segment_outside"),
    "a list of channels": ({"channel": [0, 1]}, "bad_channel"),
    "an unknown channel": ({"channel": "rear"}, "bad_channel"),
    "a channel that is not there": ({"channel": 2}, "bad_channel"),
    "half a channel": ({"channel": 0.5}, "bad_channel"),
    "an absurd channel": ({"channel": 1e300}, "bad_channel"),
}


@pytest.mark.parametrize("form", ["jsonl", "csv"])
def test_a_segment_in_any_spelling(run_stage: Any, stereo: Path, form: str):
    for i, fields in enumerate(SEGMENTS.values()):
        record = {"id": "x", "audio": "st.wav", **fields}
        place = stereo.parent / f"{i}.{form}"
        if form == "jsonl":
            place.write_text(json.dumps(record))
        else:
            place.write_text(f"{','.join(record)}\n{','.join(map(str, record.values()))}\n")
        entries = [e for e in sources.read(str(place), "auto", Options()) if isinstance(e, Entry)]
        assert [(e.offset, e.duration) for e in entries] == [(0.5, 0.75)], fields


def test_a_bad_segment_or_channel_is_a_reject(run_stage: Any, stereo: Path):
    records = [{"id": name, "audio": "st.wav", **fields} for name, (fields, _) in BAD_SEGMENTS.items()]
    (stereo.parent / "m.jsonl").write_text("\n".join(map(json.dumps, records)))
    rows, rejects = ingested(run_stage, stereo.parent / "m.jsonl")
    assert rows == []
    assert rejects == {name: code for name, (_, code) in BAD_SEGMENTS.items()}


def test_the_number_of_samples_alone_is_no_segment(run_stage: Any, stereo: Path):
    record = {"id": "x", "audio": "st.wav", "num_samples": 99, "sample_rate": RATE, "end": "", "start": None}
    (stereo.parent / "m.jsonl").write_text(json.dumps(record))
    ((row,), _) = ingested(run_stage, stereo.parent / "m.jsonl")
    assert (row["offset"], row["duration"]) == (0.0, 3.0)


def test_times_of_the_uncut_recording_beside_a_cut_file_mean_the_whole_file(run_stage: Any, stereo: Path):
    (stereo.parent / "m.jsonl").write_text(json.dumps({"audio": "st.wav", "begin_time": 100, "end_time": 103}))
    ((row,), _) = ingested(run_stage, stereo.parent / "m.jsonl")
    assert (row["offset"], row["duration"]) == (0.0, 3.0)


CHANNELS = [(0, LEFT), (1, RIGHT), ("1", RIGHT), ("left", LEFT), ("B", RIGHT), ([1], RIGHT), (1.0, RIGHT)]


@pytest.mark.parametrize("name", ["channel", "channel_selector"])
@pytest.mark.parametrize(("channel", "samples"), CHANNELS)
def test_one_channel_is_decoded_by_all_later_stages(run_stage: Any, stereo: Path, name: str, channel, samples):
    record = {"id": "x", "audio": "st.wav", "offset": 1, "duration": 1, name: channel}
    (stereo.parent / "m.jsonl").write_text(json.dumps(record))
    ((row,), _) = ingested(run_stage, stereo.parent / "m.jsonl")
    heard = decode(row["audio_bytes"], row["offset"], row["duration"])
    assert np.abs(heard - samples[RATE : 2 * RATE]).max() < 1e-4
    assert (row["duration"], row["sample_rate"]) == (1.0, RATE)


@pytest.mark.parametrize("channel", ["average", None, ""])
def test_the_mean_of_all_channels_is_asked_by_name(run_stage: Any, stereo: Path, channel):
    (stereo.parent / "m.jsonl").write_text(json.dumps({"id": "x", "audio": "st.wav", "channel": channel}))
    ((row,), _) = ingested(run_stage, stereo.parent / "m.jsonl")
    assert row["audio_bytes"] is None


def test_the_channels_of_one_file_have_ids_of_their_own(run_stage: Any, stereo: Path):
    records = [{"audio": "st.wav", "channel": i, "speaker": f"s{i}"} for i in (0, 1)]
    (stereo.parent / "m.jsonl").write_text("\n".join(map(json.dumps, records)))
    rows, rejects = ingested(run_stage, stereo.parent / "m.jsonl")
    assert [(row["id"], row["speaker"]) for row in rows] == [("st#0", "s0"), ("st#1", "s1")]
    assert not rejects


def test_a_channel_of_an_archive_member(run_stage: Any, stereo: Path):
    import tarfile

    with tarfile.open(stereo.parent / "a.tar", "w") as tar:
        for name, body in {"x.wav": stereo.read_bytes(), "x.json": b'{"channel": 1, "start": 1, "end": 2}'}.items():
            info = tarfile.TarInfo(name)
            info.size = len(body)
            tar.addfile(info, io.BytesIO(body))
    ((row,), _) = ingested(run_stage, stereo.parent / "a.tar")
    assert np.abs(decode(row["audio_bytes"]) - RIGHT[RATE : 2 * RATE]).max() < 1e-4


PATHS = {
    "two folders up": "../../audio/a b.wav",
    "outer blanks": "  ../../audio/a b.wav ",
    "percent code": "../../audio/a%20b.wav",
    "file URI with percent code": "file://{root}/audio/a%20b.wav",
    "absolute": "{root}/audio/a b.wav",
    "home": "~/audio/a b.wav",
    "backslashes": "..\\..\\audio\\a b.wav",
}


@pytest.mark.parametrize("name", PATHS)
def test_a_path_in_any_spelling(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str):
    monkeypatch.setenv("HOME", str(tmp_path))
    for folder in ("audio", "lists/a"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "audio/a b.wav").write_bytes(b"")
    path = PATHS[name].replace("{root}", str(tmp_path))
    (tmp_path / "lists/a/m.jsonl").write_text(json.dumps({"id": "x", "audio": path}))
    (entry,) = sources.read(str(tmp_path / "lists/a/m.jsonl"), "auto", Options())
    assert isinstance(entry, Entry)
    assert os.path.samefile(entry.audio.removeprefix("file://"), tmp_path / "audio/a b.wav")


@pytest.mark.parametrize("name", ["a%20b.wav", " a.wav", "~a.wav", "a\\b.wav", "~/a.wav"])
def test_a_file_with_an_unusual_name_is_found_as_written(tmp_path: Path, name: str):
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).write_bytes(b"")
    (tmp_path / "m.jsonl").write_text(json.dumps({"id": "x", "audio": name}))
    (entry,) = sources.read(str(tmp_path / "m.jsonl"), "auto", Options())
    assert entry.audio == f"{tmp_path}/{name}"


@pytest.mark.parametrize("path", ["sph2pipe -f wav a.sph |", "cat a.wav|", "| cat", " flac -d a.flac | "])
def test_a_shell_command_is_refused(tmp_path: Path, path: str):
    (tmp_path / "m.jsonl").write_text(json.dumps({"id": "x", "audio": path}))
    (reject,) = sources.read(str(tmp_path / "m.jsonl"), "auto", Options())
    assert reject.error.code == "bad_path"
    assert "shell command" in str(reject.error)
