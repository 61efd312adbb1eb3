"""`speechprep filter`: the tables, the JSON, the folder it writes, and its errors in one line."""

from __future__ import annotations

import json

import pyarrow.parquet as pq
import pytest

from speechprep.artifacts import manifest, shards
from speechprep.artifacts.schemas import WORDS
from speechprep.cli import main

WORD = {"text": "a", "start": 0.0, "end": 1.0, "score": -1.0, "timing": "aligned"}


def call(*args) -> int:
    with pytest.raises(SystemExit) as left:
        main([str(a) for a in args])
    return int(left.value.code or 0)


@pytest.fixture
def run_folder(tmp_path):
    """Two hours of words in two shards: half of the rows have doubtful times, one row is not kept."""
    made = []
    for i in range(2):
        rows = [
            {
                **dict.fromkeys(WORDS.names),
                **{"id": f"u{i}{j}", "text": "a", "words": [WORD], "duration": 360.0, "score": -1.0 - j},
                **{"words_per_second": 2.0, "trust": 0.9 if j % 2 else 0.2},
                **{"kept": j != 9, "reason": "low_score" if j == 9 else None},
            }
            for j in range(10)
        ]
        name = shards.shard_name(i, 2)
        with shards.ShardWriter(str(tmp_path / "run" / "words" / name), WORDS) as writer:
            writer.write(rows)
        made.append(manifest.Shard(name, name, writer.sha256, writer.size, rows=10, seconds=3600.0))
    body = manifest.Manifest("words", "f", "c", {"stage": "align", "inputs": {}}, made, {}, [], {}, {})
    manifest.write(str(tmp_path / "run" / "words"), body)
    return tmp_path / "run"


def test_without_thresholds_it_shows_what_is_kept_now_and_how_the_scores_lie(run_folder, capsys):
    assert call("filter", run_folder) == 0
    said = capsys.readouterr().out
    assert "kept: 18 rows of 20, 1.80 h of 2.00 h (90.0%)" in said
    assert "low_score" in said
    assert "trust" in said
    assert "99%" in said


def test_thresholds_show_hours_by_reason(run_folder, capsys):
    assert call("filter", run_folder, "--set", "min_trust=0.5", "--set", "min_score=-5") == 0
    said = capsys.readouterr().out
    assert "kept: 4 rows of 20, 24.0 min of 2.00 h (20.0%)" in said
    assert "min_trust = 0.5" in said
    assert "doubtful_times" in said


def test_a_sweep_is_a_line_for_each_value(run_folder, capsys):
    assert call("filter", run_folder, "--sweep", "score=-10:-1:3", "--set", "min_trust=0.5") == 0
    said = capsys.readouterr().out
    assert "lost: low_score" in said
    lines = [line.split() for line in said.splitlines()]
    kept = {line[0]: line[1] for line in lines if line and line[0] in ("-10", "-7", "-4", "-1")}
    assert kept == {"-10": "10", "-7": "6", "-4": "4", "-1": "0"}


def test_json_is_one_document_with_everything(run_folder, capsys, tmp_path):
    out = tmp_path / "filtered"
    arguments = ("--set", "min_trust=0.5", "--sweep", "score=-4:-1", "--out", out, "--json", "--workers", 1)
    assert call("filter", run_folder / "words", *arguments) == 0
    body = json.loads(capsys.readouterr().out)
    assert (body["rows"], body["kept_rows"], body["kept_seconds"]) == (20, 10, 3600.0)
    assert body["thresholds"] == {"min_trust": 0.5, "refine": False, "duplicates": "off"}
    assert body["sweeps"][0]["option"] == "min_score"
    assert len(body["sweeps"][0]["values"]) == 11
    assert body["run"]["stages"][0]["name"] == "filter"
    kept = [row["kept"] for file in sorted(out.glob("part-*")) for row in pq.read_table(file).to_pylist()]
    assert kept == [j % 2 == 1 for _ in range(2) for j in range(10)]


def test_writing_again_finds_the_work_done_and_other_thresholds_need_rebuild(run_folder, capsys):
    first = ("filter", run_folder, "--set", "min_trust=0.5", "--out", run_folder / "filtered", "--workers", 1)
    assert call(*first) == 0
    assert call(*first, "-q") == 0
    capsys.readouterr()
    again = ("filter", run_folder, "--set", "min_trust=0.1", "--out", run_folder / "filtered", "--workers", 1)
    assert call(*again) == 2
    assert "was made with other options or inputs" in capsys.readouterr().err
    assert call(*again, "--rebuild") == 0


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (["--set", "min_beauty=1"], "filter has no option 'min_beauty'"),
        (["--set", "min_trust=2"], "less than or equal to 1"),
        (["--sweep", "score"], "write it as SCORE=FROM:TO"),
        (["--sweep", "trust=0:2"], "less than or equal to 1"),
        (["--out", "run/words"], "is the input"),
    ],
)
def test_a_mistake_is_one_line(run_folder, capsys, monkeypatch, arguments, why):
    monkeypatch.chdir(run_folder.parent)
    assert call("filter", "run", *arguments) == 2
    said = capsys.readouterr().err
    assert why in said
    assert len(said.strip().splitlines()) == 1


def test_a_folder_without_words_is_named(tmp_path, capsys):
    assert call("filter", tmp_path) == 2
    assert "no finished words here" in capsys.readouterr().err
