"""Every form of input gives the entries that its files state, and a reject for whatever cannot be one."""

from __future__ import annotations

import gzip
import io
import json
import tarfile
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from speechprep.errors import BadInput, ConfigError
from speechprep.pipelines import sources
from speechprep.pipelines.sources.entry import MAX_ID, Entry, Options, check_id, clean_text, printable
from speechprep.pipelines.sources.files import Base
from speechprep.pipelines.sources.manifests import parquet
from speechprep.pipelines.sources.trees import tar


def wav(seconds: float = 0.1) -> bytes:
    buffer = io.BytesIO()
    soundfile.write(buffer, np.full(round(seconds * 8000), 0.1), 8000, format="WAV")
    return buffer.getvalue()


WAV = wav()


def write(root: Path, files: dict[str, bytes | str]) -> None:
    for name, body in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(body.encode() if isinstance(body, str) else body)


def read(place: Path | str, format: str = "auto", **options) -> tuple[dict[str, Entry], dict[str, str]]:
    """(entries by id, code by id of the rejects)."""
    records = list(sources.read(str(place), format, Options(**options)))
    entries = [r for r in records if isinstance(r, Entry)]
    assert len({e.id for e in entries}) == len(entries)
    return {e.id: e for e in entries}, {r.id: r.error.code for r in records if not isinstance(r, Entry)}


def jsonl(*rows: object) -> str:
    return "".join(json.dumps(row) + "\n" for row in rows)


# -- folders -----------------------------------------------------------------------------------------------------------


def test_a_folder_gives_paths_without_suffix_as_ids_and_transcripts_beside(tmp_path: Path):
    write(
        tmp_path,
        {
            "b/x.wav": WAV,
            "b/x.txt": " two\nlines \r\n",
            "a/LOUD.FLAC": WAV,
            "a/LOUD.lab": "lab wins",
            "a/LOUD.txt": "over txt",
            "y.mp3": WAV,
            "bare": WAV,
            "README": "words",
            "notes.txt": "no audio",
            ".hidden.wav": WAV,
            "._x.wav": b"resource fork",
        },
    )
    entries, rejects = read(tmp_path)
    assert list(entries) == ["bare", "y", "a/LOUD", "b/x"]
    assert entries["b/x"].text == "two lines"
    assert entries["a/LOUD"].text == "lab wins"
    assert entries["y"].text is None
    assert entries["b/x"].audio == str(tmp_path / "b/x.wav")
    assert not rejects


def test_a_transcript_that_is_not_utf8_rejects_its_utterance_only(tmp_path: Path):
    write(tmp_path, {"a.wav": WAV, "a.txt": "café".encode("latin-1"), "b.wav": WAV, "b.txt": b"x" * (2 << 20)})
    write(tmp_path, {"c.wav": WAV, "c.txt": "\ufeffgood"})
    entries, rejects = read(tmp_path)
    assert {i: e.text for i, e in entries.items()} == {"c": "good"}
    assert rejects == {"a": "text_encoding", "b": "bad_transcript"}


def test_links_to_folders_are_not_followed(tmp_path: Path):
    write(tmp_path, {"a/x.wav": WAV})
    (tmp_path / "a" / "loop").symlink_to(tmp_path)
    assert list(read(tmp_path)[0]) == ["a/x"]


def test_one_file_and_a_glob_are_inputs(tmp_path: Path):
    write(tmp_path, {"a/x.wav": WAV, "a/x.txt": "hello", "b/y.wav": WAV})
    assert {i: e.text for i, e in read(tmp_path / "a/x.wav")[0].items()} == {"x": "hello"}
    assert {i: e.text for i, e in read(f"{tmp_path}/*/*.wav")[0].items()} == {"a/x": "hello", "b/y": None}
    assert list(read(f"{tmp_path}/**/*.wav")[0]) == ["a/x", "b/y"]


def test_a_glob_of_manifests_reads_them_all(tmp_path: Path):
    write(
        tmp_path, {"one.jsonl": jsonl({"id": "a", "audio": "a.wav"}), "two.jsonl": jsonl({"id": "b", "audio": "b.wav"})}
    )
    assert list(read(f"{tmp_path}/*.jsonl")[0]) == ["a", "b"]


def test_file_names_of_another_encoding_are_rejected(tmp_path: Path):
    (tmp_path / "good.wav").write_bytes(WAV)
    Path(str(tmp_path) + "/caf\udce9.wav").write_bytes(WAV)
    entries, rejects = read(tmp_path)
    assert list(entries) == ["good"]
    assert list(rejects.values()) == ["bad_id"]


@pytest.mark.parametrize("place", ["nothing", "no*thing", "nothing/at/all.jsonl"])
def test_an_input_that_is_not_there_is_an_error(tmp_path: Path, place: str):
    with pytest.raises(ConfigError, match="no such input"):
        read(tmp_path / place)


def test_a_file_of_no_known_form_is_an_error_that_lists_the_forms(tmp_path: Path):
    write(tmp_path, {"x.bin": b"\1\2\3\4" * 100})
    with pytest.raises(ConfigError, match="librispeech"):
        read(tmp_path / "x.bin")


# -- layouts of corpora ------------------------------------------------------------------------------------------------


def test_librispeech_layout(tmp_path: Path):
    write(
        tmp_path,
        {
            "train-clean-5/118/47824/118-47824-0000.flac": WAV,
            "train-clean-5/118/47824/118-47824-0001.flac": WAV,
            "train-clean-5/118/47824/118-47824.trans.txt": "118-47824-0000 CHAPTER SEVEN\n118-47824-0009 NOT THERE\n",
        },
    )
    entries, rejects = read(tmp_path)
    first = entries["118-47824-0000"]
    assert (first.text, first.speaker, first.split) == ("CHAPTER SEVEN", "118", "train-clean-5")
    assert entries["118-47824-0001"].text is None
    assert rejects == {"118-47824-0009": "audio_missing"}


def test_ljspeech_layout(tmp_path: Path):
    write(
        tmp_path,
        {
            "metadata.csv": 'LJ001-0001|Printing, in 1900|Printing, in nineteen hundred\nLJ001-0002|"in being|\n'
            "LJ001-0003|gone|gone\n../LJ|tricks|tricks\nalone\n",
            "wavs/LJ001-0001.wav": WAV,
            "wavs/LJ001-0002.flac": WAV,
        },
    )
    entries, rejects = read(tmp_path)
    assert {i: e.text for i, e in entries.items()} == {
        "LJ001-0001": "Printing, in nineteen hundred",
        "LJ001-0002": '"in being',
    }
    assert rejects == {"LJ001-0003": "audio_missing", "metadata.csv:4": "bad_id", "metadata.csv:5": "bad_row"}


def test_common_voice_layout(tmp_path: Path):
    header = "client_id\tpath\tsentence\tup_votes\tlocale\n"
    rows = ['s1\tcv_1.mp3\t"Quote\t2\ten', "s2\tcv_2\tZwei\t2\ten"]
    write(
        tmp_path,
        {
            "validated.tsv": header + "\n".join([*rows, "s3\tcv_3.mp3\tThree\t2\ten", "s4\t../../x.mp3\tOut\t2\ten"]),
            "train.tsv": header + rows[0],
            "test.tsv": header + rows[1],
            "invalidated.tsv": header + "s9\tcv_9.mp3\tNo\t0\ten",
            **{f"clips/cv_{i}.mp3": WAV for i in (1, 2, 3)},
        },
    )
    entries, rejects = read(tmp_path)
    assert {i: (e.text, e.speaker, e.language, e.split) for i, e in entries.items()} == {
        "cv_1": ('"Quote', "s1", "en", "train"),
        "cv_2": ("Zwei", "s2", "en", "test"),
        "cv_3": ("Three", "s3", "en", None),
    }
    assert entries["cv_2"].audio == str(tmp_path / "clips" / "cv_2.mp3")
    assert list(rejects.values()) == ["path_outside"]
    entries, _ = read(tmp_path / "train.tsv")
    assert [(e.id, e.split) for e in entries.values()] == [("cv_1", "train")]


# -- manifests ---------------------------------------------------------------------------------------------------------


def test_a_nemo_manifest_gives_segments_with_ids_of_their_own(tmp_path: Path):
    write(
        tmp_path,
        {
            "manifest.json": jsonl(
                {"audio_filepath": "audio/a.wav", "duration": 3.2, "text": "whole"},
                {"audio_filepath": "audio/b.wav", "offset": 0.0, "duration": 1.5, "text": "first"},
                {"audio_filepath": "audio/b.wav", "offset": 1.5, "duration": 2, "text": "second"},
                {"audio_filepath": "/data/c.wav", "duration": 1, "text": "absolute"},
            )
        },
    )
    entries, rejects = read(tmp_path)
    assert {i: (e.offset, e.duration, e.text) for i, e in entries.items()} == {
        "audio/a": (None, 3.2, "whole"),
        "audio/b": (0.0, 1.5, "first"),
        "audio/b@00001500": (1.5, 2.0, "second"),
        "data/c": (None, 1.0, "absolute"),
    }
    assert entries["data/c"].audio == "/data/c.wav"
    assert not rejects


@pytest.mark.parametrize("packed", [False, True])
def test_fields_go_by_many_names(tmp_path: Path, packed: bool):
    text = jsonl(
        {
            "utt_id": 7,
            "wav": "x.wav",
            "normalized_text": "hello",
            "sentence": "Hello!",
            "client_id": "s",
            "lang": "en",
            "license": "CC0",
            "labels": ["dog", "bark"],
            "tags": "dog",
            "title": "A dog",
            "caption": "barking",
            "words": [{"w": "hello", "start": 0, "end": "0.5"}],
        }
    )
    path = tmp_path / ("m.jsonl.gz" if packed else "m.jsonl")
    path.write_bytes(gzip.compress(text.encode()) if packed else text.encode())
    entry = read(path)[0]["7"]
    assert (entry.text, entry.speaker, entry.language, entry.licence) == ("hello", "s", "en", "CC0")
    assert entry.labels == ["dog", "bark"]
    assert entry.captions == ["barking", "A dog"]
    assert entry.words == [{"text": "hello", "start": 0.0, "end": 0.5}]
    assert read(path, words="ignore")[0]["7"].words is None
    assert read(path, columns={"text": "sentence"})[0]["7"].text == "Hello!"


@pytest.mark.parametrize(
    ("line", "code"),
    [
        (b'{"id": "x", "audio":', "bad_json"),
        (b'["list"]', "bad_json"),
        (b"[" * 100_000, "bad_json"),
        (b'{"id": "x"}', "missing_field"),
        (b'{"id": "x", "audio": ""}', "missing_field"),
        (b'{"id": "x", "audio": 3}', "bad_field"),
        (b'{"id": ["x"], "audio": "a.wav"}', "bad_field"),
        (b'{"id": "x", "audio": "a\\u0000.wav"}', "bad_path"),
        (b'{"id": "x", "audio": "sph2pipe a.sph |"}', "bad_path"),
        (b'{"id": "", "audio": "a.wav"}', "bad_id"),
        (b'{"id": "../x", "audio": "a.wav"}', "bad_id"),
        (b'{"id": "/x", "audio": "a.wav"}', "bad_id"),
        (b'{"id": "x\\u0007", "audio": "a.wav"}', "bad_id"),
        (b'{"id": "\\ud800", "audio": "a.wav"}', "bad_id"),
        (b'{"id": "x", "audio": "a.wav", "text": "\\ud800"}', "text_encoding"),
        (b'{"id": "x", "audio": "a.wav", "text": "a\\u0000b"}', "text_encoding"),
        (b'{"id": "x", "audio": "a.wav", "text": {"en": "a"}}', "bad_field"),
        ('{"id": "x", "audio": "a.wav", "text": "é"}'.encode("latin-1"), "text_encoding"),
        (b'{"id": "x", "audio": "a.wav", "offset": -1}', "bad_field"),
        (b'{"id": "x", "audio": "a.wav", "offset": "soon"}', "bad_field"),
        (b'{"id": "x", "audio": "a.wav", "offset": 1e999}', "bad_field"),
        (b'{"id": "x", "audio": "a.wav", "offset": 0, "duration": 0}', "bad_field"),
        (b'{"id": "x", "audio": "a.wav", "words": "said"}', "bad_words"),
        (b'{"id": "x", "audio": "a.wav", "words": [{"w": "a"}]}', "bad_words"),
        (b'{"id": "x", "audio": "a.wav", "words": 5}', "bad_words"),
    ],
)
def test_a_bad_line_is_rejected_by_number_and_its_neighbours_stay(tmp_path: Path, line: bytes, code: str):
    good = b'{"id": "%d", "audio": "a.wav"}\r\n'
    (tmp_path / "m.jsonl").write_bytes(b"\xef\xbb\xbf" + good % 1 + b"\n" + line + b"\n" + good % 2)
    records = list(sources.read(str(tmp_path / "m.jsonl"), "auto", Options()))
    assert [r.id for r in records if isinstance(r, Entry)] == ["1", "2"]
    (bad,) = (r for r in records if not isinstance(r, Entry))
    assert bad.error.code == code
    assert "m.jsonl:3" in str(bad.error)
    assert bad.id.encode()


def test_a_gzip_manifest_that_breaks_off_keeps_what_came_before(tmp_path: Path):
    rng = np.random.default_rng(0)
    lines = jsonl(*({"id": str(i), "audio": "a.wav", "text": rng.bytes(20).hex()} for i in range(2000)))
    packed = gzip.compress(lines.encode())
    (tmp_path / "m.jsonl.gz").write_bytes(packed[: len(packed) // 2])
    entries, rejects = read(tmp_path / "m.jsonl.gz")
    assert 500 < len(entries) < 1500
    assert rejects == {"m.jsonl.gz": "manifest_damaged"}


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be"])
@pytest.mark.parametrize("form", ["m.jsonl", "m.csv", "a.txt", "m.jsonl.gz"])
def test_text_in_each_encoding_is_the_same(tmp_path: Path, encoding: str, form: str):
    table = "audio,text\r\na.wav,Größe 日本 😀\r\n"
    text = {"m.csv": table, "a.txt": "Größe 日本 😀\r\n"}.get(
        form, json.dumps({"audio": "a.wav", "text": "Größe 日本 😀"})
    )
    mark = "\ufeff" if encoding in ("utf-16-le", "utf-16-be") else ""
    data = (mark + text).encode(encoding)
    write(tmp_path, {"a.wav": WAV, form: gzip.compress(data) if form.endswith("gz") else data})
    entries, rejects = read(tmp_path if form == "a.txt" else tmp_path / form)
    assert {id: entry.text for id, entry in entries.items()} == {"a": "Größe 日本 😀"}
    assert not rejects


def test_a_pointer_instead_of_a_manifest_says_what_to_do(tmp_path: Path):
    (tmp_path / "p.jsonl").write_text("version https://git-lfs.github.com/spec/v1\n")
    with pytest.raises(ConfigError, match="git lfs pull"):
        read(tmp_path / "p.jsonl")


def test_a_folder_is_read_by_its_manifest_where_it_has_one(tmp_path: Path):
    write(
        tmp_path, {"audio/x.wav": WAV, "audio/y.wav": WAV, "manifest.jsonl": jsonl({"id": "a", "audio": "audio/x.wav"})}
    )
    assert list(read(tmp_path)[0]) == ["a"]
    assert list(read(tmp_path, "folder")[0]) == ["audio/x", "audio/y"]


def test_relative_paths_climb_anywhere_unless_a_root_is_given(tmp_path: Path):
    write(tmp_path, {"a/m.jsonl": jsonl({"id": "1", "audio": "../b/x.wav"}, {"id": "2", "audio": "../../x.wav"})})
    entries, _ = read(tmp_path / "a/m.jsonl")
    assert entries["1"].audio == str(tmp_path / "b/x.wav")
    assert entries["2"].audio == str(tmp_path.parent / "x.wav")
    write(tmp_path, {"a/n.jsonl": jsonl({"id": "1", "audio": "x.wav"}, {"id": "2", "audio": "../x.wav"})})
    entries, rejects = read(tmp_path / "a/n.jsonl", audio_root=str(tmp_path / "c"))
    assert entries["1"].audio == str(tmp_path / "c/x.wav")
    assert rejects == {"2": "path_outside"}


# -- tables ------------------------------------------------------------------------------------------------------------


def test_a_csv_with_quotes_newlines_and_faults(tmp_path: Path):
    write(
        tmp_path,
        {
            "metadata.csv": '\ufefffile_name,Transcription,label\r\na.wav,"two\r\nlines, quoted",x\r\n'
            'b.wav,,\r\nc.wav,too,many,cells\r\nd.wav,"[""json""]","[""p"", ""q""]"\r\n'
        },
    )
    entries, rejects = read(tmp_path)
    assert {i: (e.text, e.labels) for i, e in entries.items()} == {
        "a": ("two lines, quoted", ["x"]),
        "b": (None, None),
        "d": ('["json"]', ["p", "q"]),
    }
    assert list(rejects.values()) == ["bad_row"]


def test_a_cell_of_another_encoding_rejects_its_row_only_where_it_is_used(tmp_path: Path):
    (tmp_path / "t.tsv").write_bytes("path\ttext\tnote\na.wav\tcafé\tx\nb.wav\tok\tcafé\n".encode("latin-1"))
    entries, rejects = read(tmp_path / "t.tsv")
    assert list(entries) == ["b"]
    assert list(rejects.values()) == ["text_encoding"]


def test_a_table_without_an_audio_column_names_its_columns(tmp_path: Path):
    write(tmp_path, {"t.csv": "recording,words\na.wav,x\n"})
    with pytest.raises(ConfigError, match=r"'recording'.*columns\.audio"):
        read(tmp_path / "t.csv")
    entries, _ = read(tmp_path / "t.csv", columns={"audio": "recording", "text": "words"}, words="ignore")
    assert entries["a"].text == "x"


# -- Parquet -----------------------------------------------------------------------------------------------------------


def hf_table(rows: list[dict[str, object]], **metadata: object) -> pa.Table:
    table = pa.Table.from_pylist(rows)
    return table.replace_schema_metadata({"huggingface": json.dumps({"info": {"features": metadata}})})


def test_hugging_face_parquet_with_embedded_audio(tmp_path: Path):
    rows = [
        {"audio": {"bytes": wav(0.1 + i / 100), "path": f"p{i}.wav"}, "text": f"t{i}", "label": i % 2, "junk": [i]}
        for i in range(10)
    ]
    rows[3]["audio"] = {"bytes": None, "path": "p3.wav"}
    (tmp_path / "data").mkdir()
    table = hf_table(rows, label={"_type": "ClassLabel", "names": ["no", "yes"]})
    pq.write_table(table, tmp_path / "data" / "train-0.parquet", row_group_size=4)
    entries, rejects = read(tmp_path)
    assert list(entries) == [f"p{i}" for i in range(10)]
    assert [e.labels for e in entries.values()][:2] == [["no"], ["yes"]]
    assert not rejects
    with parquet.ParquetReader(str(tmp_path / "data" / "train-0.parquet")) as reader:
        for i in (0, 2, 5, 9):
            assert reader.read(entries[f"p{i}"].row()) == rows[i]["audio"]["bytes"]
    assert (entries["p3"].archive, entries["p3"].audio) == (None, str(tmp_path / "data" / "p3.wav"))
    assert next(iter(read(tmp_path, archive_ids=True)[0])) == "train-0/p0"


def test_parquet_with_paths_and_with_plain_bytes(tmp_path: Path):
    pq.write_table(pa.Table.from_pylist([{"id": "a", "path": "x.wav", "sentence": "hi"}]), tmp_path / "p.parquet")
    entry = read(tmp_path / "p.parquet")[0]["a"]
    assert (entry.audio, entry.text, entry.archive) == (str(tmp_path / "x.wav"), "hi", None)
    pq.write_table(pa.Table.from_pylist([{"audio": WAV, "text": "hi"}]), tmp_path / "q.parquet")
    assert read(tmp_path / "q.parquet")[0]["q-00000000"].archive == "parquet"
    everywhere = [{"audio": {"bytes": None, "path": "x.wav"}}]
    pq.write_table(
        pa.Table.from_pylist(
            everywhere, pa.schema([("audio", pa.struct([("bytes", pa.binary()), ("path", pa.string())]))])
        ),
        tmp_path / "r.parquet",
    )
    assert read(tmp_path / "r.parquet")[0]["x"].archive is None


def test_a_broken_parquet_file_is_a_reject(tmp_path: Path):
    (tmp_path / "x.parquet").write_bytes(b"PAR1" + bytes(100))
    assert read(tmp_path)[1] == {"x.parquet": "archive_damaged"}


# -- tar ---------------------------------------------------------------------------------------------------------------


def make_tar(path: Path, members: dict[str, bytes], mode: str = "w") -> Path:
    with tarfile.open(path, mode) as archive:
        for name, body in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(body)
            archive.addfile(info, io.BytesIO(body))
    return path


@pytest.mark.parametrize("mode", ["w", "w:gz"])
def test_webdataset_tars(tmp_path: Path, mode: str):
    path = make_tar(
        tmp_path / "shard-000.tar",
        {
            "./a.flac": wav(0.2),
            "./a.txt": b"from txt",
            "d/b.seg1.wav": WAV,
            "d/b.json": b'{"text": "from json", "speaker": "s", "words": [{"w": "x", "start": 0, "end": 1}]}',
            "c.wav": WAV,
            "c.json": b"{broken",
            "._a.flac": b"fork",
        },
        mode,
    )
    entries, rejects = read(path)
    assert {i: (e.text, e.speaker) for i, e in entries.items()} == {
        "a": ("from txt", None),
        "d/b.seg1": ("from json", "s"),
    }
    assert rejects == {"c": "bad_json"}
    with tar.TarReader(str(path)) as reader:
        assert reader.read(entries["d/b.seg1"].row()) == WAV
        assert reader.read(entries["a"].row()) == wav(0.2)
    assert "shard-000/a" in read(path, archive_ids=True)[0]


def test_tricks_in_a_tar_are_rejected_and_nothing_is_unpacked(tmp_path: Path):
    path = make_tar(tmp_path / "t.tar", {"../../out.wav": WAV, "/abs.wav": WAV, "a/../../b.wav": WAV, "good.wav": WAV})
    with tarfile.open(path, "a") as archive:
        for kind, name in ((tarfile.SYMTYPE, "link.wav"), (tarfile.LNKTYPE, "hard.wav"), (tarfile.CHRTYPE, "dev.wav")):
            info = tarfile.TarInfo(name)
            info.type, info.linkname = kind, "/etc/passwd"
            archive.addfile(info)
    entries, rejects = read(path)
    assert list(entries) == ["good"]
    assert sorted(rejects.values()) == ["bad_id"] * 3 + ["bad_member"] * 3
    assert sorted(p.name for p in tmp_path.rglob("*")) == ["t.tar"]


@pytest.mark.parametrize("cut", [0.3, 0.55, 0.9])
def test_a_tar_that_breaks_off_keeps_what_came_before(tmp_path: Path, cut: float):
    path = make_tar(tmp_path / "t.tar", {f"{i}.wav": WAV for i in range(8)})
    path.write_bytes(path.read_bytes()[: int(cut * 8 * 2560)])
    entries, rejects = read(path)
    assert rejects == {"t.tar": "archive_damaged"}
    whole = 0
    with tar.TarReader(str(path)) as reader:
        for entry in entries.values():
            try:
                whole += reader.read(entry.row()) == WAV
            except BadInput as error:
                assert error.code == "archive_damaged"  # noqa: PT017 - the last one may be cut
    assert whole == int(cut * 8)


def test_a_damaged_header_inside_a_tar_is_not_taken_for_its_end(tmp_path: Path):
    path = make_tar(tmp_path / "t.tar", {f"{i}.wav": WAV for i in range(4)})
    data = bytearray(path.read_bytes())
    data[2 * 2560 + 148] ^= 0xFF  # checksum of the third header
    path.write_bytes(data)
    entries, rejects = read(path)
    assert list(entries) == ["0", "1"]
    assert rejects == {"t.tar": "archive_damaged"}


def test_a_member_size_that_lies_costs_no_memory(tmp_path: Path):
    path = make_tar(tmp_path / "t.tar", {"a.wav": WAV})
    with tar.TarReader(str(path)) as reader, pytest.raises(BadInput, match="breaks off"):
        reader.read({"start": 512, "size": 1 << 50})


# -- lhotse ------------------------------------------------------------------------------------------------------------


def cut(**changes: object) -> dict[str, object]:
    recording = {
        "id": "rec",
        "sources": [{"type": "file", "channels": [0], "source": "audio/rec.wav"}],
        "sampling_rate": 16000,
        "num_samples": 80000,
        "duration": 5.0,
    }
    said = {
        "id": "sup",
        "recording_id": "rec",
        "start": 0.0,
        "duration": 2.0,
        "channel": 0,
        "text": "hello world",
        "language": "en",
        "speaker": "s",
        "alignment": {"word": [["hello", 0.1, 0.4, 0.9], ["", 0.5, 0.1, None], ["world", 0.6, 0.5, None]]},
    }
    made = {"id": "cut-1", "start": 1.5, "duration": 2.0, "channel": 0, "supervisions": [said], "recording": recording}
    return {**made, "type": "MonoCut", **changes}


def test_lhotse_cuts(tmp_path: Path):
    bad_source = {"sources": [{"type": "command", "channels": [0], "source": "rm -rf"}]}
    stereo = {"sources": [{"type": "file", "channels": [0, 1], "source": "x.wav"}]}
    files = {"sources": [{"type": "file", "channels": [i], "source": f"{i}.wav"} for i in (0, 1)]}
    text = jsonl(
        cut(),
        cut(id="mixed", type="MixedCut"),
        cut(id="command", recording=bad_source),
        cut(id="right", recording=stereo, channel=1),
        cut(id="second file", recording=files, channel=1),
        cut(id="no channel", recording=stereo, channel=2),
        cut(id="both", recording=stereo, channel=[0, 1]),
        {"id": "bare"},
    )
    (tmp_path / "cuts_train.jsonl.gz").write_bytes(gzip.compress(text.encode()))
    entries, rejects = read(tmp_path)
    entry = entries["cut-1"]
    assert (entry.audio, entry.offset, entry.duration) == (str(tmp_path / "audio/rec.wav"), 1.5, 2.0)
    assert (entry.text, entry.speaker, entry.language) == ("hello world", "s", "en")
    assert [(w["text"], w["start"]) for w in entry.words or []] == [("hello", 0.1), ("world", 0.6)]
    assert entry.channel is None
    assert (entries["right"].audio, entries["right"].channel) == (str(tmp_path / "x.wav"), 1)
    assert (entries["second file"].audio, entries["second file"].channel) == (str(tmp_path / "1.wav"), None)
    assert rejects == dict.fromkeys(["mixed", "command", "no channel", "both", "bare"], "bad_cut")


# -- what all forms share ----------------------------------------------------------------------------------------------


@given(st.text(max_size=40))
def test_an_accepted_id_is_a_safe_name(id: str):
    try:
        check_id(id)
    except BadInput as error:
        assert error.code == "bad_id"  # noqa: PT017 - either outcome is right
        return
    assert id.strip()
    assert not id.startswith("/")
    assert ".." not in id.split("/")
    assert id.encode().decode() == id
    assert not any(ord(c) < 32 for c in id)


def test_an_id_may_be_as_long_as_the_limit_and_no_longer():
    assert check_id("é" * MAX_ID)
    with pytest.raises(BadInput, match="513"):
        check_id("x" * (MAX_ID + 1))


@given(st.text())
def test_text_keeps_its_words_and_loses_only_outer_space_and_newlines(text: str):
    try:
        found = clean_text(text)
    except BadInput:
        return
    assert found == found.strip()
    assert not set(found) & set("\r\n\v\f\x85\u2028\u2029")
    assert found.split() == text.split()
    assert clean_text(found) == found


@given(st.text())
def test_printable_text_can_always_be_written(text: str):
    assert all(ord(c) >= 32 for c in printable(text).encode().decode())


@settings(max_examples=200)
@given(st.lists(st.sampled_from(["..", ".", "a", "b c", "ü", "", "..."]), min_size=1, max_size=8).map("/".join))
@pytest.mark.parametrize(
    ("manifest", "root", "limit"),
    [
        ("memory://data/corpus/lists/m.jsonl", None, "memory:/data/corpus"),
        ("/data/corpus/lists/m.jsonl", "/data/corpus", "/data/corpus"),
    ],
)
def test_a_relative_path_stays_in_the_root_or_near_a_remote_manifest(
    manifest: str, root: str | None, limit: str, path: str
):
    base = Base.of(manifest, root)
    try:
        found = base.resolve(path)
    except BadInput as error:
        assert error.code in ("path_outside", "bad_path")  # noqa: PT017 - either outcome is right
        return
    if not path.startswith("/"):
        assert Path(limit) in [Path(found), *Path(found).parents]
        assert ".." not in found.split("/")
