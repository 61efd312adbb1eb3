"""Export and re-ingest of real speech: the same words, and times within 1 ms, in each format that holds words."""

from __future__ import annotations

import warnings
from pathlib import Path

import pytest
from helpers import export_runs as runs

import speechprep
from speechprep.artifacts.run import open_run
from speechprep.pipelines.export.formats import FORMATS
from speechprep.pipelines.stages.ingest import STAGE as INGEST

INGESTED = ("lhotse", "nemo", "webdataset", "hf")  # with ids; the other formats are labels of recordings


@pytest.fixture(scope="module", params=["librispeech-mini", "longform"])
def aligned(request, shared_data, tmp_path_factory):
    folder = tmp_path_factory.mktemp(request.param)
    speechprep.stage("ingest", inputs=shared_data / request.param, out=folder / "utterances")
    speechprep.stage("align", inputs=folder / "utterances", out=folder / "words", max_reject_fraction=1.0)
    return folder


@pytest.mark.long
@pytest.mark.reference
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("to", [*runs.READERS, *INGESTED])
def test_words_and_times_survive(aligned: Path, tmp_path: Path, run_stage, to: str):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if FORMATS[to].package:
            pytest.importorskip(FORMATS[to].package)
    labels = to in runs.READERS
    options = {"audio": "copy"} if labels else {}
    result = speechprep.export(aligned, to=to, out=tmp_path / "out", rows=["words"], **options)
    wanted = runs.expected(aligned)
    assert result.rows["words"] == sum(map(len, wanted.values())) > 1000
    if labels:
        by_recording = runs.by_recording(aligned, tmp_path / "out", wanted)
        runs.same_labels(runs.READERS[to](tmp_path / "out"), by_recording)
        again = run_stage(INGEST, {}, out=tmp_path / "again", sources=[tmp_path / "out"])
        runs.same_labels(runs.ingested_labels(again), by_recording)
        return
    source = tmp_path / "out/cuts.jsonl" if to == "lhotse" else tmp_path / "out"
    again = run_stage(INGEST, {}, out=tmp_path / "again", sources=[source])
    rows = {row["id"]: row for row in open_run(str(again))["utterances"].records(["id", "offset", "words"])}
    got = {id: [(w["start"], w["end"], w["text"]) for w in row["words"] or []] for id, row in rows.items()}
    runs.same_labels(got, wanted)
