"""Each file of an input is counted once: read, or not read with its kind and its reason."""

from __future__ import annotations

import io
import json
import tarfile
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from speechprep.errors import ConfigError
from speechprep.pipelines.engine.plan import Step
from speechprep.pipelines.engine.run import Options, run_steps
from speechprep.pipelines.inspect.verify import verify
from speechprep.pipelines.sources.inventory import Inventory, kind_of
from speechprep.pipelines.stages import ingest
from speechprep.pipelines.stages.ingest import STAGE


def wav(value: float = 0.1) -> bytes:
    buffer = io.BytesIO()
    soundfile.write(buffer, np.full(800, value), 8000, format="WAV")
    return buffer.getvalue()


WAV = wav()
SRT = "1\n00:00:00,000 --> 00:00:00,050\nHELLO\n"


def write(root: Path, files: dict[str, bytes | str]) -> Path:
    for name, body in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(body.encode() if isinstance(body, str) else body)
    return root


def facts(tmp_path: Path, *inputs: Path | str, **options) -> dict:
    scratch = tmp_path / "scratch"
    scratch.mkdir(exist_ok=True)
    return ingest.plan(STAGE.configure(options), [str(i) for i in inputs], scratch).facts


def counts(found: dict) -> dict[str, int]:
    """kind, or "kind: reason" -> files."""
    unread = {f"{kind}: {why}": n for kind, reasons in found["files"]["not_read"].items() for why, n in reasons.items()}
    return {**found["files"]["read"], **unread}


LAYOUTS = {
    "folder": (
        {"a.wav": WAV, "a.txt": "a", "a.lab": "a", "b.wav": WAV, "notes.txt": "", "README.md": "", ".x": ""},
        {
            "audio": 2,
            "transcript": 1,
            "transcript: another_transcript_read": 1,
            "transcript: no_audio_of_this_name": 1,
            "documentation: no_input": 1,
            "hidden: hidden": 1,
        },
    ),
    "subtitles": (
        {"a.wav": WAV, "a.srt": SRT, "a.vtt": "WEBVTT", "b/c.TextGrid": "", "b/c.mlf": "x"},
        {
            "audio": 1,
            "transcript": 1,
            "transcript: another_transcript_read": 1,
            "transcript: no_audio_of_this_name": 1,
            "transcript: form_not_read": 1,
        },
    ),
    "kaldi": (
        {"data/a.wav": WAV, "data/text": "a x", "data/wav.scp": "a a.wav", "data/utt2spk": "", "data/feats.scp": "a x"},
        {"audio": 1, "manifest": 3, "transcript: form_not_read": 1},
    ),
    "manifest": (
        {"manifest.jsonl": '{"audio": "a.wav", "text": "x"}\n{"audio": "gone.wav"}', "a.wav": WAV, "b.wav": WAV},
        {"audio": 1, "manifest": 1, "audio: not_in_the_manifest": 1},
    ),
    "librispeech": (
        {"dev/1-2.trans.txt": "1-2-0 TEXT", "dev/1-2-0.wav": WAV, "SPEAKERS.TXT": "", "README.TXT": ""},
        {"audio": 1, "transcript": 1, "transcript: no_audio_of_this_name": 1, "documentation: no_input": 1},
    ),
    "commonvoice": (
        {
            "validated.tsv": "client_id\tpath\tsentence\ns\ta.wav\tx\n",
            "train.tsv": "client_id\tpath\tsentence\ns\ta.wav\tx\n",
            "other.tsv": "client_id\tpath\tsentence\n",
            "clips/a.wav": WAV,
            "clips/b.wav": WAV,
        },
        {"audio": 1, "manifest": 2, "audio: not_in_the_manifest": 1, "transcript: form_not_read": 1},
    ),
    "ljspeech": (
        {"metadata.csv": "a|x|x\n", "wavs/a.wav": WAV, "wavs/b.wav": WAV, "cover.jpg": b""},
        {"audio": 1, "manifest": 1, "audio: not_in_the_manifest": 1, "image: no_input": 1},
    ),
}


@pytest.mark.parametrize("name", LAYOUTS)
def test_a_layout_has_these_counts(tmp_path: Path, name: str):
    files, wanted = LAYOUTS[name]
    found = facts(tmp_path, write(tmp_path / "in", files))
    assert counts(found) == wanted
    assert found["files"]["seen"] == len(files)


def test_members_of_an_archive_are_counted(tmp_path: Path):
    members = {
        "a.wav": WAV,
        "a.txt": b"x",
        "a.json": b"{}",
        "b.txt": b"no audio",
        "c.srt": b"1",
        "d.jpg": b"",
        ".e": b"",
    }
    with tarfile.open(tmp_path / "x.tar", "w") as tar:
        for name, body in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(body)
            tar.addfile(info, io.BytesIO(body))
    found = facts(tmp_path, tmp_path / "x.tar")
    assert counts(found) == {
        "archive": 1,
        "audio in an archive": 1,
        "transcript in an archive": 2,
        "transcript: no_audio_of_this_name": 2,
        "image: no_input": 1,
        "hidden: hidden": 1,
    }
    assert found["unused_transcripts"] == {"count": 2, "names": ["x.tar:b.txt", "x.tar:c.srt"]}


NAMES = st.sampled_from(
    ["a.wav", "a.txt", "a.lab", "b.WAV", "b.json", "c.srt", "c", "README", ".d", "e.tar.bz2", "f.png", "g.csv.bak"]
)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(names=st.sets(st.tuples(st.sampled_from(["", "x/", "x/y/"]), NAMES)), twice=st.booleans())
def test_every_file_is_counted_exactly_once(tmp_path_factory, names: set[tuple[str, str]], twice: bool):
    root = tmp_path_factory.mktemp("in")
    files = {folder + name: WAV if name.endswith(("wav", "WAV")) else b"text" for folder, name in names}
    write(root / "in", {**files, "always.wav": WAV})
    inputs = [root / "in"] * (1 + twice)
    found = facts(root, *inputs)
    assert found["files"]["seen"] == len(files) + 1
    assert sum(counts(found).values()) == len(files) + 1


def test_the_names_are_bounded_and_the_first_in_order():
    inventory = Inventory()
    for i in reversed(range(500)):
        inventory.leave(f"{i:03d}.srt", "transcript", "form_not_read")
    found = inventory.facts()["unused_transcripts"]
    assert found["count"] == inventory.not_understood == 500
    assert found["names"] == [f"{i:03d}.srt" for i in range(100)]


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("a.FLAC", "audio"),
        ("README", "documentation"),
        ("readme.txt", "documentation"),
        ("LICENSE.txt", "documentation"),
        ("text", "transcript"),
        ("a.TextGrid", "transcript"),
        ("train_manifest.json", "transcript"),
        ("a.jsonl.gz", "transcript"),
        ("x.tar.xz", "archive"),
        ("x.zip", "archive"),
        ("x.jpeg", "image"),
        ("x.bin", "other"),
    ],
)
def test_kinds_of_names(name: str, kind: str):
    assert kind_of(name) == kind


# -- links -------------------------------------------------------------------------------------------------------------


def test_a_link_to_a_folder_outside_is_followed_once(tmp_path: Path):
    write(tmp_path, {"target/t.wav": WAV, "in/a.wav": WAV})
    (tmp_path / "in/spk1").symlink_to("../target")
    (tmp_path / "in/spk2").symlink_to("../target")
    found = facts(tmp_path, tmp_path / "in")
    assert counts(found) == {"audio": 2, "link to a folder: link_to_a_listed_folder": 1}


def test_links_inside_and_in_circles_are_counted(tmp_path: Path):
    write(tmp_path, {"in/a/x.wav": WAV, "out/y.wav": WAV})
    (tmp_path / "in/up").symlink_to(tmp_path)
    (tmp_path / "in/a/self").symlink_to(tmp_path / "in")
    (tmp_path / "in/b").symlink_to("a")
    (tmp_path / "in/c").symlink_to(tmp_path / "out")
    (tmp_path / "out/back").symlink_to(tmp_path / "out")
    found = facts(tmp_path, tmp_path / "in")
    assert counts(found) == {
        "audio": 2,
        "link to a folder: link_to_a_folder_around_it": 2,
        "link to a folder: link_to_a_listed_folder": 2,
    }


# -- what a run says ---------------------------------------------------------------------------------------------------


def run(folder: Path, out: Path, **options):
    step = Step("ingest", STAGE, STAGE.configure(options), 0, {}, str(out), [str(folder)])
    return run_steps([step], Options())[0]


def test_the_result_says_what_was_not_read_and_verify_agrees(tmp_path: Path):
    write(tmp_path / "in", {"a.wav": WAV, "a.txt": "one", "b.wav": wav(0.2), "b.mlf": "1"})
    result = run(tmp_path / "in", tmp_path / "out/utterances")
    assert "4 seen" in result.note
    assert "1 with a transcript, 1 without" in result.note
    assert "b.mlf" in result.warning
    stored = json.loads((tmp_path / "out/utterances/_manifest.json").read_text())["extra"]
    assert (stored["with_transcript"], stored["without_transcript"]) == (1, 1)
    assert result.facts == stored
    assert verify(str(tmp_path / "out")).problems == []


def test_a_new_unused_file_renews_the_manifest_and_no_shard(tmp_path: Path):
    write(tmp_path / "in", {"a.wav": WAV})
    assert run(tmp_path / "in", tmp_path / "out").tasks_run == 1
    assert run(tmp_path / "in", tmp_path / "out").facts["files"]["seen"] == 1
    write(tmp_path / "in", {"a.mlf": "1"})
    result = run(tmp_path / "in", tmp_path / "out")
    assert result.tasks_run == 0
    assert result.facts["files"]["seen"] == 2
    assert "a.mlf" in result.warning


@pytest.mark.parametrize(
    ("files", "named"),
    [
        ({"a.wav": WAV, "a.mlf": "1"}, "a.mlf"),
        ({"a.wav": WAV, "a.txt": "x", "b.wav": WAV}, "1 of 2 records"),
        ({"a.wav": WAV, "a.txt": "x", "all.mlf": ""}, "all.mlf"),
    ],
)
def test_required_transcripts_are_an_error_before_any_task(tmp_path: Path, files: dict, named: str):
    write(tmp_path / "in", files)
    with pytest.raises(ConfigError, match="transcripts=required") as error:
        run(tmp_path / "in", tmp_path / "out", transcripts="required")
    assert named in str(error.value)
    assert not list((tmp_path / "out").glob("*.parquet"))


def test_required_transcripts_that_are_there_are_no_error(tmp_path: Path):
    write(tmp_path / "in", {"a.wav": WAV, "a.txt": "x", "README.txt": "about", "speakers.txt": "list"})
    assert run(tmp_path / "in", tmp_path / "out", transcripts="required").rows == 1
