"""Names, encodings and stores that are unusual cost at most their own record."""

from __future__ import annotations

import json
import os
import unicodedata
from pathlib import Path

import pytest

from speechprep.artifacts import storage
from speechprep.artifacts.media.audio import opened
from speechprep.errors import BadInput
from speechprep.pipelines import sources
from speechprep.pipelines.sources.entry import Entry, Options
from speechprep.pipelines.sources.files import stamps

NAME = "Größe é"


def read(place: Path) -> tuple[dict[str, str | None], list[str]]:
    records = list(sources.read(str(place), "auto", Options()))
    entries = {r.id: r.text for r in records if isinstance(r, Entry)}
    return entries, [r.error.code for r in records if not isinstance(r, Entry)]


@pytest.mark.parametrize("audio", ["NFC", "NFD"])
@pytest.mark.parametrize("text", ["NFC", "NFD"])
def test_a_transcript_with_the_other_form_of_accents(tmp_path: Path, audio: str, text: str):
    (tmp_path / (unicodedata.normalize(audio, NAME) + ".wav")).write_bytes(b"")
    (tmp_path / (unicodedata.normalize(text, NAME) + ".txt")).write_text("hello")
    assert list(read(tmp_path)[0].values()) == ["hello"]


@pytest.mark.parametrize("disk", ["NFC", "NFD"])
@pytest.mark.parametrize("manifest", ["NFC", "NFD"])
def test_a_path_with_the_other_form_of_accents(tmp_path: Path, disk: str, manifest: str):
    (tmp_path / (unicodedata.normalize(disk, NAME) + ".wav")).write_bytes(b"")
    record = {"id": "x", "audio": unicodedata.normalize(manifest, NAME) + ".wav"}
    (tmp_path / "m.jsonl").write_text(json.dumps(record))
    (entry,) = sources.read(str(tmp_path / "m.jsonl"), "auto", Options())
    assert isinstance(entry, Entry)
    assert os.path.exists(entry.audio)


def test_a_name_with_a_newline_is_a_reject(tmp_path: Path):
    (tmp_path / "a\nb.wav").write_bytes(b"")
    (tmp_path / "c.wav").write_bytes(b"")
    assert read(tmp_path) == ({"c": None}, ["bad_id"])


@pytest.mark.parametrize("form", ["jsonl", "csv", "txt", "lab", "trans.txt"])
def test_an_empty_transcript_is_none_in_each_form(tmp_path: Path, form: str):
    (tmp_path / "a.wav").write_bytes(b"")
    body = {"jsonl": '{"audio": "a.wav", "text": " "}', "csv": "audio,text\na.wav,\n", "trans.txt": "a \n"}.get(
        form, "\n"
    )
    (tmp_path / f"a.{form}").write_text(body)
    place = tmp_path / f"a.{form}" if form in ("jsonl", "csv") else tmp_path
    assert read(place) == ({"a": None}, [])


def test_media_are_recognised_by_content(tmp_path: Path):
    heads = {
        "mkv.bin": b"\x1a\x45\xdf\xa3",
        "ts.dat": b"G" + bytes(187) + b"G",
        "mov.x": bytes(4) + b"moov",
        "flv.y": b"FLV\x01",
        "wav.wav_": b"RIFF0000WAVE",
        "picture.z": b"RIFF0000WEBP",
        "text.bin": b"plain text of no use",
    }
    for name, head in heads.items():
        (tmp_path / name).write_bytes(head)
    assert sorted(read(tmp_path)[0]) == ["flv", "mkv", "mov", "ts", "wav"]


class _OddError(Exception):
    """An error without a common base class, as of botocore."""


@pytest.mark.parametrize("error", [_OddError("no credentials"), ImportError("install requests"), OSError("refused")])
def test_an_error_of_a_remote_store_is_one_reject(monkeypatch: pytest.MonkeyPatch, error: Exception):
    def fail(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(storage, "open", fail)
    monkeypatch.setattr("speechprep.pipelines.sources.files._filesystem", fail)
    with pytest.raises(BadInput, match=str(error)) as caught, opened("s3://bucket/x.wav"):
        pass
    assert caught.value.code == "audio_unreadable"
    assert stamps(["s3://bucket/x.wav"]) == [""]
