"""Commands that do work, end to end in this process, on a recipe of small steps over sounds of the demo corpus."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from helpers.small_recipe import SMALL_RECIPE

from speechprep.artifacts import manifest
from speechprep.cli import main
from speechprep.demo import corpus_path
from speechprep.pipelines.driver.record import read_record

RECIPE = (
    SMALL_RECIPE
    + """\
  - stage: pack
    options: {context: 64}
  - stage: index
"""
)


def call(*args: str) -> int:
    with pytest.raises(SystemExit) as left:
        main([str(a) for a in args])
    return int(left.value.code or 0)


@pytest.fixture(scope="module")
def corpus(tmp_path_factory) -> Path:
    """Six sounds and two sentences of the demo corpus."""
    folder = tmp_path_factory.mktemp("corpus")
    lines = [json.loads(line) for line in (corpus_path() / "manifest.jsonl").read_text().splitlines()]
    speech = [entry for entry in lines if entry["text"]][:2]
    sounds = [entry for entry in lines if not entry["text"]][:6]
    for entry in speech + sounds:
        (folder / entry["audio"]).parent.mkdir(exist_ok=True)
        shutil.copy(corpus_path() / entry["audio"], folder / entry["audio"])
    (folder / "manifest.jsonl").write_text("".join(json.dumps(entry) + "\n" for entry in speech + sounds))
    return folder


@pytest.fixture(scope="module")
def recipe(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("recipe") / "small.yaml"
    path.write_text(RECIPE)
    return path


@pytest.fixture(scope="module")
def made(corpus, recipe, tmp_path_factory) -> Path:
    """The out folder of one run; tests that change anything copy it."""
    out = tmp_path_factory.mktemp("made") / "out"
    assert call("run", recipe, "--input", corpus, "--out", out, "--workers", 1, "--quiet") == 0
    return out


@pytest.fixture
def own(made, tmp_path) -> Path:
    return Path(shutil.copytree(made, tmp_path / "out"))


def test_a_run_leaves_its_record_and_a_report(made):
    record = json.loads((made / "run.json").read_text())
    assert record["recipe"] == "small"
    assert record["status"] == "done"
    assert [s["name"] for s in record["stages"]][:3] == ["ingest", "sample", "cluster"]
    units = next(s for s in record["stages"] if s["name"] == "units")
    assert units["rows"] == 8
    assert units["audio_seconds"] > 20
    assert units["times_real_time"] > 0
    assert units["workers"] == 1
    assert record["started"] <= record["finished"]
    assert (made / "report.html").stat().st_size > 10_000


def test_a_second_run_does_nothing_and_touches_nothing(own, corpus, recipe, capsys):
    before = {p: (p.stat().st_mtime_ns, p.read_bytes()) for p in own.rglob("*") if p.is_file()}
    assert call("run", recipe, "--input", corpus, "--out", own, "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert all(stage["reused"] for stage in found["stages"])
    after = {p: (p.stat().st_mtime_ns, p.read_bytes()) for p in own.rglob("*") if p.is_file()}
    assert after == before


def test_json_is_all_there_is_on_stdout(own, corpus, recipe, capsys):
    shutil.rmtree(own / "index")
    assert call("run", recipe, "--input", corpus, "--out", own, "--json", "--workers", 1) == 0
    told = capsys.readouterr()
    found = json.loads(told.out)
    assert found["status"] == "done"
    assert [s["name"] for s in found["stages"] if s["made"]] == ["index"]
    assert told.err == ""
    record = json.loads((own / "run.json").read_text())
    kept = next(s for s in record["stages"] if s["name"] == "units")
    assert not kept["reused"], "a step that was there keeps the record of the run that made it"


def test_the_final_table_names_every_step(own, corpus, recipe, capsys):
    assert call("run", recipe, "--input", corpus, "--out", own) == 0
    told = capsys.readouterr()
    for step in ("ingest", "sample", "cluster", "units", "subword", "interleave", "pack", "index"):
        assert step in told.out
    assert "nothing to do" in told.out
    assert "\x1b" not in told.out + told.err


def test_a_run_that_fails_is_recorded_and_what_was_done_stays(corpus, recipe, tmp_path, capsys):
    out = tmp_path / "out"
    code = call("run", recipe, "-i", corpus, "-o", out, "--set", "cluster.k=30", "--set", "cluster.min_perplexity=1")
    assert code == 2
    assert "collapsed" in capsys.readouterr().err
    record = json.loads((out / "run.json").read_text())
    assert record["status"] == "failed"
    assert "collapsed" in record["error"]["message"]
    assert [s["name"] for s in record["stages"]] == ["ingest", "sample"]
    assert manifest.find(str(out / "sample")) is not None


def test_too_many_rejects_end_the_run_with_exit_code_three(corpus, recipe, tmp_path, capsys):
    bad = Path(shutil.copytree(corpus, tmp_path / "bad"))
    for path in sorted((bad / "sounds").iterdir())[:3]:
        path.write_bytes(b"")
    assert call("run", recipe, "-i", bad, "-o", tmp_path / "out", "--workers", 1) == 3
    err = capsys.readouterr().err
    assert "rejected 3 of 8" in err
    assert "audio_empty 3" in err


def test_an_out_folder_of_another_recipe_is_left_as_it_is(own, corpus, recipe, capsys):
    data = [p for p in own.rglob("*") if p.is_file() and p.name not in {"run.json", "run.log"}]
    before = {p: p.read_bytes() for p in data}
    assert call("run", recipe, "--input", corpus, "--out", own, "--set", "cluster.k=8") == 2
    assert "was made with other options or inputs (config.k: 16 -> 8)" in capsys.readouterr().err
    assert {
        p: p.read_bytes() for p in own.rglob("*") if p.is_file() and p.name not in {"run.json", "run.log"}
    } == before


def test_plan_tells_what_is_done_and_what_waits_and_leaves_nothing(made, corpus, recipe, tmp_path, capsys):
    out = tmp_path / "new"
    assert call("plan", recipe, "--input", corpus, "--out", out, "--json") == 0
    states = {s["name"]: s for s in json.loads(capsys.readouterr().out)["steps"]}
    assert states["ingest"]["state"] == "todo"
    assert states["ingest"]["todo"] == 2
    assert states["units"]["state"] == "waits"
    assert not out.exists()

    before = sorted(made.rglob("*"))
    assert call("plan", recipe, "--input", corpus, "--out", made, "--json", "--set", "cluster.k=8") == 0
    states = {s["name"]: s["state"] for s in json.loads(capsys.readouterr().out)["steps"]}
    assert states["sample"] == "done"
    assert states["cluster"] == "conflict"
    assert states["units"] == "waits"
    assert sorted(made.rglob("*")) == before


def test_a_stage_alone_takes_its_options_from_a_recipe_and_from_set(made, tmp_path, recipe, capsys):
    out = tmp_path / "packed"
    args = ["pack", "--input", made, "--out", out, "--recipe", recipe, "--set", "split=false", "--json"]
    assert call(*args, "--workers", 1) == 0
    found = json.loads(capsys.readouterr().out)
    assert [s["name"] for s in found["stages"]] == ["pack"]
    config = manifest.read(str(out)).made_of["config"]
    assert (config["context"], config["split"]) == (64, False)


def test_cluster_alone_draws_its_sample_first(made, tmp_path, capsys):
    out = tmp_path / "run" / "codebook"
    args = ["cluster", "--input", made / "utterances", "--out", out, "--set", "k=8", "--json", "--workers", 1]
    assert call(*args) == 0
    assert [s["name"] for s in json.loads(capsys.readouterr().out)["stages"]] == ["sample", "cluster"]


def test_slices_make_their_share_and_say_what_is_missing(made, tmp_path, capsys):
    out = tmp_path / "units"
    args = ["units", "--input", made, "--out", out, "--workers", 1, "--quiet"]
    assert call(*args, "--slice", "0/2") == 5
    assert "this slice is complete" in capsys.readouterr().err
    assert call(*args, "--slice", "1/2") == 0
    assert manifest.read(str(out)).content == manifest.read(str(made / "units")).content


def test_decode_gives_rows_back(made, capsys):
    assert call("decode", made, "--json") == 0
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert len(rows) == 8
    assert all(row["kind"] == "unit" for row in rows)
    assert call("decode", made / "tokens", "--id", rows[0]["id"]) == 0
    assert rows[0]["id"] in capsys.readouterr().out
    assert call("decode", made / "tokens", "--id", "nobody") == 2
    assert "nobody" in capsys.readouterr().err


def test_search_finds_a_sound_by_its_description(made, capsys):
    wanted = json.loads((corpus_path() / "manifest.jsonl").read_text().splitlines()[-1])
    del wanted
    assert call("search", made, "a dog barks", "-k", 2, "--json") == 0
    hits = json.loads(capsys.readouterr().out)
    assert 1 <= len(hits) <= 2
    assert hits[0]["score"] >= hits[-1]["score"]


def test_inspect_tells_of_a_run_and_of_each_folder(made, capsys):
    assert call("inspect", made) == 0
    assert "utterances" in capsys.readouterr().out
    assert call("inspect", made / "utterances", "--json", "--rows", 2) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["kind"] == "utterances"
    assert len(found["rows_shown"]) == 2
    assert found["schema"]["duration"] == "double"
    for name in ("units", "codebook", "packed", "index", "tokens"):
        assert call("inspect", made / name) == 0
        assert name in capsys.readouterr().out


def test_verify_is_content_with_what_was_made(made, capsys):
    assert call("verify", made, "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert found["ok"]
    assert len(found["folders"]) == 8


def test_the_report_is_built_anew_when_the_data_have_changed(own, corpus, recipe):
    (own / "report.html").write_text("old")
    record = json.loads((own / "run.json").read_text())
    (own / "run.json").write_text(json.dumps({**record, "report_of": "other data"}))
    assert call("run", recipe, "--input", corpus, "--out", own, "--quiet") == 0
    assert (own / "report.html").stat().st_size > 10_000
    assert read_record(str(own))["report_of"] == record["report_of"]


@pytest.mark.slow
def test_the_demo_runs_from_nothing_to_report_and_all_of_it_is_sound(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert call("demo") == 0
    told = capsys.readouterr()
    assert "open demo-out/report.html" in told.out
    assert "speechprep search demo-out/index" in told.out
    assert call("verify", "demo-out") == 0
    assert call("decode", "demo-out", "--json") == 0
    lines = capsys.readouterr().out.splitlines()
    assert {json.loads(line)["kind"] for line in lines if line.startswith("{")} >= {"unit", "text", "ast"}
    assert call("search", "demo-out", "a dog barks", "--json") == 0
    assert json.loads(capsys.readouterr().out)[0]["id"] == "dog-bark"
