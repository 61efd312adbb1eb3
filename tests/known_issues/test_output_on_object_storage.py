"""`--out s3://bucket/x` ended in an internal error: the URI was made a local path, for temporary files.

The path `memory:/bucket/run` in the working directory is a valid one, so tests with `memory://` passed and left files
there. Inputs on object storage failed in `readline`, and `decode` looked for a key with "..".
"""

from __future__ import annotations

import json
import os
import shutil
import tempfile

import pytest
from helpers import object_store
from helpers import toy_stages as toy
from helpers.small_recipe import SMALL_RECIPE

from speechprep.artifacts import storage
from speechprep.cli import main
from speechprep.demo import corpus_path
from speechprep.pipelines.engine.beam.runner import Engine
from speechprep.pipelines.engine.failures import WorkFailed
from speechprep.pipelines.engine.plan import Step
from speechprep.pipelines.engine.run import Options, UnfinishedSlices, run_steps
from speechprep.pipelines.inspect.verify import verify

RUN = "teststore://bucket/run"
RECIPE = SMALL_RECIPE


@pytest.fixture(autouse=True)
def objects(tmp_path, monkeypatch):
    """The objects of an empty store. No file may stay in the working directory or among the temporary ones."""
    here, temporary = tmp_path / "here", tmp_path / "temporary"
    here.mkdir()
    temporary.mkdir()
    monkeypatch.chdir(here)
    monkeypatch.setattr(tempfile, "tempdir", str(temporary))
    yield object_store.use(monkeypatch)
    assert list(here.iterdir()) == []
    assert list(temporary.iterdir()) == []


def steps(out: str, **double) -> list[Step]:
    numbers, doubles, total = (f"{out}/{name}" for name in ("numbers", "doubles", "total"))
    return [
        Step("count", toy.COUNT, toy.COUNT.configure({"bad": 7}), 0, {}, numbers, ["nowhere"]),
        Step("double", toy.DOUBLE, toy.DOUBLE.configure(double), 0, {"numbers": numbers}, doubles),
        Step("sum", toy.SUM, toy.SUM.configure({}), 0, {"doubles": doubles}, total),
    ]


def run(work: list[Step], workers: int = 1, **options) -> list[int]:
    results = run_steps(work, Options(engine=Engine(workers=workers), max_reject_fraction=1.0, **options))
    return [result.tasks_run for result in results]


@pytest.mark.parametrize("workers", [1, 3])
def test_a_chain_writes_the_objects_that_it_writes_as_local_files(tmp_path, objects, workers):
    assert run(steps(RUN), workers) == [4, 4, 1]
    assert verify(RUN).problems == []
    before = dict(objects)
    assert run(steps(RUN), workers) == [0, 0, 0]
    assert objects == before
    run(steps(str(tmp_path / "local")))
    local = {p.relative_to(tmp_path).as_posix(): p for p in (tmp_path / "local").rglob("*") if p.is_file()}
    assert objects == {f"bucket/run/{name.removeprefix('local/')}": path.read_bytes() for name, path in local.items()}


def test_a_lost_object_is_computed_again(objects):
    run(steps(RUN))
    before = dict(objects)
    del objects["bucket/run/doubles/part-00001-of-00004.parquet"]
    objects["bucket/run/total/deep/note.txt"] = b"cut"
    assert run(steps(RUN)) == [0, 1, 1]
    assert objects == before


def test_slices_on_one_machine_complete_one_folder(objects):
    with pytest.raises(UnfinishedSlices):
        run(steps(RUN)[:1], slice=(0, 2))
    run(steps(RUN)[:1], slice=(1, 2))
    assert run(steps(RUN)) == [0, 4, 1]


def test_an_error_leaves_no_temporary_folder():
    with pytest.raises(WorkFailed):
        run(steps(RUN, fail=True))


def call(*args: str) -> int:
    with pytest.raises(SystemExit) as left:
        main(list(args))
    return int(left.value.code or 0)


def test_commands_read_and_write_object_storage(tmp_path, capsys):
    corpus, recipe = tmp_path / "corpus", tmp_path / "small.yaml"
    entries = [json.loads(line) for line in (corpus_path() / "manifest.jsonl").read_text().splitlines()][:6]
    for entry in entries:
        (corpus / entry["audio"]).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(corpus_path() / entry["audio"], corpus / entry["audio"])
    (corpus / "manifest.jsonl").write_text("".join(json.dumps(entry) + "\n" for entry in entries))
    recipe.write_text(RECIPE)
    object_store.put_folder(corpus, "teststore://bucket/corpus")
    command = [str(recipe), "--input", "teststore://bucket/corpus", "--out", RUN]

    assert call("plan", *command) == 0
    assert call("run", *command, "--workers", "1") == 0
    capsys.readouterr()
    assert call("run", *command, "--workers", "1", "--json") == 0
    assert [stage["made"] for stage in json.loads(capsys.readouterr().out)["stages"]] == [0] * 6
    assert call("plan", *command, "--json") == 0
    assert {step["state"] for step in json.loads(capsys.readouterr().out)["steps"]} == {"done"}
    assert call("verify", RUN) == 0
    for folder in (RUN, f"{RUN}/tokens", f"{RUN}/codebook"):
        assert call("inspect", folder) == 0
    capsys.readouterr()
    for folder in (RUN, f"{RUN}/tokens"):
        assert call("decode", folder, "--json") == 0
        assert len(capsys.readouterr().out.splitlines()) == 6


def test_the_folder_of_an_object_is_cut_from_its_uri():
    assert storage.parent(f"{RUN}/tokens/") == RUN
    assert storage.parent("relative") == os.getcwd()
    assert storage.parent("/top") == "/"
