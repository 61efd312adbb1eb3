"""Each export format read back by a peer's reader, or by `ingest`."""

from __future__ import annotations

import io
import json
import warnings
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import soundfile
from helpers import export_runs as runs

import speechprep
from speechprep.artifacts import manifest
from speechprep.artifacts.run import open_run
from speechprep.pipelines.export.formats import FORMATS
from speechprep.pipelines.stages.ingest import STAGE as INGEST

PACKAGES = {name: form.package for name, form in FORMATS.items() if form.package}


@pytest.fixture
def run(tmp_path: Path) -> Path:
    return runs.write_run(tmp_path / "run", runs.corpus(tmp_path / "corpus"), 2)


def export(run: Path, to: str, out: Path, **options):
    if to in PACKAGES:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            pytest.importorskip(PACKAGES[to])
    return speechprep.export(run, to=to, out=out, **options)


@pytest.mark.reference
@pytest.mark.parametrize("to", runs.READERS)
def test_words_are_read_back_with_their_times(run, tmp_path, to):
    if to == "kaldi":
        (tmp_path / "corpus/absent.wav").write_bytes(b"")
    export(run, to, tmp_path / "out", rows=["words"])
    wanted = runs.expected(run)
    if to not in ("kaldi",):  # these do not open the audio
        wanted["missing"] = [(0.0, 1.0, "lost")]
    runs.same_labels(runs.READERS[to](tmp_path / "out"), runs.by_recording(run, tmp_path / "out", wanted))


@pytest.mark.reference
@pytest.mark.parametrize("to", ["lhotse", "nemo", "webdataset", "hf"])
def test_ingest_reads_the_words_texts_and_speakers(run, tmp_path, run_stage, to):
    export(run, to, tmp_path / "out")
    source = tmp_path / "out/cuts.jsonl" if to == "lhotse" else tmp_path / "out"
    again = run_stage(INGEST, {}, out=tmp_path / "again", sources=[source])
    rows = {row["id"]: row for row in open_run(str(again))["utterances"].records()}
    names = json.loads((tmp_path / "out/_export.json").read_text())["renamed"]["utterances"]
    before = {row["id"]: row for row in open_run(str(run))["utterances"].records()}
    wanted, got = {}, {}
    for id, labels in runs.expected(run).items():
        if id == "silent" and to == "fairseq":
            continue
        renamed = next((name for name, was in names.items() if was == id), id) if to == "webdataset" else id
        row, offset = rows.pop(renamed), before[id]["offset"]
        assert (row["speaker"], row["language"], row["split"]) == tuple(
            before[id][c] or ("train" if (to, c) == ("hf", "split") else None) for c in ("speaker", "language", "split")
        )
        assert row["text"] == before[id]["text"] or "\n" in before[id]["text"]
        assert abs(row["duration"] - before[id]["duration"]) < 1e-3
        wanted[id] = [(a - offset, b - offset, t) for a, b, t in labels]
        got[id] = [(w["start"], w["end"], w["text"]) for w in row["words"] or []]
    assert not rows
    runs.same_labels({k: v for k, v in got.items() if v}, {k: v for k, v in wanted.items() if v})


LABELS = ("textgrid", "ctm", "srt", "vtt", "audacity", "kaldi")  # labels of recordings, which are copied beside them


@pytest.mark.reference
@pytest.mark.parametrize("to", LABELS)
def test_ingest_reads_the_words_of_labels_beside_the_audio(tmp_path, run_stage, to):
    rows = [row for row in runs.corpus(tmp_path / "corpus") if row["id"] != "missing"]
    run = runs.write_run(tmp_path / "run", rows, 2)
    export(run, to, tmp_path / "out", rows=["words"], audio="copy")
    again = run_stage(INGEST, {}, out=tmp_path / "again", sources=[tmp_path / "out"])
    assert not list((again / "_rejects").glob("*"))
    wanted = runs.by_recording(run, tmp_path / "out", runs.expected(run))
    if to == "srt":  # most readers of SRT drop what stands in angle brackets
        wanted = {name: [(a, b, text.replace("<b>", "")) for a, b, text in labels] for name, labels in wanted.items()}
    runs.same_labels(runs.ingested_labels(again), wanted)
    facts = manifest.read(str(again)).extra
    assert facts["unused_transcripts"]["count"] == 0


def test_a_word_of_two_overlapping_segments_of_kaldi_belongs_to_one(tmp_path, run_stage):
    sound = runs.write_audio(tmp_path / "corpus/a.wav", 8.0)
    rows = [
        runs.row("u1", sound, 4.0, "one two", runs.words((0.0, 1.0, "one"), (3.0, 3.5, "two"))),
        runs.row("u2", sound, 4.0, "three one two", offset=3.0,
                 spoken=runs.words((0.2, 0.6, "three"), (0.7, 0.9, "one"), (3.0, 3.5, "two"))),
    ]  # fmt: skip
    run = runs.write_run(tmp_path / "run", rows)
    export(run, "kaldi", tmp_path / "out")
    again = run_stage(INGEST, {}, out=tmp_path / "again", sources=[tmp_path / "out"])
    read = {row["text"]: row["words"] for row in open_run(str(again))["utterances"].records()}
    assert {text: [word["text"] for word in words] for text, words in read.items()} == {
        "one two": ["one", "two"],
        "three one two": ["three", "one", "two"],
    }


@pytest.mark.reference
def test_a_textgrid_has_tiers_for_segments_words_and_units_of_each_speaker(run, tmp_path):
    textgrid = pytest.importorskip("praatio.textgrid")
    export(run, "textgrid", tmp_path / "out", audio="path")
    (path,) = [p for p in (tmp_path / "out").glob("meeting*") if "ann - words" in p.read_text(encoding="utf-8")]
    grid = textgrid.openTextgrid(str(path), includeEmptyIntervals=False)
    assert set(grid.tierNames) == {
        "ann - segments", "ann - words", "ann - words 2", "ann - units",
        "bob b - segments", "bob b - words", "bob b - units",
    }  # fmt: skip
    assert grid.maxTimestamp == 12.0
    assert tuple(grid.getTier("bob b - segments").entries[0]) == (4.0, 7.0, "the <b>& end")
    assert [tuple(e) for e in grid.getTier("ann - units").entries[:2]] == [(1.0, 1.06, "0"), (1.06, 1.12, "1")]


@pytest.mark.reference
def test_lhotse_loads_and_validates_its_manifests(run, tmp_path):
    export(run, "lhotse", tmp_path / "out")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import lhotse

        cuts = lhotse.CutSet.from_jsonl(tmp_path / "out/cuts.jsonl")
        recordings = lhotse.RecordingSet.from_jsonl(tmp_path / "out/recordings.jsonl")
        supervisions = lhotse.SupervisionSet.from_jsonl(tmp_path / "out/supervisions.jsonl")
        lhotse.validate_recordings_and_supervisions(recordings, supervisions)
        made = {supervision.id: supervision for supervision in supervisions}
    for cut in cuts:
        lhotse.validate(cut)
        (inner,) = cut.supervisions
        other = made[cut.id]
        assert (inner.text, inner.speaker, inner.duration) == (other.text, other.speaker, other.duration)
        assert (inner.start, other.start) == (0.0, cut.start)
        for kind, items in (other.alignment or {}).items():
            moved = [(item.symbol, pytest.approx(item.start - cut.start), item.duration) for item in items]
            assert [tuple(item)[:3] for item in inner.alignment[kind]] == moved
        assert len(cut.load_audio()[0]) == round(cut.duration * runs.RATE)


@pytest.mark.reference
def test_lhotse_reads_the_kaldi_directory_and_its_orders_agree(run, tmp_path):
    export(run, "kaldi", tmp_path / "out", audio="copy")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        kaldi = pytest.importorskip("lhotse.kaldi")
        recordings, supervisions, _ = kaldi.load_kaldi_data_dir(tmp_path / "out", runs.RATE)
    texts = {s.id: (s.text, s.speaker, s.start, s.duration) for s in supervisions}
    assert texts["ann-m_1"] == ('Good zero say"so" Zürich,', "ann", 1.0, 4.0)
    assert texts["bob_b-m.2"] == ("the <b>& end", "bob_b", 4.0, 3.0)
    assert len(texts) == 4
    assert all(r.to_cut().load_audio().size for r in recordings)
    for name in ("wav.scp", "segments", "text", "utt2spk", "spk2utt", "utt2dur", "reco2dur", "units"):
        keys = [line.split()[0].encode() for line in (tmp_path / "out" / name).read_text().splitlines()]
        assert keys == sorted(keys), name
    pairs = [line.split() for line in (tmp_path / "out/utt2spk").read_text().splitlines()]
    assert pairs == sorted(pairs, key=lambda pair: (pair[1].encode(), pair[0].encode()))


@pytest.mark.reference
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # webdataset leaves the file open
def test_webdataset_reads_its_tars(run, tmp_path):
    export(run, "webdataset", tmp_path / "out")
    import webdataset

    samples = list(webdataset.WebDataset(str(tmp_path / "out/shard-000000.tar"), shardshuffle=False))
    assert len(samples) == 5
    for sample in samples:
        described = json.loads(sample["json"])
        data = sample.get("flac") or sample["wav"]
        assert soundfile.info(io.BytesIO(data)).duration == pytest.approx(described["duration"])
        assert sample.get("txt", b"").decode() == described.get("text", "")


def test_a_segment_is_cut_with_the_samples_of_the_recording(run, tmp_path):
    export(run, "fairseq", tmp_path / "out")
    root, *rows = (tmp_path / "out/train.tsv").read_text().splitlines()
    path, samples = next(row.split("\t") for row in rows if "m_1" in row)
    cut, rate = soundfile.read(Path(root) / path, dtype="int16")
    assert (len(cut), rate) == (int(samples), runs.RATE)
    assert np.array_equal(cut, runs.tone(12.0, 0)[runs.RATE : 5 * runs.RATE])


def test_fairseq_files_have_the_same_lines(run, tmp_path):
    export(run, "fairseq", tmp_path / "out")
    for split in ("train", "dev"):
        root, *rows = (tmp_path / f"out/{split}.tsv").read_text().splitlines()
        for row in rows:
            path, samples = row.split("\t")
            info = soundfile.info(Path(root) / path)
            assert (info.frames, info.samplerate) == (int(samples), runs.RATE)
        lines = {e: (tmp_path / f"out/{split}.{e}").read_text().splitlines() for e in ("wrd", "ltr", "km")}
        assert {len(v) for v in lines.values()} == {len(rows)}
        for text, letters in zip(lines["wrd"], lines["ltr"], strict=True):
            assert letters.replace(" ", "").replace("|", " ").split() == text.split()


@pytest.mark.reference
def test_datasets_loads_the_parquet(run, tmp_path, monkeypatch):
    export(run, "hf", tmp_path / "out")
    import datasets

    loaded = datasets.load_dataset(str(tmp_path / "out"), cache_dir=str(tmp_path / "cache"))
    assert {name: len(split) for name, split in loaded.items()} == {"train": 3, "dev": 2}
    row = loaded["train"].cast_column("audio", datasets.Audio(decode=False))[0]
    assert row["id"] in ("m 1", "m/3", "silent")
    assert soundfile.info(io.BytesIO(row["audio"]["bytes"])).duration == pytest.approx(row["duration"])
    assert pq.read_table(tmp_path / "out/data/dev-00000.parquet").num_rows == 2


@pytest.mark.reference
def test_other_readers_agree_on_subtitles_and_textgrids(run, tmp_path):
    webvtt, srt, textgrid = (pytest.importorskip(name) for name in ("webvtt", "srt", "textgrid"))
    for to in ("vtt", "srt", "textgrid"):
        export(run, to, tmp_path / to, rows=["words"])
    for path in (tmp_path / "vtt").glob("*.vtt"):
        ours = runs.read_subtitles("vtt")(tmp_path / "vtt")[path.stem]
        assert [runs.plain(caption.text) for caption in webvtt.read(str(path))] == [text for _, _, text in ours]
    for path in (tmp_path / "srt").glob("*.srt"):
        ours = runs.read_subtitles("srt")(tmp_path / "srt")[path.stem]
        cues = list(srt.parse(path.read_text(encoding="utf-8")))
        assert [(c.start.total_seconds(), c.content) for c in cues] == [(start, text) for start, _, text in ours]
    for path in (tmp_path / "textgrid").glob("*.TextGrid"):
        grid = textgrid.TextGrid.fromFile(str(path))
        marks = sorted(i.mark for tier in grid for i in tier if i.mark)
        assert marks == sorted(text for _, _, text in runs.read_textgrid(tmp_path / "textgrid").get(path.stem, []))
