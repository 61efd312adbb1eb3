from __future__ import annotations

import json

import pytest

from speechprep.errors import BadInput, ConfigError
from speechprep.models.evaluation.files import Table


@pytest.fixture
def write(tmp_path):
    def made(name, text):
        (tmp_path / name).write_bytes(text if isinstance(text, bytes) else text.encode())
        return str(tmp_path / name)

    return made


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.jsonl", '{"id": "1", "text": "one, \\"two\\""}\n\n{"id": 2, "text": ""}\n'),
        ("a.csv", 'id,text\r\n1,"one, ""two"""\r\n2,\r\n'),
        ("a.tsv", '\ufeffid\ttext\n1\tone, "two"\n2\t\n'),
        ("a.trn", ';; a comment\none, "two" (1)\n (2)\n'),
    ],
)
def test_the_same_texts_are_read_from_every_form(write, name, text):
    assert Table(write(name, text)).texts() == {"1": 'one, "two"', "2": ""}


def test_several_references_are_rows_of_one_id_or_a_list(write):
    rows = [{"id": "a", "text": ["x", "y"]}, {"id": "b", "text": "u"}, {"id": "a", "text": "z"}]
    table = Table(write("a.jsonl", "\n".join(map(json.dumps, rows))))
    assert table.lists() == {"a": ["x", "y", "z"], "b": ["u"]}


def test_ids_of_trn_are_without_case_as_for_sclite(write):
    assert Table(write("a.trn", "A (b) c (SPK-01)\n")).texts() == {"spk-01": "A (b) c"}


def test_columns_go_by_name(write):
    table = Table(write("a.tsv", "utt\tsaid\n7\tx\n"), "utt")
    assert table.texts("said") == {"7": "x"}
    with pytest.raises(ConfigError, match="no column 'text'; name one of 'utt', 'said'"):
        table.texts()
    with pytest.raises(ConfigError, match="no column 'id'"):
        Table(write("b.tsv", "utt\tsaid\n7\tx\n"))


@pytest.mark.parametrize(
    ("name", "text", "error", "message"),
    [
        ("a.jsonl", '{"id": "1", "text": "x"}\n{"id"', BadInput, r"a\.jsonl:2: not JSON"),
        ("a.jsonl", "[1]\n", BadInput, "1: not a JSON object"),
        ("a.jsonl", '{"id": "1", "text": "x"}\n{"id": "1", "text": "y"}', BadInput, r"2: id '1' occurs twice"),
        ("a.jsonl", '{"id": "1", "text": "x"}\n{"id": "2"}', BadInput, "2: 'text' is None"),
        ("a.jsonl", '{"id": "1", "text": 3}', BadInput, "'text' is 3"),
        ("a.jsonl", '{"id": "", "text": "x"}', BadInput, "'id' is ''"),
        ("a.csv", "id,text\n1,x,y\n", BadInput, "2: the number of columns differs"),
        ("a.csv", 'id,text\n1,"x"y\n', BadInput, "2: "),
        ("a.tsv", "id\ttext\n1\n", BadInput, "the number of columns differs"),
        ("a.tsv", b"id\ttext\n1\t\xff\n", BadInput, "byte 10 is not UTF-8"),
        ("a.trn", "no id here\n", BadInput, "1: not a line of .trn"),
        ("a.txt", "x", ConfigError, "use .jsonl, .tsv, .csv or .trn"),
    ],
)
def test_what_is_not_of_its_form_is_refused_by_its_line(write, name, text, error, message):
    with pytest.raises(error, match=message):
        Table(write(name, text)).texts()


def test_a_file_that_is_not_there_or_is_empty_is_refused(write, tmp_path):
    with pytest.raises(ConfigError, match="no such file"):
        Table(str(tmp_path / "none.jsonl"))
    with pytest.raises(ConfigError, match="no such file"):
        Table(str(tmp_path))
    assert Table(write("a.jsonl", "")).texts() == {}
