"""Splits by recording and by speaker: one column of `utterances` that all datasets have."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from helpers.layouts import wav

from speechprep.errors import ConfigError
from speechprep.pipelines.splits import drawn_split, with_split
from speechprep.pipelines.stages.clips.splits import Splits
from speechprep.pipelines.stages.ingest import STAGE

SHARES = {"train": 0.5, "test": 0.5}


def utterances(tmp_path: Path, run_stage, name: str, **options: object) -> list[dict]:
    """Three utterances of each of 12 recordings; each of four speakers has three recordings. One row has a split."""
    place = tmp_path / "in"
    if not place.exists():
        place.mkdir()
        rows = []
        for i in range(12):
            (place / f"{i}.wav").write_bytes(wav(i, 0.5))
            for j in range(3):
                row = {"id": f"{i}-{j}", "audio": f"{i}.wav", "start": j * 0.1, "end": j * 0.1 + 0.1}
                rows.append({**row, "speaker": None if i == 11 else f"s{i % 4}", "split": "dev" if i == 0 else None})
        (place / "m.jsonl").write_text("\n".join(map(json.dumps, rows)))
    out = run_stage(STAGE, options, {}, tmp_path / name, sources=[str(place)])
    return pq.read_table(out).to_pylist()


def groups(rows: list[dict], key: str) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for row in rows:
        if row["split"] != "dev":
            found.setdefault(row[key], set()).add(row["split"])
    return found


def test_without_shares_no_split_is_drawn(tmp_path: Path, run_stage):
    assert {row["split"] for row in utterances(tmp_path, run_stage, "u")} == {"dev", None}


@pytest.mark.parametrize(("by", "key"), [("recording", "audio"), ("speaker", "speaker")])
def test_a_recording_or_speaker_has_one_split(tmp_path: Path, run_stage, by: str, key: str):
    rows = utterances(tmp_path, run_stage, "u", splits=SHARES, split_by=by, shards=4)
    assert {row["split"] for row in rows} == {"train", "test", "dev"}
    assert all(len(splits) == 1 for splits in groups(rows, "audio").values())
    assert all(len(splits) == 1 for name, splits in groups(rows, key).items() if name is not None)
    again = utterances(tmp_path, run_stage, "again", splits=dict(reversed(SHARES.items())), split_by=by, shards=1)
    assert {row["id"]: row["split"] for row in again} == {row["id"]: row["split"] for row in rows}


def test_clips_draws_the_split_that_ingest_draws(tmp_path: Path, run_stage):
    plain = utterances(tmp_path, run_stage, "u")
    drawn = utterances(tmp_path, run_stage, "v", splits=SHARES)
    splits = Splits(0, SHARES)
    splits.add(plain)
    assert {row["id"]: splits.find(row) for row in plain} == {row["id"]: row["split"] for row in drawn}


def test_the_shares_are_kept():
    names = [drawn_split(1, str(i), {"a": 1, "b": 3}) for i in range(4000)]
    assert np.mean([name == "b" for name in names]) == pytest.approx(0.75, abs=0.03)


def test_a_split_of_the_corpus_stays():
    row = {"split": "x", "speaker": None, "corpus": None, "audio_sha256": None, "audio": None, "id": "a"}
    assert with_split(row, 0, SHARES, "speaker")["split"] == "x"
    assert with_split({**row, "split": None}, 0, SHARES, "speaker")["split"] in SHARES


@pytest.mark.parametrize("shares", [{}, {"a": -1, "b": 2}, {"a": 0}])
def test_impossible_shares_are_named(shares: dict[str, float]):
    with pytest.raises(ConfigError, match="splits"):
        STAGE.configure({"splits": shares})
