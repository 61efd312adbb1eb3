"""Derived ids never collide, and stay the same when files are added."""

from __future__ import annotations

import io
import json
import tarfile
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st

from speechprep.pipelines.sources.unique_ids import below, common_folder
from speechprep.pipelines.stages import ingest
from speechprep.pipelines.stages.ingest import STAGE


def wav(value: float = 0.1) -> bytes:
    buffer = io.BytesIO()
    soundfile.write(buffer, np.full(800, value), 8000, format="WAV")
    return buffer.getvalue()


WAV = wav()


def embedded(place: Path, paths: list[str | None]) -> None:
    place.parent.mkdir(parents=True, exist_ok=True)
    kind = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    pq.write_table(pa.table({"audio": pa.array([{"bytes": WAV, "path": p} for p in paths], kind)}), place)


def tarred(place: Path, names: list[str]) -> None:
    place.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(place, "w") as tar:
        for name in names:
            info = tarfile.TarInfo(name)
            info.size = len(WAV)
            tar.addfile(info, io.BytesIO(WAV))


def ids(tmp_path: Path, *inputs: Path, **options) -> tuple[list[str], list[str]]:
    """(ids of the entries, messages of the rejects)."""
    scratch = tmp_path / "scratch"
    scratch.mkdir(exist_ok=True)
    planned = ingest.plan(STAGE.configure(options), [str(i) for i in inputs], scratch)
    rows = [id for path in planned.payloads for id in pq.read_table(path)["id"].to_pylist()]
    return rows, [str(error) for _, error, _ in planned.rejects]


@pytest.mark.parametrize("archive_ids", [False, True])
def test_rows_of_equal_files_in_two_folders(tmp_path: Path, archive_ids: bool):
    embedded(tmp_path / "in/default/train/0000.parquet", [None, None])
    before, _ = ids(tmp_path, tmp_path / "in", archive_ids=archive_ids)
    embedded(tmp_path / "in/default/test/0000.parquet", [None, None])
    after, rejects = ids(tmp_path, tmp_path / "in", archive_ids=archive_ids)
    assert len(set(after)) == 4
    assert not rejects
    if not archive_ids:
        assert before == ["default/train/0000-00000000", "default/train/0000-00000001"]
        assert set(before) < set(after)


def test_equal_names_of_audio_in_one_file_and_in_two(tmp_path: Path):
    embedded(tmp_path / "in/a.parquet", ["audio.wav", "audio.wav", "x.wav", "own.wav"])
    embedded(tmp_path / "in/b.parquet", ["x.wav", "audio.wav"])
    found, rejects = ids(tmp_path, tmp_path / "in")
    assert found == ["a-00000000", "a-00000001", "a-00000002", "own", "b-00000000", "b-00000001"]
    assert not rejects


def test_equal_members_of_two_archives(tmp_path: Path):
    tarred(tmp_path / "in/train/0.tar", ["a/x.wav", "y.wav"])
    tarred(tmp_path / "in/test/0.tar", ["a/x.wav", "a/x.flac"])
    found, rejects = ids(tmp_path, tmp_path / "in")
    assert sorted(found) == ["test/0/a/x.flac", "test/0/a/x.wav", "train/0/a/x.wav", "y"]
    assert not rejects


def test_equal_names_in_two_inputs(tmp_path: Path):
    for folder in ("in/train", "in/test"):
        (tmp_path / folder).mkdir(parents=True)
        (tmp_path / folder / "x.wav").write_bytes(WAV)
    found, rejects = ids(tmp_path, tmp_path / "in/train", tmp_path / "in/test")
    assert found == ["test/x.wav", "train/x.wav"]
    assert not rejects
    assert ids(tmp_path, tmp_path / "in/test", tmp_path / "in/train")[0] == found


def test_rows_of_one_segment_without_an_id(tmp_path: Path):
    rows = [{"audio": "x.wav", "start": 0, "end": end, "text": "a"} for end in (0.05, 0.1, 0.1)]
    (tmp_path / "m.jsonl").write_text("\n".join(map(json.dumps, [*rows, {"audio": "y.wav"}])))
    found, rejects = ids(tmp_path, tmp_path / "m.jsonl")
    assert found == ["m-00000001", "m-00000002", "m-00000003", "y"]
    assert not rejects


def test_an_id_of_the_corpus_stays_and_the_derived_one_gives_way(tmp_path: Path):
    (tmp_path / "m.jsonl").write_text('{"id": "x", "audio": "a.wav"}\n{"audio": "x.wav"}')
    assert ids(tmp_path, tmp_path / "m.jsonl") == (["m-00000002", "x"], [])


def test_ids_of_the_corpus_that_collide_name_both_places(tmp_path: Path):
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "m.jsonl").write_text('{"id": "same", "audio": "x.wav"}')
    found, rejects = ids(tmp_path, tmp_path / "a/m.jsonl", tmp_path / "b/m.jsonl")
    assert found == []
    for message in rejects:
        assert f"{tmp_path}/a/x.wav" in message
        assert f"{tmp_path}/b/x.wav" in message


PARTS = st.sampled_from(["a", "b", "c", "d.wav"])


@given(st.lists(st.lists(PARTS, min_size=1, max_size=4), min_size=1, max_size=4))
def test_a_place_below_the_common_folder_is_unique(paths: list[list[str]]):
    places = {"/in/" + "/".join(parts) for parts in paths}
    root = common_folder(sorted(places))
    assert len({below(place, root) for place in places}) == len(places)
    assert all(not below(place, root).startswith("/") for place in places)
