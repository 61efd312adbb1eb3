"""Text without audio: each form in a folder and in each archive, and no corpus of speech is taken for one."""

from __future__ import annotations

import bz2
import gzip
import io
import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from helpers.layouts import PACKERS, A, lines, tar

from speechprep.artifacts.schemas import UTTERANCES
from speechprep.errors import ConfigError
from speechprep.pipelines.inspect.verify import verify
from speechprep.pipelines.report import build_report
from speechprep.pipelines.stages import interleave, pack, sample, subword, wordpiece
from speechprep.pipelines.stages.ingest import STAGE

from .test_layouts import planned, write

TEXTS = ["one two", "drei vier", 'five, "six"', "sieben"]
RECORDS = [{"text": text, "speaker": f"s{i}", "path": f"book{i}.txt"} for i, text in enumerate(TEXTS)]


def parquet(column: str = "text") -> bytes:
    buffer = io.BytesIO()
    pq.write_table(pa.table({column: TEXTS, "lang": ["en", "de", "en", "de"]}), buffer)
    return buffer.getvalue()


def arrow() -> bytes:
    buffer = io.BytesIO()
    table = pa.table({"text": TEXTS})
    with pa.ipc.new_stream(buffer, table.schema) as writer:
        writer.write_table(table)
    return buffer.getvalue()


PLAIN = "\n\n".join(TEXTS).encode() + b"\n"
CSV = b'id,text\na,one two\nb,drei vier\nc,"five, ""six"""\nd,sieben\n'
FORMS = {
    "text file": {"a.txt": PLAIN},
    "text file of Windows": {"x/a.txt": "\r\n".join(TEXTS).encode("utf-16")},
    "text files": {f"x/{i}/a.txt": text.encode() for i, text in enumerate(TEXTS)},
    "gzip": {"a.txt.gz": gzip.compress(PLAIN)},
    "bzip2": {"a.text.bz2": bz2.compress(PLAIN)},
    "JSON Lines": {"a.jsonl": lines(*RECORDS, {"text": " "})},
    "JSON Lines with gzip": {"a.jsonl.gz": gzip.compress(lines(*RECORDS))},
    "JSON array": {"a.json": json.dumps(RECORDS).encode()},
    "CSV": {"a.csv": CSV},
    "TSV": {"a.tsv": b"sentence\tlocale\n" + "".join(f"{text}\ten\n" for text in TEXTS).encode()},
    "Parquet": {"data/train-00000-of-00001.parquet": parquet()},
    "Arrow": {"data-00000-of-00001.arrow": arrow()},
    "archive in it": {"inner.tar": tar({"a.txt": PLAIN})},
}


def texts(rows: list[dict]) -> list[str]:
    return sorted(row["text"] for row in rows)


def check(plan: object, rows: list[dict]) -> None:
    assert [str(error) for _, error, _ in plan.rejects] == []
    assert texts(rows) == sorted(TEXTS)
    assert len({row["id"] for row in rows}) == len(rows)
    assert plan.facts["files"]["not_read"] == {}


@pytest.mark.parametrize("form", FORMS)
def test_a_form_in_a_folder(tmp_path: Path, form: str):
    plan, rows = planned(tmp_path, write(tmp_path / "in", FORMS[form]), format="text")
    check(plan, rows)
    assert plan.facts["files"]["seen"] == len(FORMS[form]) + (form == "archive in it")


@pytest.mark.parametrize("packer", PACKERS)
@pytest.mark.parametrize("form", FORMS)
def test_a_form_in_an_archive(tmp_path: Path, form: str, packer: str):
    (tmp_path / "in").mkdir()
    (tmp_path / f"in/c.{packer}").write_bytes(PACKERS[packer](FORMS[form]))
    for place in (tmp_path / "in", tmp_path / f"in/c.{packer}"):
        check(*planned(tmp_path, place, format="text"))


@pytest.mark.parametrize("form", FORMS)
def test_a_file_by_its_name(tmp_path: Path, form: str):
    write(tmp_path / "in", FORMS[form])
    rows = [r for name in FORMS[form] for r in planned(tmp_path, tmp_path / "in" / name, format="text")[1]]
    assert texts(rows) == sorted(TEXTS)


def test_fields_and_ids_of_the_records(tmp_path: Path):
    files = {"a.jsonl": lines(*RECORDS), "b.csv": CSV, "train/p.parquet": parquet()}
    _, rows = planned(tmp_path, write(tmp_path / "in", files), format="text")
    by_id = {row["id"]: row for row in rows}
    assert by_id["a.jsonl-00000002"]["speaker"] == "s1"
    assert {"a", "b", "c", "d"} < by_id.keys()
    assert (by_id["train/p.parquet-00000001"]["language"], by_id["train/p.parquet-00000001"]["split"]) == (
        "de",
        "train",
    )


def test_columns_are_named_by_the_user(tmp_path: Path):
    place = write(tmp_path / "in", {"p.parquet": parquet("body"), "q.jsonl": lines({"body": "x"})})
    _, rows = planned(tmp_path, place, format="text", columns={"text": "body"})
    assert texts(rows) == sorted([*TEXTS, "x"])
    with pytest.raises(ConfigError, match=r"columns\.text"):
        planned(tmp_path, place, format="text")
    with pytest.raises(ConfigError, match=r"columns\.text"):
        planned(tmp_path, place / "p.parquet", format="text")


def test_files_without_text_are_counted_as_not_read(tmp_path: Path):
    files = {
        "a.txt": PLAIN,
        "README.txt": b"about",
        "config.json": b'{"x": 1}',
        "page.html": b"<p>",
        "n.csv": b"a,b\n1,2\n",
    }
    plan, rows = planned(tmp_path, write(tmp_path / "in", files), format="text")
    assert texts(rows) == sorted(TEXTS)
    assert sum(sum(reasons.values()) for reasons in plan.facts["files"]["not_read"].values()) == 4


def test_a_bad_line_costs_one_line(tmp_path: Path):
    files = {"a.txt": b"good\n\x00bad\xff\nfine\n", "b.jsonl": b'{"text": "x"}\n{"text": 1e\n{"text": null}\n'}
    plan, rows = planned(tmp_path, write(tmp_path / "in", files), format="text")
    assert texts(rows) == ["fine", "good", "x"]
    assert sorted(error.code for _, error, _ in plan.rejects) == ["bad_json", "missing_field", "text_encoding"]


SOUND = {
    "audio beside it": {"a.txt": PLAIN, "x/b.wav": A},
    "audio without a suffix": {"a.txt": PLAIN, "sound": A},
    "a manifest of audio": {"m.jsonl": lines({"audio": "/data/a.flac", "text": "one"})},
    "a table of audio": {"m.csv": b"path,sentence\na.mp3,one\n"},
    "an archive with audio": {"c.tar": tar({"a.txt": PLAIN, "a.wav": A})},
}


@pytest.mark.parametrize("kind", [*SOUND, "Parquet with audio"])
def test_an_input_with_audio_is_refused(tmp_path: Path, kind: str):
    buffer = io.BytesIO()
    pq.write_table(pa.table({"audio": [{"bytes": A, "path": None}], "text": ["one"]}), buffer)
    place = write(tmp_path / "in", SOUND.get(kind, {"p.parquet": buffer.getvalue()}))
    with pytest.raises(ConfigError, match="is audio, and format=text is for text without audio"):
        planned(tmp_path, place, format="text")


def test_a_transcript_beside_its_audio_is_refused_by_its_name(tmp_path: Path):
    place = write(tmp_path / "in", {"a.wav": A, "a.txt": b"one", "corpus.txt": PLAIN})
    with pytest.raises(ConfigError, match="is the transcript of an audio file beside it"):
        planned(tmp_path, place / "a.txt", format="text")
    assert texts(planned(tmp_path, place / "corpus.txt", format="text")[1]) == sorted(TEXTS)


@pytest.mark.parametrize("form", ["text file", "CSV", "Parquet", "gzip"])
def test_text_is_not_read_without_the_option(tmp_path: Path, form: str):
    place = write(tmp_path / "in", FORMS[form])
    with pytest.raises(ConfigError, match="format=text for text without audio"):
        planned(tmp_path, place)
    plan, rows = planned(tmp_path, write(tmp_path / "in", {"s.wav": A}))
    assert [row["text"] for row in rows] == [None]
    assert sum(sum(reasons.values()) for reasons in plan.facts["files"]["not_read"].values()) == 1


@pytest.fixture
def corpus(tmp_path: Path, run_stage):
    sentences = [
        f"the {a} saw the {b} and {c} more" for a in ("fox", "dog", "owl") for b in ("hen", "cat") for c in "xyz"
    ]
    write(tmp_path / "in", {"a.txt": "\n".join(sentences).encode()})
    out = run_stage(
        STAGE, {"format": "text", "shards": 3}, {}, tmp_path / "run/utterances", sources=[str(tmp_path / "in")]
    )
    return sentences, out


def test_text_gives_rows_without_align(tmp_path: Path, run_stage, corpus):
    sentences, utterances = corpus
    table = pq.read_table(utterances)
    assert table.schema.equals(UTTERANCES)
    assert texts(table.to_pylist()) == sorted(sentences)
    assert all(table.column(n).null_count == 18 for n in ("audio", "audio_bytes", "offset", "duration", "audio_sha256"))
    read = {"utterances": utterances}
    pieces = run_stage(wordpiece.STAGE, {"vocab_size": 60, "min_count": 1}, read, tmp_path / "run/wordpiece")
    assert (pieces / "vocab.txt").read_text().splitlines()[:1] == ["[PAD]"]
    vocabulary = run_stage(subword.STAGE, {"text_vocab_size": 290}, read, tmp_path / "run/subword")
    read["subword"] = vocabulary
    tokens = run_stage(interleave.STAGE, {}, read, tmp_path / "run/tokens")
    rows = pq.read_table(tokens).to_pylist()
    assert {row["kind"] for row in rows} == {"text"}
    assert len(rows) == len(sentences)
    assert np.all(np.concatenate([row["word_t0"] for row in rows]) == 0)
    packed = run_stage(pack.STAGE, {"context": 64}, {"tokens": tokens, "subword": vocabulary}, tmp_path / "run/packed")
    documents = {id for row in pq.read_table(packed).to_pylist() for id in row["ids"]}
    assert len(documents) == len(sentences)
    assert list(verify(str(tmp_path / "run")).problems) == []


def test_stages_of_speech_reject_text_without_audio(tmp_path: Path, run_stage, corpus):
    sentences, utterances = corpus
    out = run_stage(sample.STAGE, {}, {"utterances": utterances, "corpus": utterances}, tmp_path / "sample")
    rejects = pq.read_table(out / "_rejects").to_pylist()
    assert [row["code"] for row in rejects] == ["no_audio"] * len(sentences)


def test_text_rows_are_not_made_of_speech_without_units(tmp_path: Path, run_stage):
    write(tmp_path / "speech", {"a.wav": A, "a.txt": b"one"})
    spoken = run_stage(STAGE, {}, {}, tmp_path / "spoken", sources=[str(tmp_path / "speech")])
    with pytest.raises(ConfigError, match="'a' has audio, and there are no units"):
        run_stage(subword.STAGE, {}, {"utterances": spoken}, tmp_path / "subword")


def test_the_report_and_the_card_of_text_without_audio(tmp_path: Path, corpus):
    report = build_report(str(tmp_path / "run"), tmp_path / "r.html").read_text()
    assert "18 utterances" in report
