"""Each layout in a folder and in an archive: no row and no text is lost, and each file that is not read is counted."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import soundfile
from helpers.layouts import LAYOUTS, PACKERS, Layout

from speechprep.pipelines.engine.stage import ShardPlan
from speechprep.pipelines.sources.dialect import find_dialect
from speechprep.pipelines.stages import ingest
from speechprep.pipelines.stages.ingest import STAGE


def write(root: Path, files: dict[str, bytes]) -> Path:
    for name, body in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(body)
    return root


def planned(tmp_path: Path, place: Path, **options: object) -> tuple[ShardPlan, list[dict]]:
    scratch = tmp_path / "scratch"
    scratch.mkdir(exist_ok=True)
    plan = ingest.plan(STAGE.configure({"shards": 1, **options}), [str(place)], scratch)
    return plan, pq.read_table(plan.payloads[0]).to_pylist()


def check(layout: Layout, plan: ShardPlan, rows: list[dict], seen: int) -> None:
    assert [(id, str(error)) for id, error, _ in plan.rejects] == []
    assert len({row["id"] for row in rows}) == len(rows)
    assert sorted(str(row["text"]) for row in rows) == sorted(str(text) for text, _, _ in layout.texts)
    for text, speaker, split in layout.texts:
        assert any(
            row["text"] == text and speaker in (None, row["speaker"]) and split in (None, row["split"]) for row in rows
        ), (text, speaker, split, rows)
    words = [(row["text"], row["words"][0]["text"], round(row["words"][0]["start"], 6)) for row in rows if row["words"]]
    assert sorted(words) == sorted(layout.words)
    segments = [
        (row["text"], row["offset"], row["duration"]) for row in rows if row["text"] and row["offset"] is not None
    ]
    whole = [segment for segment in layout.segments if segment not in segments and segment[1:] != (0.0, 2.0)]
    assert not whole, segments
    assert sorted((row["text"], row["channel"]) for row in rows if row["channel"] is not None) == sorted(
        layout.channels
    )
    if layout.languages:
        assert {row["language"] for row in rows} == layout.languages
    unread = [n for reasons in plan.facts["files"]["not_read"].values() for n in reasons.values()]
    assert sum(unread) == layout.unread, plan.facts["files"]
    assert plan.facts["files"]["seen"] == seen


def members(files: dict[str, bytes]) -> int:
    """Files of a layout, and members of its archives, which are counted beside them."""
    import tarfile

    inner = [body for name, body in files.items() if name.endswith(".tar")]
    return len(files) + sum(len(tarfile.open(fileobj=io.BytesIO(body)).getmembers()) for body in inner)


def audio_of(row: dict) -> bytes:
    if row["archive"] is None:
        return Path(row["audio"]).read_bytes()
    opener = find_dialect(row["archive"]).archive
    assert opener is not None
    with opener(row["audio"]) as reader:
        return reader.read(row)


@pytest.mark.parametrize("name", LAYOUTS)
def test_a_layout_in_a_folder(tmp_path: Path, name: str):
    layout = LAYOUTS[name]
    plan, rows = planned(tmp_path, write(tmp_path / "in", layout.files))
    check(layout, plan, rows, members(layout.files))
    for row in rows:
        assert soundfile.info(io.BytesIO(audio_of(row))).frames == 16_000


@pytest.mark.parametrize("name", LAYOUTS)
def test_a_layout_in_an_archive(tmp_path: Path, name: str):
    layout = LAYOUTS[name]
    packer = list(PACKERS)[list(LAYOUTS).index(name) % len(PACKERS)]
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / f"corpus.{packer}").write_bytes(PACKERS[packer](layout.files))
    for place in (tmp_path / "in", tmp_path / "in" / f"corpus.{packer}"):
        plan, rows = planned(tmp_path, place)
        check(layout, plan, rows, members(layout.files) + 1)
        for row in rows:
            assert soundfile.info(io.BytesIO(audio_of(row))).frames == 16_000


@pytest.mark.parametrize("packer", PACKERS)
@pytest.mark.parametrize("name", ["librispeech", "textgrid", "nemo", "kaldi", "parquet_configs", "nemo_tarred"])
def test_a_layout_in_each_archive(tmp_path: Path, name: str, packer: str):
    layout = LAYOUTS[name]
    (tmp_path / f"corpus.{packer}").write_bytes(PACKERS[packer](layout.files))
    plan, rows = planned(tmp_path, tmp_path / f"corpus.{packer}")
    check(layout, plan, rows, members(layout.files) + 1)


@pytest.mark.parametrize("packer", PACKERS)
def test_a_layout_in_an_archive_in_an_archive(tmp_path: Path, packer: str):
    layout = LAYOUTS["librispeech"]
    outer = PACKERS[packer]({"x/inner.tar.gz": PACKERS["tar.gz"](layout.files)})
    (tmp_path / f"corpus.{packer}").write_bytes(outer)
    plan, rows = planned(tmp_path, tmp_path / f"corpus.{packer}")
    check(layout, plan, rows, members(layout.files) + 2)
    assert all(soundfile.info(io.BytesIO(audio_of(row))).frames == 16_000 for row in rows)


@pytest.mark.parametrize("name", LAYOUTS)
def test_the_ids_are_the_same_beside_another_corpus(tmp_path: Path, name: str):
    if name.startswith("parquet") or name == "save_to_disk":
        pytest.skip("ids of rows without a name are their place below the input")
    write(tmp_path / "in/one", LAYOUTS[name].files)
    before = {row["id"] for row in planned(tmp_path, tmp_path / "in")[1]}
    write(tmp_path / "in/other", {"z/zz.wav": LAYOUTS["beside"].files["a.wav"], "z/zz.txt": b"zz"})
    after = {row["id"] for row in planned(tmp_path, tmp_path / "in")[1]}
    assert before < after
    assert len(after) == len(before) + 1


@pytest.mark.parametrize("value", ["hand-verified (TIMIT)", "MFA per clip, shifted", "by hand", "none"])
def test_a_description_of_the_alignment_is_no_file(tmp_path: Path, value: str):
    sound = io.BytesIO()
    soundfile.write(sound, [0.0] * 1600, 16_000, format="WAV")
    record = json.dumps({"id": "a", "audio": "a.wav", "text": "hello", "alignment": value})
    place = write(tmp_path / "in", {"a.wav": sound.getvalue(), "manifest.jsonl": record.encode()})
    _, rows = planned(tmp_path, place)
    assert [(row["id"], row["text"]) for row in rows] == [("a", "hello")]


def test_lists_of_splits_beside_a_manifest_do_not_double_its_rows(tmp_path: Path):
    sound = io.BytesIO()
    soundfile.write(sound, [0.0] * 1600, 16_000, format="WAV")
    names = ["a.wav", "b.wav"]
    lines = [json.dumps({"audio": f"{'../' * up}{name}", "text": name}) for up in (0, 1) for name in names]
    files = {
        "manifest.jsonl": "\n".join(lines[:2]).encode(),
        "train.jsonl": lines[0].encode(),
        "splits/dev.jsonl": lines[3].encode(),
        **dict.fromkeys(names, sound.getvalue()),
    }
    plan, rows = planned(tmp_path, write(tmp_path / "in", files))
    assert [row["text"] for row in rows] == names
    assert plan.facts["files"]["not_read"]
