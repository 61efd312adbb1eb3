"""ingest: the same rows whatever the order, each bad record with its reason, good ones untouched by bad ones."""

from __future__ import annotations

import hashlib
import io
import json
import random
import shutil
import tarfile
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import soundfile

from speechprep.artifacts.media.audio import decode
from speechprep.artifacts.schemas import UTTERANCES, check_schema
from speechprep.errors import BadInput, ConfigError
from speechprep.pipelines.sources import listing
from speechprep.pipelines.sources.entry import Entry, Rejected
from speechprep.pipelines.sources.listing import deal, shard_count
from speechprep.pipelines.sources.timed.word_times import check_words
from speechprep.pipelines.stages import ingest
from speechprep.pipelines.stages.ingest import STAGE

RATE = 8000


def sound(seed: int, seconds: float = 0.2) -> bytes:
    buffer = io.BytesIO()
    samples = np.random.default_rng(seed).uniform(-0.3, 0.3, round(seconds * RATE))
    soundfile.write(buffer, samples, RATE, format="FLAC")
    return buffer.getvalue()


def corpus(folder: Path, n: int = 40) -> Path:
    """A manifest of `n` utterances, their files in two folders."""
    rows = []
    for i in range(n):
        path = folder / "audio" / str(i % 2) / f"{i:03d}.flac"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(sound(i))
        rows.append({"id": f"u{i:03d}", "audio": f"audio/{i % 2}/{i:03d}.flac", "text": f"text {i}", "duration_s": 0.2})
    (folder / "manifest.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return folder / "manifest.jsonl"


def table(folder: Path, part: str = "") -> list[dict]:
    files = sorted((folder / part).glob("*.parquet"))
    return [row for file in files for row in pq.read_table(file).to_pylist()]


def hashes(folder: Path) -> dict[str, str]:
    return {p.name: hashlib.sha256(p.read_bytes()).hexdigest() for p in sorted(folder.glob("*.parquet"))}


def planned(config: dict, *inputs: Path | str, scratch: Path):
    scratch.mkdir(exist_ok=True)
    return ingest.plan(STAGE.configure(config), [str(i) for i in inputs], scratch)


def test_rows_say_what_manifest_and_header_say(run_stage, tmp_path: Path):
    manifest = corpus(tmp_path, 3)
    folder = run_stage(STAGE, {"language": "en", "licence": "CC0"}, sources=[manifest])
    rows = table(folder)
    check_schema(pq.read_schema(next(folder.glob("*.parquet"))), UTTERANCES, "utterances")
    assert [row["id"] for row in rows] == ["u000", "u001", "u002"]
    first = rows[0]
    assert first["audio"] == str(tmp_path / "audio/0/000.flac")
    assert first["audio_bytes"] is None
    assert (first["offset"], first["duration"], first["sample_rate"]) == (0.0, 0.2, RATE)
    assert (first["text"], first["language"], first["licence"]) == ("text 0", "en", "CC0")
    assert first["audio_sha256"] == hashlib.sha256(sound(0)).hexdigest()
    assert not (folder / "_rejects").exists()


@pytest.mark.parametrize(
    ("config", "wanted"),
    [({}, ["stated", "first", "second"]), ({"corpus": "mine"}, ["stated", "mine", "mine"])],
)
def test_a_corpus_is_named_by_the_record_or_by_the_folder_it_came_from(
    run_stage, tmp_path: Path, config: dict, wanted: list
):
    lines = [{"id": "a", "audio": "a.flac", "corpus": "stated"}, {"id": "b", "audio": "a.flac"}]
    for file in ("first/a.flac", "second/c.flac"):
        (tmp_path / file).parent.mkdir()
        (tmp_path / file).write_bytes(sound(0))
    (tmp_path / "first/manifest.jsonl").write_text("\n".join(map(json.dumps, lines)))
    inputs = [tmp_path / "first" / "manifest.jsonl", f"{tmp_path}/second/"]
    rows = table(run_stage(STAGE, config, sources=inputs))
    assert [(row["id"], row["corpus"]) for row in rows] == list(zip("abc", wanted, strict=True))


@pytest.mark.parametrize("shards", [1, 3, 16])
def test_order_and_workers_never_show(run_stage, tmp_path: Path, shards: int):
    manifest = corpus(tmp_path)
    lines = manifest.read_text().splitlines(keepends=True)
    found = []
    for workers, seed in ((1, None), (2, 1), (7, 2)):
        if seed is not None:
            random.Random(seed).shuffle(lines)
        manifest.write_text("".join(lines))
        folder = run_stage(STAGE, {"shards": shards}, out=tmp_path / f"w{workers}", sources=[manifest], workers=workers)
        found.append(hashes(folder))
    assert len(found[0]) == shards
    assert found[0] == found[1] == found[2]
    assert [row["id"] for row in table(tmp_path / "w1")] == [f"u{i:03d}" for i in range(40)]


def test_the_order_of_the_inputs_changes_no_byte_of_the_folder(run_stage, tmp_path: Path):
    """Rows, rejects with their retry commands, commit records and the manifest; a run goes on in another order."""
    inputs = [corpus(tmp_path / name, n) for name, n in (("a", 3), ("b", 2), ("c", 1))]  # their ids collide
    (tmp_path / "other").mkdir()
    for n in range(4):
        (tmp_path / "other" / f"own{n}.flac").write_bytes(sound(n))
    inputs.append(tmp_path / "other")
    runs = []
    for order in (inputs, inputs[::-1], random.Random(1).sample(inputs, 4)):
        out = run_stage(STAGE, {"shards": 2}, sources=order)
        runs.append({p.relative_to(out): p.read_bytes() for p in sorted(out.rglob("*")) if p.is_file()})
        assert len(table(out, "_rejects")) == 3 + 2  # u000 in three inputs, u001 in two
        shutil.rmtree(out)
    assert runs[0] == runs[1] == runs[2]
    run_stage(STAGE, {"shards": 2}, sources=inputs)
    assert run_stage(STAGE, {"shards": 2}, sources=inputs[::-1]) == out  # complete in the other order, too


def test_a_second_run_does_nothing_and_a_changed_file_is_noticed(run_stage, tmp_path: Path):
    manifest = corpus(tmp_path, 20)
    folder = run_stage(STAGE, {"shards": 4}, out=tmp_path / "out", sources=[manifest])
    before = {p.name: p.stat().st_mtime_ns for p in folder.glob("*.parquet")}
    run_stage(STAGE, {"shards": 4}, out=tmp_path / "out", sources=[manifest])
    assert {p.name: p.stat().st_mtime_ns for p in folder.glob("*.parquet")} == before
    (tmp_path / "audio/1/007.flac").write_bytes(sound(7, 0.5))
    run_stage(STAGE, {"shards": 4}, out=tmp_path / "out", sources=[manifest])
    after = {p.name: p.stat().st_mtime_ns for p in folder.glob("*.parquet")}
    assert [name for name in after if after[name] != before[name]] == ["part-00001-of-00004.parquet"]
    assert table(folder)[7]["duration"] == 0.5


def test_the_key_of_a_shard_changes_with_its_files_and_records_and_not_with_line_numbers(tmp_path: Path):
    manifest = corpus(tmp_path, 4)
    first = planned({"shards": 2}, manifest, scratch=tmp_path / "s").keys
    manifest.write_text("\n\n" + manifest.read_text())
    assert planned({"shards": 2}, manifest, scratch=tmp_path / "s").keys == first
    manifest.write_text(manifest.read_text().replace("text 3", "text three"))
    changed = planned({"shards": 2}, manifest, scratch=tmp_path / "s").keys
    assert (changed[0] == first[0], changed[1] == first[1]) == (True, False)


def test_of_two_records_with_one_id_neither_is_kept_and_each_names_the_other(run_stage, tmp_path: Path):
    manifest = corpus(tmp_path, 5)
    with manifest.open("a") as file:
        file.write('{"id": "u001", "audio": "audio/0/000.flac"}\n{"id": "u002", "text": "no audio"}\n')
    folder = run_stage(STAGE, sources=[manifest])
    assert [row["id"] for row in table(folder)] == ["u000", "u003", "u004"]
    rejects = table(folder, "_rejects")
    assert [(r["id"], r["code"]) for r in rejects] == [
        ("u001", "duplicate_id"),
        ("u001", "duplicate_id"),
        ("u002", "duplicate_id"),
        ("u002", "missing_field"),
    ]
    assert "manifest.jsonl:2: the id 'u001' is also the id of manifest.jsonl:6" in rejects[0]["message"]
    assert all(r["stage"] == "ingest" and r["retry"] for r in rejects)


def test_two_suffixes_of_one_name_are_part_of_the_ids(run_stage, tmp_path: Path):
    for name in ("a.wav", "a.flac", "b.wav"):
        (tmp_path / "in").mkdir(exist_ok=True)
        (tmp_path / "in" / name).write_bytes(sound(1))
    folder = run_stage(STAGE, sources=[tmp_path / "in"])
    assert [row["id"] for row in table(folder)] == ["a.flac", "a.wav", "b"]
    assert not (folder / "_rejects").exists()


def test_inputs_that_share_an_id_collide(tmp_path: Path):
    corpus(tmp_path / "a", 2)
    corpus(tmp_path / "b", 3)
    found = planned({}, tmp_path / "a", tmp_path / "b", scratch=tmp_path / "s")
    assert sorted(id for id, _, _ in found.rejects) == ["u000", "u000", "u001", "u001"]


def test_segments_are_cut_from_one_reading_of_their_file(run_stage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "long.flac").write_bytes(sound(1, 3.0))
    rows = [{"id": f"s{i}", "audio": "long.flac", "offset": i * 0.5, "duration": 0.5} for i in range(7)]
    (tmp_path / "m.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    read: list[object] = []
    monkeypatch.setattr(
        ingest, "examine", lambda source, keep, real=ingest.examine: read.append(source) or real(source, keep=keep)
    )
    folder = run_stage(STAGE, {"shards": 1}, sources=[tmp_path / "m.jsonl"])
    assert [(row["offset"], row["duration"]) for row in table(folder)] == [(i * 0.5, 0.5) for i in range(6)]
    assert [(r["id"], r["code"]) for r in table(folder, "_rejects")] == [("s6", "segment_outside")]
    assert len(read) == 1


def test_a_stated_duration_is_a_claim_that_the_file_corrects_and_a_counter_counts(run_stage, tmp_path: Path):
    (tmp_path / "a.flac").write_bytes(sound(1, 1.0))
    (tmp_path / "m.jsonl").write_text(
        '{"id": "a", "audio": "a.flac", "duration": 9}\n{"id": "b", "audio": "a.flac", "duration": 1.04}\n'
    )
    folder = run_stage(STAGE, sources=[tmp_path / "m.jsonl"])
    assert [row["duration"] for row in table(folder)] == [1.0, 1.0]
    manifest = json.loads((folder / "_manifest.json").read_text())
    assert sum(s["counters"].get("stated_duration_wrong", 0) for s in manifest["shards"]) == 1


def test_archives_keep_their_bytes_and_the_order_of_their_members(run_stage, tmp_path: Path):
    names = ["z", "m", "a"]
    for stem in ("one", "two"):
        with tarfile.open(tmp_path / f"{stem}.tar", "w") as archive:
            for i, name in enumerate(names):
                info = tarfile.TarInfo(f"{stem}-{name}.flac")
                body = sound(i) if name != "m" else b"<html>"
                info.size = len(body)
                archive.addfile(info, io.BytesIO(body))
    folder = run_stage(STAGE, {"shards": 1}, sources=[tmp_path])
    rows = table(folder)
    assert [row["id"] for row in rows] == ["one-z", "one-a", "two-z", "two-a"]
    assert [row["audio"] for row in rows] == [None] * 4
    assert rows[0]["audio_bytes"] == sound(0)
    assert [(r["id"], r["code"]) for r in table(folder, "_rejects")] == [
        ("one-m", "audio_unreadable"),
        ("two-m", "audio_unreadable"),
    ]


def test_hugging_face_parquet_becomes_utterances(run_stage, tmp_path: Path):
    rows = [{"audio": {"bytes": sound(i), "path": f"{i:02d}.flac"}, "text": f"t{i}"} for i in range(40)]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "train.parquet", row_group_size=7)
    folder = run_stage(STAGE, {"shards": 3}, sources=[tmp_path / "train.parquet"])
    found = table(folder)
    assert [(r["id"], r["text"], r["audio_bytes"]) for r in found] == [
        (f"{i:02d}", f"t{i}", sound(i)) for i in range(40)
    ]


def test_embedded_audio_is_the_file(run_stage, tmp_path: Path):
    folder = run_stage(STAGE, {"embed_audio": True}, sources=[corpus(tmp_path, 3)])
    rows = table(folder)
    assert [row["audio_bytes"] for row in rows] == [sound(i) for i in range(3)]
    assert all(row["audio"] is None for row in rows)
    np.testing.assert_array_equal(decode(rows[1]["audio_bytes"]), decode(tmp_path / "audio/1/001.flac"))


def test_damage_inside_a_file_is_found_by_verify_audio_only(run_stage, tmp_path: Path):
    manifest = corpus(tmp_path, 3)
    path = tmp_path / "audio/1/001.flac"
    path.write_bytes(path.read_bytes()[:-600])
    assert len(table(run_stage(STAGE, out=tmp_path / "plain", sources=[manifest]))) == 3
    folder = run_stage(STAGE, {"verify_audio": True}, out=tmp_path / "verified", sources=[manifest])
    assert [row["id"] for row in table(folder)] == ["u000", "u002"]
    assert [(r["id"], r["code"]) for r in table(folder, "_rejects")] == [("u001", "audio_corrupt")]


@pytest.mark.parametrize(
    ("words", "fault"),
    [
        ([(float("nan"), 1)], "not a number"),
        ([(0, float("inf"))], "not a number"),
        ([(-0.1, 0.5)], "before 0"),
        ([(0.5, 0.4)], "ends before it starts"),
        ([(0.5, 2.2)], "past the end"),
        ([(0.5, 0.6), (0.4, 0.9)], "before the word in front"),
        ([(0, 1.0), (0.7, 1.2)], "overlaps"),
    ],
)
def test_word_times_that_cannot_be_are_refused(words: list[tuple[float, float]], fault: str):
    with pytest.raises(BadInput, match=fault) as caught:
        check_words([{"text": "w", "start": a, "end": b} for a, b in words], 2.0)
    assert caught.value.code == "bad_words"
    assert "words=ignore" in str(caught.value)


def test_word_times_of_real_corpora_pass_and_end_with_the_audio():
    words = [{"text": "had", "start": 0.0, "end": 0.65}, {"text": "your", "start": 0.5, "end": 2.05}]
    assert check_words(words, 2.0) == [words[0], {**words[1], "end": 2.0}]
    assert check_words(None, 2.0) is None


@pytest.mark.parametrize("content", ["", "\n\n"])
def test_an_input_without_a_record_is_an_error(tmp_path: Path, content: str):
    (tmp_path / "m.jsonl").write_text(content)
    with pytest.raises(ConfigError, match="no audio and no record"):
        planned({}, tmp_path / "m.jsonl", scratch=tmp_path / "s")
    (tmp_path / "empty").mkdir()
    with pytest.raises(ConfigError, match="no audio and no record"):
        planned({}, tmp_path / "empty", scratch=tmp_path / "s")


def test_options_that_cannot_be_are_refused():
    for options in ({"columns": {"txet": "a"}}, {"shards": 0}, {"format": "cd"}):
        with pytest.raises(ConfigError, match=next(iter(options))):
            STAGE.configure(options)


def test_shards_are_sixteen_for_small_inputs_and_full_ones_for_large():
    assert [shard_count(n) for n in (0, 1, 8, 9, 104, 128, 8192, 8193, 1_000_000)] == [1, 1, 1, 2, 13, 16, 16, 17, 1954]


@pytest.mark.parametrize("together", [100, 1 << 20])
def test_dealing_is_by_id_and_independent_of_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, together: int):
    monkeypatch.setattr(listing, "_GATHER", together)
    entries = [Entry(f"{i:05d}", f"m:{i}", "/none.wav", text=f"t{i}") for i in range(20_000)]
    found = []
    for seed in range(2):
        random.Random(seed).shuffle(entries)
        (tmp_path / str(seed)).mkdir()
        plan = deal([*entries, Rejected("m:0", BadInput("bad_json", "x"))], 3, tmp_path / str(seed))
        found.append((plan.keys, [pq.read_table(p, columns=["id", "text"]).to_pydict() for p in plan.payloads]))
    assert found[0] == found[1]
    ids = [id for part in found[0][1] for id in part["id"]]
    assert ids == [f"{i:05d}" for i in range(20_000)]
    assert found[0][1][2]["text"][-1] == "t19999"
    assert sorted(p.name for p in (tmp_path / "0").iterdir()) == [f"entries-{i:05d}-of-00003.parquet" for i in range(3)]


def test_after_a_crash_each_file_is_read_alone_with_its_id_on_disk(tmp_path: Path, monkeypatch):
    from dataclasses import replace

    from speechprep.pipelines.engine.execute import execute
    from speechprep.pipelines.engine.plan import Step, prepare

    manifest, out = corpus(tmp_path / "in", 6), tmp_path / "out"
    step = Step("ingest", STAGE, STAGE.configure({"shards": 1}), 0, {}, str(out), [str(manifest)])
    (task,) = prepare(step, work=str(out / "_work")).tasks
    (before,) = execute(task)
    (out / "_state" / "00000-of-00001.json").unlink()
    said = []

    def examine(source: str, *, keep: bool):
        said.append((Path(source).stem, (out / "_work" / "in-progress-00000.json").read_text()))
        return real(source, keep=keep)

    real = ingest.examine
    monkeypatch.setattr(ingest, "examine", examine)
    (after,) = execute(replace(task, one_by_one=True))
    assert said == [(f"{i:03d}", f'["u{i:03d}"]') for i in range(6)]
    assert after.sha256 == before.sha256
    (out / "_state" / "00000-of-00001.json").unlink()
    execute(replace(task, one_by_one=True, skip_ids=["u003"]))
    assert [row["id"] for row in table(out)] == ["u000", "u001", "u002", "u004", "u005"]
    assert [(r["id"], r["code"]) for r in table(out, "_rejects")] == [("u003", "process_died")]


def test_remote_inputs_are_read_like_local_ones(tmp_path: Path):
    import fsspec

    manifest = corpus(tmp_path / "local", 4)
    fs = fsspec.filesystem("memory")
    fs.put(str(tmp_path / "local"), "/bucket", recursive=True)
    root = "memory://bucket" if fs.exists("/bucket/manifest.jsonl") else "memory://bucket/local"
    local = planned({"shards": 1}, manifest, scratch=tmp_path / "a")
    for place, prefix in ((f"{root}/manifest.jsonl", "u"), (f"{root}/audio", "")):
        plan = planned({"shards": 1}, place, scratch=tmp_path / "b")
        entries = pq.read_table(plan.payloads[0]).to_pylist()
        assert len(entries) == 4
        assert all(e["audio"].startswith("memory://") for e in entries)
        looked = [ingest.examine(e["audio"], keep=False) for e in entries]
        assert {f.sha256 for f in looked} == {hashlib.sha256(sound(i)).hexdigest() for i in range(4)}
        assert not prefix or [e["id"] for e in entries] == pq.read_table(local.payloads[0])["id"].to_pylist()
    fs.rm("/bucket", recursive=True)
