"""Counts, verdicts, places and bytes of an export."""

from __future__ import annotations

import hashlib
import json
import sys
import warnings
from pathlib import Path

import pytest
from helpers import export_runs as runs

import speechprep
from speechprep.artifacts.run import open_run
from speechprep.cli import app
from speechprep.errors import ConfigError, MissingBackend, StaleArtifact
from speechprep.pipelines.export import export as module
from speechprep.pipelines.export.formats import FORMATS
from speechprep.pipelines.export.rows import Judge, Source, read_utterances, recording_key


def available(name: str) -> None:
    package = FORMATS[name].package
    if package:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            pytest.importorskip(package)


@pytest.fixture
def run(tmp_path: Path) -> Path:
    return runs.write_run(tmp_path / "run", runs.corpus(tmp_path / "corpus"), 2)


def totals(run: Path) -> dict[str, int]:
    """Rows of the run by tier."""
    source = Source.of(open_run(str(run)))
    names = {f"#{id}": id for id, _ in source.places()} | {recording_key(*place): "r" for place in source.places()}
    utterances = list(read_utterances(source, Judge(kept=False), names))
    return {tier: sum(len(u.spans(tier)) for u in utterances) for tier in source.tiers} | {
        "utterances": len(utterances)
    }


@pytest.mark.parametrize("to", FORMATS)
def test_every_row_is_exported_or_counted_with_a_reason(run, tmp_path, to):
    available(to)
    result = speechprep.export(run, to=to, out=tmp_path / "out")
    counted = {**result.rows, "utterances": result.utterances}
    assert result.utterances > 0
    assert {tier: n + sum(result.left_out.get(tier, {}).values()) for tier, n in counted.items()} == {
        tier: n for tier, n in totals(run).items() if tier in counted
    }
    reasons = result.left_out["utterances"]
    assert {reasons["high_wer"], reasons["not_aligned"], reasons["no_audio"]} == {1}
    record = json.loads((tmp_path / "out/_export.json").read_text())
    assert record["rows"] == result.rows
    assert record["left_out"] == result.left_out
    assert "m/3" in record["renamed"]["utterances"].values()


@pytest.mark.parametrize("to", FORMATS)
def test_the_same_rows_give_the_same_bytes_for_any_shards_and_sort_memory(tmp_path, monkeypatch, to):
    available(to)
    rows = runs.corpus(tmp_path / "corpus")
    digests = []
    for n, order in ((1, rows), (3, rows[::-1])):
        run = runs.write_run(tmp_path / f"run-{n}", order, n)
        monkeypatch.setattr("speechprep.pipelines.export.order.sort_records.__defaults__", (n,))
        speechprep.export(run, to=to, out=tmp_path / "out", audio="copy")
        files = sorted(p for p in (tmp_path / "out").rglob("*") if p.is_file())
        digests.append({str(p): hashlib.sha256(p.read_bytes()).hexdigest() for p in files})
        for path in files:
            path.unlink()
        for path in sorted((tmp_path / "out").rglob("*"), reverse=True):
            path.rmdir()
    assert digests[0] == digests[1]


def test_all_utterances_and_other_thresholds_can_be_exported(run, tmp_path):
    every = speechprep.export(run, to="nemo", out=tmp_path / "all", kept=False)
    assert every.utterances == 7
    assert every.left_out["utterances"] == {"audio_missing": 1, "no_audio": 1}
    judged = speechprep.export(run, to="nemo", out=tmp_path / "judged", filters={"max_duration": 2.5})
    assert judged.left_out["utterances"]["too_long"] == 4
    with pytest.raises(ConfigError, match="min_trusts"):
        speechprep.export(run, to="nemo", out=tmp_path / "x", filters={"min_trusts": 1})


def test_a_folder_with_files_stays_as_it_is(run, tmp_path):
    (tmp_path / "out").mkdir()
    speechprep.export(run, to="ctm", out=tmp_path / "out")
    with pytest.raises(ConfigError, match="not empty"):
        speechprep.export(run, to="nemo", out=tmp_path / "out")
    assert {p.name for p in (tmp_path / "out").iterdir()} == {"words.ctm", "_export.json"}
    with pytest.raises(ConfigError, match="not a local folder"):
        speechprep.export(run, to="ctm", out="gs://bucket/x")


def test_a_failed_export_leaves_nothing(run, tmp_path, monkeypatch):
    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(module, "_finish", fail)
    with pytest.raises(OSError, match="No space"):
        speechprep.export(run, to="nemo", out=tmp_path / "out/inner")
    assert not list((tmp_path / "out").iterdir())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"to": "praat"}, "choose one of textgrid, ctm"),
        ({"to": "ctm", "rows": ["word"]}, "choose from segments"),
        ({"to": "fairseq", "rows": ["words"]}, "holds no words"),
        ({"to": "ctm", "audio": "move"}, "'path' or 'copy'"),
    ],
)
def test_wrong_options_are_named(run, tmp_path, options, message):
    with pytest.raises(ConfigError, match=message):
        speechprep.export(run, out=tmp_path / "out", **options)
    assert not (tmp_path / "out").exists()


def test_a_run_without_units_or_words(tmp_path):
    folder = runs.write_run(tmp_path / "run", runs.corpus(tmp_path / "corpus"), units=False)
    with pytest.raises(ConfigError, match="the run has no units"):
        speechprep.export(folder, to="ctm", out=tmp_path / "out", rows=["units"])
    with pytest.raises(StaleArtifact, match="utterances"):
        speechprep.export(folder / "words", to="ctm", out=tmp_path / "out")
    given = speechprep.export(folder / "utterances", to="nemo", out=tmp_path / "given")
    assert given.rows["segments"] == 7


def test_an_absent_package_is_named_with_its_extra(run, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "praatio", None)
    monkeypatch.setattr("speechprep.pipelines.export.formats.find_spec", lambda name: None)
    with pytest.raises(MissingBackend, match=r"praatio.*speechprep\[export\]"):
        speechprep.export(run, to="textgrid", out=tmp_path / "out")


def test_stored_audio_is_written_beside_a_manifest(tmp_path):
    data = runs.write_audio(tmp_path / "x.flac", 1.0).read_bytes()
    rows = [runs.row("a", None, 1.0, "one", runs.words((0.0, 0.5, "one")), audio_bytes=data)]
    run = runs.write_run(tmp_path / "run", rows)
    speechprep.export(run, to="nemo", out=tmp_path / "out")
    (line,) = (tmp_path / "out/manifest.jsonl").read_text().splitlines()
    assert json.loads(line)["audio_filepath"] == "audio/a.flac"
    assert (tmp_path / "out/audio/a.flac").read_bytes() == data


def test_the_command_prints_the_counts(run, tmp_path, capsys):
    assert app.run(["export", str(run), "--to", "ctm", "--out", str(tmp_path / "out"), "--json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert printed["rows"] == {"words": 12}
    assert (
        app.run(["export", str(run), "--to", "ctm", "--out", str(tmp_path / "two"), "--set", "max_duration=2.5"]) == 0
    )
    text = capsys.readouterr().out
    assert "too_long" in text
    assert "exported: 3 words" in text


@pytest.mark.parametrize(
    ("option", "value"), [("duplicates", "audio"), ("min_snr_db", 10.0), ("max_clipped_share", 0.1)]
)
def test_limits_that_need_another_dataset_name_the_command(run, tmp_path, option, value):
    with pytest.raises(ConfigError, match=rf"speechprep filter RUN --set {option}={value} --out RUN/filtered"):
        module.export(run, to="ctm", out=str(tmp_path / "out"), filters={option: value})
