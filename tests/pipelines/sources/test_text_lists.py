"""Lists of transcripts as released corpora have them, and other lists that name recordings and hold no transcripts."""

from __future__ import annotations

import json
import tarfile
from pathlib import Path

import pytest
from helpers.layouts import wav

from speechprep.errors import BadInput
from speechprep.pipelines import sources
from speechprep.pipelines.sources.entry import Entry, Options, Rejected
from speechprep.pipelines.sources.inventory import Inventory

IDS = ("a_01", "a_02")
TEXTS = {"a_01": "hello there", "a_02": "good day"}

# Name of the list -> its content; each gives TEXTS.
LISTS = {
    "MLS": ("train/transcripts.txt", "a_01\thello there\na_02\tgood day\n"),
    "OpenSLR": ("line_index.tsv", "a_01\thello there\na_02\tgood day\n"),
    "AISHELL": ("transcript/transcript_v0.8.txt", "a_01 hello there\na_02  good day\n"),
    "Arctic": ("etc/txt.done.data", '( a_01 "hello there" )\n( a_02 "good day" )\n'),
    "NIST": ("ref.trn", "hello there (a_01)\ngood day (a_02)\n"),
    "JSUT": ("basic/transcript_utf8.txt", "a_01:hello there\na_02:good day\n"),
    "VoxPopuli": (
        "en/asr_train.tsv",
        "id\traw_text\tnormalized_text\tspeaker_id\tgender\na_01\tHello there.\thello there\ts1\tm\n"
        "a_02\tGood day.\tgood day\ts2\tf\n",
    ),
    "FLEURS": ("train.tsv", "7\ta_01.wav\thello there\tHELLO\t800\tMALE\n9\ta_02.wav\tgood day\tGOOD\t800\tFEMALE\n"),
    "bars": ("list.txt", "train/audio/a_01.wav | hello there | s1\ntrain/audio/a_02.wav | good day | s1\n"),
    "no header, columns": ("prompts.tsv", "a_01\thello there\tx\na_02\tgood day\ty\n"),
    "keys": ("transcripts.json", json.dumps({"a_01.wav": "hello there", "train/audio/a_02": "good day"})),
    "keys of objects": ("meta.json", json.dumps({n: {"text": t, "speaker": "s1"} for n, t in TEXTS.items()})),
    "DeepSpeech": (
        "train.csv",
        "wav_filename,wav_filesize,transcript\ntrain/audio/a_01.wav,9,hello there\ntrain/audio/a_02.wav,9,good day\n",
    ),
    "a missing recording first": ("text.txt", "a_00 lost\na_01 hello there\na_02 good day\n"),
}

# Lists beside `transcripts.txt` with the true texts. None holds a transcript, whatever its place in the order of names.
OTHERS = {
    "ids of a subset": ("train/limited/handles.txt", "a_01\na_02\n"),
    "addresses and times": ("train/segments.txt", "a_01\thttp://x.org/a.mp3\t0.0\t9.5\na_02\thttp://x.org\t1\t2\n"),
    "durations": ("train/durations.txt", "a_01 12.3\na_02 9\n"),
    "speakers": ("train/speakers.txt", "a_01 spk-1\na_02 spk-2\n"),
    "columns of facts": ("train/info.tsv", "id\tgender\tage\na_01\tf\t31\na_02\tm\t40\n"),
    "digits without an end": ("train/codes.txt", f"a_01 {'1' * 4000}x\na_02 {'1' * 4000}x\n"),
    "lengths": ("audio.json", json.dumps({"a_01": {"duration": 1.5}, "a_02": {"duration": 2}})),
    "prompts as read": ("prompts.txt", "a_01 HELLO, THERE!\na_02 GOOD DAY?\n"),
}


def corpus(folder: Path) -> Path:
    for name in IDS:
        path = folder / "train/audio" / f"{name}.wav"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(wav(1, 0.05))
    return folder


def add(folder: Path, name: str, content: str) -> None:
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text(content)


def read(folder: Path) -> tuple[dict[str, Entry], list[Rejected], Inventory]:
    inventory = Inventory()
    records = list(sources.read(str(folder), "auto", Options(ledger=inventory)))
    inventory.finish([str(folder)])
    entries = [record for record in records if isinstance(record, Entry)]
    by_stem = {Path(entry.audio).stem: entry for entry in entries}
    return by_stem, [record for record in records if isinstance(record, Rejected)], inventory


@pytest.mark.parametrize("form", LISTS)
def test_each_form_gives_the_texts(tmp_path: Path, form: str):
    add(corpus(tmp_path), *LISTS[form])
    entries, rejects, inventory = read(tmp_path)
    assert {name: entry.text for name, entry in entries.items()} == TEXTS
    assert not inventory.not_understood
    assert len(rejects) == (form == "a missing recording first")
    if form in ("VoxPopuli", "keys of objects"):
        assert entries["a_01"].speaker == "s1"


@pytest.mark.parametrize("form", [form for form in LISTS if form != "a missing recording first"])
def test_each_form_gives_the_texts_in_an_archive(tmp_path: Path, form: str):
    add(corpus(tmp_path / "in"), *LISTS[form])
    (tmp_path / "archives").mkdir()
    with tarfile.open(tmp_path / "archives/corpus.tar.gz", "w:gz") as archive:
        archive.add(tmp_path / "in", "corpus")
    records = list(sources.read(str(tmp_path / "archives/corpus.tar.gz"), "auto", Options()))
    assert {Path(entry.member or "").stem: entry.text for entry in records if isinstance(entry, Entry)} == TEXTS


@pytest.mark.parametrize("form", OTHERS)
def test_other_lists_take_no_place_of_a_transcript(tmp_path: Path, form: str):
    add(corpus(tmp_path), "train/transcripts.txt", "a_01\thello there\na_02\tgood day\n")
    add(tmp_path, *OTHERS[form])
    entries, rejects, _ = read(tmp_path)
    assert {name: entry.text for name, entry in entries.items()} == TEXTS
    assert not rejects


@pytest.mark.parametrize("form", [form for form in OTHERS if form != "prompts as read"])
def test_a_list_without_words_alone_is_no_transcript_and_is_counted(tmp_path: Path, form: str):
    add(corpus(tmp_path), *OTHERS[form])
    entries, _, inventory = read(tmp_path)
    assert [entry.text for entry in entries.values()] == [None, None]
    assert inventory.facts()["unused_transcripts"]["count"] == 1


def test_two_lists_of_one_kind_with_different_texts_are_a_reject_that_names_both(tmp_path: Path):
    add(corpus(tmp_path), "transcripts_a.txt", "a_01 hello there\na_02 good day\n")
    add(tmp_path, "transcripts_b.txt", "a_01 hello  there\na_02 good night\n")
    entries, (reject,), _ = read(tmp_path)
    assert entries["a_01"].text == "hello there"
    assert isinstance(reject.error, BadInput)
    assert reject.error.code == "texts_differ"
    assert "transcripts_a.txt" in str(reject.error)
    assert "transcripts_b.txt" in str(reject.error)


def test_a_transcript_beside_the_audio_counts_before_any_list(tmp_path: Path):
    add(corpus(tmp_path), "transcripts_a.txt", "a_01 one\na_02 two\n")
    add(tmp_path, "transcripts_b.txt", "a_01 three\na_02 four\n")
    for name, text in TEXTS.items():
        add(tmp_path, f"train/audio/{name}.txt", text)
    entries, rejects, _ = read(tmp_path)
    assert {name: entry.text for name, entry in entries.items()} == TEXTS
    assert not rejects


@pytest.mark.parametrize("name", ["transcripts.xlsx", "all.words", "Transcript (final).dat", "meta.sqlite"])
def test_files_that_look_like_transcripts_and_are_not_read_are_named(tmp_path: Path, name: str):
    (corpus(tmp_path) / name).write_bytes(b"PK\x03\x04\x00\x01 no text")
    _, _, inventory = read(tmp_path)
    assert inventory.facts()["unused_transcripts"]["names"] == [name]
    assert inventory.not_understood == 1
