"""The fuzzer of inputs runs, and damages that it found cost one record."""

from __future__ import annotations

import io
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
from helpers.layouts import A

from speechprep.pipelines import sources
from speechprep.pipelines.sources.entry import Entry, Options, Rejected

ROOT = Path(__file__).resolve().parents[3]


def test_the_fuzzer_runs():
    command = [sys.executable, "scripts/fuzz_inputs.py", "--count", "12", "--seed", "1"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=600)
    assert done.returncode == 0, done.stdout + done.stderr
    counts = {part.split()[1]: int(part.split()[0]) for part in done.stdout.strip().split(", ")}
    assert sum(counts.values()) == 12
    assert counts.keys() <= {"rows", "rejects", "refused"}


def test_offsets_out_of_an_arrow_file_are_a_reject(tmp_path: Path):
    """Reading such a value ended the process."""
    buffer = io.BytesIO()
    table = pa.record_batch({"audio": ["a.wav", "b.wav"], "text": ["ab", "cd"]})
    with pa.ipc.new_stream(buffer, table.schema) as writer:
        writer.write_batch(table)
    offsets = (0).to_bytes(4, "little") + (2).to_bytes(4, "little") + (4).to_bytes(4, "little")
    assert buffer.getvalue().count(offsets) == 1
    damaged = buffer.getvalue().replace(offsets, offsets[:4] + b"\0\xff\xff\x7f" + offsets[8:])
    (tmp_path / "data.arrow").write_bytes(damaged)
    (record,) = sources.read(str(tmp_path), "auto", Options())
    assert isinstance(record, Rejected)
    assert record.error.code == "archive_damaged"


def test_a_control_sign_in_a_ctm_file_costs_its_recording(tmp_path: Path):
    for name in "ab":
        (tmp_path / f"{name}.wav").write_bytes(A)
    (tmp_path / "all.ctm").write_bytes(b"a 1 0.1 0.2 o\x14ne\nb 1 0.1 0.2 two\n")
    records = sorted(sources.read(str(tmp_path), "auto", Options()), key=lambda record: record.id)
    assert [type(record) for record in records] == [Rejected, Entry]
    assert (records[0].id, records[0].error.code, records[1].text) == ("a", "text_encoding", "two")


def test_bytes_outside_of_unicode_in_timit_words_cost_their_recording(tmp_path: Path):
    for name in "ab":
        (tmp_path / f"{name}.wav").write_bytes(A)
    (tmp_path / "a.wrd").write_bytes(b"0 800 o\xed\xa0\x80ne\n")
    (tmp_path / "b.wrd").write_bytes(b"0 800 two\n")
    records = sorted(sources.read(str(tmp_path), "auto", Options()), key=lambda record: record.id)
    assert [type(record) for record in records] == [Rejected, Entry]
    assert (records[0].error.code, records[1].text) == ("text_encoding", "two")


def test_an_eaf_file_in_an_unknown_encoding_is_a_reject(tmp_path: Path):
    (tmp_path / "a.wav").write_bytes(A)
    (tmp_path / "a.eaf").write_bytes(b'<?xml version="1.0" encoding="UF-8"?><ANNOTATION_DOCUMENT/>')
    (record,) = sources.read(str(tmp_path), "auto", Options())
    assert isinstance(record, Rejected)
    assert record.error.code == "bad_transcript"
