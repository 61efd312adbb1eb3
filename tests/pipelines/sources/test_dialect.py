"""A dialect is one declaration: found in its file or by an entry point, recognised, read, and listed."""

from __future__ import annotations

from pathlib import Path

import pytest

from speechprep import registry
from speechprep.errors import ConfigError
from speechprep.pipelines import sources
from speechprep.pipelines.sources.dialect import dialects, find_dialect
from speechprep.pipelines.sources.entry import Options
from speechprep.pipelines.stages import ingest

BUILT_IN = """arrow commonvoice fairseq filelist folder jsonl kaldi lhotse librispeech ljspeech nemo_tarred parquet shar
table tar text timed timit vctk zip""".split()  # noqa: SIM905 - a list would be longer


def test_the_built_in_dialects_are_found_by_their_files():
    assert sorted(dialects()) == BUILT_IN
    assert all(dialect.summary for dialect in dialects().values())


def test_every_dialect_can_be_named_and_an_unknown_one_lists_them():
    for name in BUILT_IN:
        assert ingest.STAGE.configure({"format": name}).format == name
    with pytest.raises(ConfigError, match="choose auto or one of: arrow, commonvoice"):
        ingest.STAGE.configure({"format": "nothing"})
    with pytest.raises(ConfigError, match="unknown format"):
        find_dialect("nothing")


def test_the_help_of_the_option_names_every_built_in_dialect():
    description = ingest.Config.model_fields["format"].description
    assert all(name in description for name in BUILT_IN)


@pytest.fixture
def lists(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(registry.FAMILIES, "dialects", {"lists": "helpers.toy_dialect:DIALECT"})


@pytest.mark.usefixtures("lists")
def test_a_dialect_of_another_package_is_recognised_read_and_named(tmp_path: Path):
    (tmp_path / "files.lst").write_text("#lists\na.wav one\nb.wav two\n")
    assert sources.locate(str(tmp_path / "files.lst")) == [("lists", str(tmp_path / "files.lst"))]
    assert sources.locate(str(tmp_path)) == [("lists", str(tmp_path / "files.lst"))]
    assert sources.locate(str(tmp_path), "lists") == [("lists", str(tmp_path / "files.lst"))]
    entries = list(sources.read(str(tmp_path), "auto", Options()))
    assert [(entry.id, entry.text) for entry in entries] == [("a", "one"), ("b", "two")]
    assert ingest.STAGE.configure({"format": "lists"}).format == "lists"


@pytest.mark.parametrize("whole", [False, True])
def test_a_file_of_two_dialects_is_an_error_that_names_both(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, whole: bool
):
    (tmp_path / "files.lst").write_text("#lists\na.wav one\n")
    place = tmp_path if whole else tmp_path / "files.lst"
    both = {"greedy": "helpers.toy_dialect:GREEDY", "lists": "helpers.toy_dialect:DIALECT"}
    for order in (both, dict(reversed(both.items()))):
        monkeypatch.setitem(registry.FAMILIES, "dialects", order)
        with pytest.raises(ConfigError, match=r"files\.lst is recognised as greedy and lists; .*format="):
            sources.locate(str(place))
        assert sources.locate(str(place), "lists") == [("lists", str(tmp_path / "files.lst"))]


def test_a_general_dialect_takes_what_no_other_recognises(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    dialects = {"every": "helpers.toy_dialect:GENERAL", "lists": "helpers.toy_dialect:DIALECT"}
    monkeypatch.setitem(registry.FAMILIES, "dialects", dialects)
    for name, text, form in (("a.lst", "#lists\n", "lists"), ("b.lst", "else\n", "every")):
        (tmp_path / name).write_text(text)
        assert sources.locate(str(tmp_path / name))[0][0] == form


def test_two_dialects_of_one_name_are_refused(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(registry.FAMILIES, "dialects", {"x": "helpers.toy_dialect:SECOND_TAR"})
    with pytest.raises(ConfigError, match="two input dialects are named 'tar'"):
        dialects()
