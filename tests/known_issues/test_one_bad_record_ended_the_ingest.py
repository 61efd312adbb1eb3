"""One bad record ended the whole ingest with an error, or made it wait without end on a pipe."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import soundfile

from speechprep.errors import ConfigError
from speechprep.pipelines.sources import images
from speechprep.pipelines.stages.images import fetch
from speechprep.pipelines.stages.ingest import STAGE

MANIFEST_RECORDS = {  # name -> (fields, code of the reject)
    "package_not_installed": ({"audio": "oci://bucket/a.wav"}, "audio_unreadable"),
    "unknown_scheme": ({"audio": "nosuch://bucket/a.wav"}, "audio_unreadable"),
    "incomplete_uri": ({"audio": "zip://a.wav"}, "audio_unreadable"),
    "offset_1e308": ({"audio": "good.wav", "offset": 1e308, "duration": 1}, "bad_field"),
    "offset_of_400_digits": ({"audio": "good.wav", "offset": 10**400, "duration": 1}, "bad_field"),
    "segment_of_400_digits": ({"audio": "good.wav", "offset": 0, "duration": 10**400}, "bad_field"),
    "word_of_400_digits": ({"audio": "good.wav", "words": [{"w": "a", "start": 0, "end": 10**400}]}, "bad_words"),
}


def dangling(path: Path) -> None:
    path.symlink_to("absent.txt")


def looping(path: Path) -> None:
    path.symlink_to(path.name)


def pipe(path: Path) -> None:
    os.mkfifo(path)


def unreadable(path: Path) -> None:
    if not Path("/proc/self/mem").exists():
        pytest.skip("needs /proc/self/mem, a regular file with a read error for every user")
    path.symlink_to("/proc/self/mem")


TRANSCRIPTS = [dangling, looping, pipe, unreadable]


def write_speech(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, np.linspace(-0.5, 0.5, 16_000), 16_000)


def ids(folder: Path) -> list[str]:
    return [row["id"] for file in sorted(folder.glob("*.parquet")) for row in pq.read_table(file).to_pylist()]


def rejects(folder: Path) -> dict[str, str]:
    files = sorted((folder / "_rejects").glob("*.parquet"))
    rows = [row for file in files for row in pq.read_table(file).to_pylist()]
    assert all(len(row["message"]) > 20 for row in rows)
    return {row["id"]: row["code"] for row in rows}


@pytest.mark.parametrize("with_id", [True, False], ids=["with_id", "without_id"])
@pytest.mark.parametrize("name", MANIFEST_RECORDS)
def test_a_bad_manifest_record_is_a_reject(tmp_path: Path, run_stage: Callable, name: str, with_id: bool) -> None:
    fields, code = MANIFEST_RECORDS[name]
    write_speech(tmp_path / "in" / "good.wav")
    records = [{"id": "good", "audio": "good.wav"}, {**fields, **({"id": name} if with_id else {})}]
    (tmp_path / "in" / "manifest.jsonl").write_text("".join(json.dumps(record) + "\n" for record in records))
    out = run_stage(STAGE, sources=[tmp_path / "in"])
    assert ids(out) == ["good"]
    assert list(rejects(out).values()) == [code]


def test_the_unusable_stated_duration_of_a_whole_file_is_ignored(tmp_path: Path, run_stage: Callable) -> None:
    write_speech(tmp_path / "in" / "good.wav")
    record = {"id": "good", "audio": "good.wav", "duration": 10**400}
    (tmp_path / "in" / "manifest.jsonl").write_text(json.dumps(record))
    out = run_stage(STAGE, sources=[tmp_path / "in"])
    assert (ids(out), rejects(out)) == (["good"], {})


@pytest.mark.parametrize("pattern", ["", "*.wav"], ids=["folder", "glob"])
@pytest.mark.parametrize("transcript", TRANSCRIPTS)
def test_an_unreadable_transcript_is_a_reject(
    tmp_path: Path, run_stage: Callable, transcript: Callable, pattern: str
) -> None:
    for name in ("bad", "good"):
        write_speech(tmp_path / "in" / f"{name}.wav")
    transcript(tmp_path / "in" / "bad.txt")
    out = run_stage(STAGE, sources=[tmp_path / "in" / pattern])
    assert ids(out) == ["good"]
    assert rejects(out) == {"bad": "bad_transcript"}


@pytest.mark.parametrize("transcript", [dangling, looping, pipe])
def test_an_unreadable_transcript_of_librispeech_is_a_reject(
    tmp_path: Path, run_stage: Callable, transcript: Callable
) -> None:
    for chapter in ("1-1", "1-2"):
        write_speech(tmp_path / "in" / chapter / f"{chapter}-0000.flac")
    (tmp_path / "in" / "1-1" / "1-1.trans.txt").write_text("1-1-0000 good\n")
    transcript(tmp_path / "in" / "1-2" / "1-2.trans.txt")
    out = run_stage(STAGE, sources=[tmp_path / "in"])
    assert "1-1-0000" in ids(out)
    assert rejects(out) == {"1-2.trans.txt": "bad_transcript"}


def test_a_pipe_without_a_suffix_does_not_block(tmp_path: Path, run_stage: Callable) -> None:
    write_speech(tmp_path / "in" / "good.wav")
    pipe(tmp_path / "in" / "pipe")
    assert ids(run_stage(STAGE, sources=[tmp_path / "in"])) == ["good"]


@pytest.mark.parametrize("name", ["manifest.jsonl", "table.csv", "data.parquet", "samples.tar"])
def test_a_pipe_as_the_manifest_is_refused(tmp_path: Path, run_stage: Callable, name: str) -> None:
    pipe(tmp_path / name)
    with pytest.raises(ConfigError, match="not a regular file"):
        run_stage(STAGE, sources=[tmp_path / name])


@pytest.mark.parametrize("kind", [dangling, pipe])
def test_an_unreadable_caption_file_is_a_reject(tmp_path: Path, kind: Callable) -> None:
    (tmp_path / "a.png").write_bytes(b"")
    kind(tmp_path / "a.txt")
    (record,) = images.read(str(tmp_path), "auto", images.ImageOptions())
    assert isinstance(record, images.Rejected)
    assert record.error.code == "bad_captions"


def test_an_image_on_an_unknown_store_or_in_a_pipe_is_a_reject(tmp_path: Path) -> None:
    pipe(tmp_path / "a.png")
    codes = [getattr(fetch(uri), "code", None) for uri in (str(tmp_path / "a.png"), "nosuch://a.png", "oci://b/a.png")]
    assert codes == ["image_unreadable"] * 3
