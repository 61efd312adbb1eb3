"""A run made by commit 847067b is read, verified and resumed by the present code.

All access goes through the command line and public functions. The run folder is described in
`tests/fixtures/run-847067b/README.md`.
"""

from __future__ import annotations

import io
import json
import os
import shutil
import subprocess
import sys
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from speechprep.artifacts.manifest import digest
from speechprep.cli import main
from speechprep.models.data import Reader, Source, VocabularyMetadata
from speechprep.pipelines.report import build_report

ROOT = Path(__file__).resolve().parents[1]
FIXTURE = Path(__file__).parent / "fixtures/run-847067b"
CORPUS = Path("/tmp/speechprep-run-847067b/corpus")  # part of the fingerprint of ingest
MODIFIED = 1_700_000_000  # time of the corpus files, part of the keys of ingest
ROWS = {
    "utterances": 4,
    "words": 4,
    "sample": 4,
    "codebook": 0,
    "units": 4,
    "subword": 0,
    "tokens": 13,
    "packed": 7,
    "pooled": 4,
    "index": 4,
}
STAGES = {
    "align": "words",
    "cluster": "codebook",
    "units": "units",
    "subword": "subword",
    "interleave": "tokens",
    "pack": "packed",
    "pool": "pooled",
    "index": "index",
}
RESUMED = [stage for stage in STAGES if stage != "align"]  # align has a later version today, with more columns
TEXTS = {
    "02-slt": "Dr. Harper counted twenty-one white boats before the fog came in.",
    "08-slt": "The Zambonari sisters sing quietly while the bread is baking.",
    "14-awb": "Listen to the waves, and tell me how far away the storm is.",
}


def speechprep(*arguments: object) -> Any:
    """Standard output of a command, which must succeed, as JSON."""
    with redirect_stdout(io.StringIO()) as printed, pytest.raises(SystemExit) as left:
        main([*map(str, arguments), "--json"])
    assert not left.value.code
    lines = printed.getvalue().strip()
    return json.loads(lines) if arguments[0] != "decode" else [json.loads(line) for line in lines.splitlines()]


def resume(run: Path, stage: str) -> dict[str, Any]:
    """The only entry in the list of stages after `speechprep STAGE` on its finished or unfinished folder."""
    out = run / STAGES[stage]
    (result,) = speechprep(stage, "--input", run, "--out", out, "--recipe", FIXTURE / "recipe.yaml")["stages"]
    return result


def checksums(folder: Path) -> dict[str, str]:
    return {shard["name"]: shard["sha256"] for shard in manifest(folder)["shards"]}


def manifest_file(folder: Path) -> Path:
    names = ("_manifest.json", "manifest.json")  # of this version, and of the earlier one
    return next(folder / name for name in names if (folder / name).exists())


def manifest(folder: Path) -> dict[str, Any]:
    return json.loads(manifest_file(folder).read_text())


def table(folder: Path) -> list[dict[str, Any]]:
    return [row for file in sorted(folder.glob("part-*.parquet")) for row in pq.read_table(file).to_pylist()]


FACTS_OF_INGEST = {"with_transcript", "without_transcript", "files", "unused_transcripts"}
NEW_FACTS = {"subword": {"codebook", "grid", "pieces"}, "tokens": {"codebook"}, "packed": {"codebook"}}  # of `extra`


def without(value: Any, names: set[str]) -> Any:
    """A value of JSON without the keys in `names`, at any depth."""
    if isinstance(value, dict):
        return {key: without(item, names) for key, item in value.items() if key not in names}
    return [without(item, names) for item in value] if isinstance(value, list) else value


def forget_new_facts(left: Path, right: Path) -> None:
    """Remove the facts that the older version did not record."""
    for folder, names in NEW_FACTS.items():
        body = manifest(right / folder)
        new = names & body["extra"].keys() - manifest(left / folder)["extra"].keys()
        if new:
            write(manifest_file(right / folder), {**body, "extra": without(body["extra"], new)})
    if "files" not in manifest(left / "utterances")["extra"]:
        for file in (manifest_file(right / "utterances"), right / "run.json"):
            write(file, without(json.loads(file.read_text()), FACTS_OF_INGEST))


def write(file: Path, body: dict[str, Any]) -> None:
    if body.pop("digest", None) is not None:
        body["digest"] = digest(body)
    file.write_text(json.dumps(body, indent=1, sort_keys=True, ensure_ascii=False) + "\n")


def assert_same_run(left: Path, right: Path, *ignore: str) -> None:
    """Equal rows and fingerprints; columns to ignore are FOLDER.COLUMN. Shards have page checksums today."""
    forget_new_facts(left, right)
    for folder in [path for path in left.iterdir() if path.is_dir() and not ignore]:
        assert manifest(folder)["fingerprint"] == manifest(right / folder.name)["fingerprint"]
    command = [sys.executable, str(ROOT / "scripts/compare_runs.py"), str(left), str(right)]
    command += [argument for column in ignore for argument in ("--ignore", column)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A copy of the old run at a new path."""
    return Path(shutil.copytree(FIXTURE / "run", tmp_path / "run"))


@pytest.fixture
def corpus() -> Path:
    """The corpus at its old path, with the old modification times."""
    shutil.copytree(FIXTURE / "corpus", CORPUS, dirs_exist_ok=True)
    for path in CORPUS.iterdir():
        os.utime(path, (MODIFIED, MODIFIED))
    return CORPUS


def test_every_folder_can_be_inspected():
    rows = {name: speechprep("inspect", FIXTURE / "run" / name)["rows"] for name in ROWS}
    assert rows == {**ROWS, "index": 0}  # the rows of an index are not in its manifest


def test_the_folders_of_the_run_are_listed_in_the_order_of_the_chain():
    assert list(speechprep("inspect", FIXTURE / "run")["datasets"]) == list(ROWS)


def test_the_summary_of_the_run_can_be_read():
    stages = speechprep("inspect", FIXTURE / "run")["run"]["stages"]
    assert {stage["kind"]: stage["rows"] for stage in stages} == {**ROWS, "index": 0}


def test_checksums_schemas_and_rows_pass_verification(run):
    result = speechprep("verify", run)
    assert result["problems"] == []
    assert len(result["folders"]) == len(ROWS)
    assert result["rows"] == sum(ROWS.values())


def test_token_rows_decode_to_the_words_of_the_transcript_and_their_times(run):
    words = {row["id"]: row for row in table(run / "words")}
    spoken = [row for row in speechprep("decode", run / "tokens") if row["id"] in TEXTS]
    assert {row["kind"] for row in spoken} >= {"unit", "text", "ast"}
    for row in spoken:
        times = [(w["text"], round(w["start"], 3), round(w["end"], 3)) for w in words[row["id"]]["words"]]
        spans = row["spans"] if row["kind"] in ("unit", "text", "ast") else row["spans"][:1]
        decoded = [(text, round(t0, 3), round(t1, 3)) for span in spans for text, t0, t1 in span["words"]]
        assert decoded == times, (row["id"], row["kind"])
        assert " ".join(text for text, _, _ in decoded) == TEXTS[row["id"]]


def test_packed_rows_decode_to_the_words_of_the_transcript(run):
    texts = {row["id"]: row["text"] for row in speechprep("decode", run / "packed") if row["kind"] == "text"}
    assert texts == TEXTS


def test_the_reader_for_training_opens_the_rows_without_torch(run):
    vocabulary = VocabularyMetadata.load(str(run / "subword"))
    reader = Reader([Source(str(run / "packed"))], context=128, vocabulary=vocabulary, batch_rows=2, end="all")
    read = np.concatenate([batch["input_ids"] for batch in reader])
    assert sorted(map(tuple, read.tolist())) == sorted(tuple(row["input_ids"]) for row in table(run / "packed"))
    rows = Reader(
        [Source(str(run / "tokens"), kinds=("ast",), documents="single", long="cut")],
        context=512,
        vocabulary=vocabulary,
        end="all",
        names=True,
    )
    names = {name for batch in rows for row in batch["names"] for name in row}
    assert names == {f"{id}#ast" for id in TEXTS}


def test_a_sound_is_retrieved_by_its_description(run):
    assert speechprep("search", run / "index", "a dog barks")[0]["id"] == "dog-bark"


def test_the_report_can_be_built(run):
    page = build_report(str(run)).read_text(encoding="utf-8")
    assert all(id in page for id in TEXTS)


@pytest.mark.parametrize("stage", RESUMED)
def test_a_finished_stage_at_another_path_needs_no_work(run, stage):
    before = {path: path.read_bytes() for path in (run / STAGES[stage]).rglob("*") if path.is_file()}
    result = resume(run, stage)
    assert (result["made"], result["reused"]) == (0, True)
    assert {path: path.read_bytes() for path in (run / STAGES[stage]).rglob("*") if path.is_file()} == before


@pytest.mark.parametrize("stage", ["units", "interleave", "pool"])
def test_one_deleted_shard_is_made_again_with_the_same_bytes(run, stage):
    folder = run / STAGES[stage]
    (folder / "part-00001-of-00002.parquet").unlink()
    result = resume(run, stage)
    assert (result["made"], result["shards"]) == (1, 2)
    assert_same_run(FIXTURE / "run", run)


@pytest.mark.parametrize("stage", RESUMED)
def test_a_deleted_folder_is_made_again_with_the_same_bytes(run, stage):
    shutil.rmtree(run / STAGES[stage])
    result = resume(run, stage)
    assert result["made"] == result["shards"]
    assert_same_run(FIXTURE / "run", run)


def test_an_interrupted_stage_makes_only_its_missing_shard(run):
    expected = checksums(run / "tokens")
    shutil.rmtree(run / "tokens")
    shutil.copytree(FIXTURE / "interrupted/tokens", run / "tokens")
    first = (run / "tokens/part-00000-of-00002.parquet").read_bytes()
    result = resume(run, "interleave")
    assert (result["made"], result["shards"]) == (1, 2)
    assert (run / "tokens/part-00000-of-00002.parquet").read_bytes() == first
    assert set(checksums(run / "tokens")) == set(expected)
    assert_same_run(FIXTURE / "run", run)


def test_a_stage_with_a_later_version_keeps_the_old_folder_and_says_so(run):
    before = {path: path.read_bytes() for path in (run / "words").rglob("*") if path.is_file()}
    command = [sys.executable, "-m", "speechprep", "align", "--input", run, "--out", run / "words"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run([*map(str, command)], capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == 2
    assert "was made with other options or inputs" in done.stderr
    assert "--rebuild" in done.stderr
    assert {path: path.read_bytes() for path in (run / "words").rglob("*") if path.is_file()} == before


def test_words_without_the_later_scores_can_be_filtered(run, tmp_path):
    speechprep("filter", run)
    options = ("--set", "min_score=-4", "--set", "max_no_speech_probability=0.5")
    speechprep("filter", run, "--out", tmp_path / "filtered", *options)
    old, new = table(run / "words"), table(tmp_path / "filtered")
    assert [row["kept"] for row in new] == [row["kept"] for row in old]
    assert {row["no_speech_probability"] for row in new} == {None}


def test_only_a_stage_with_a_later_version_is_not_complete_for_the_same_corpus(run, corpus):
    steps = speechprep("plan", FIXTURE / "recipe.yaml", "--input", corpus, "--out", run)["steps"]
    states = {step["name"]: step["state"] for step in steps}
    assert {name: states[name] for name in ("ingest", "sample", "pool", "align")} == {
        "ingest": "done", "sample": "done", "pool": "done", "align": "conflict",
    }  # fmt: skip


def test_the_same_corpus_gives_the_same_run_from_the_beginning(tmp_path, corpus):
    arguments = ("--input", corpus, "--out", tmp_path / "new", "--max-reject-fraction", 1, "--workers", 2)
    speechprep("run", FIXTURE / "recipe.yaml", *arguments)
    old, new = Path(shutil.copytree(FIXTURE / "run", tmp_path / "old")), tmp_path / "new"
    columns = table(old / "words")[0]
    assert table(old / "words") == [{name: row[name] for name in columns} for row in table(new / "words")]
    shutil.rmtree(old / "words")
    shutil.rmtree(new / "words")
    assert_same_run(old, new, "_rejects.retry")  # it was a template then
