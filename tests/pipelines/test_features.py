"""Utterances run together where the extractor gains by it: the same rows, whatever is beside them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from helpers.codebooks import make_codebook

from speechprep.artifacts.codebook import Codebook
from speechprep.pipelines import features
from speechprep.pipelines.backends.extractors.mfcc import MfccExtractor
from speechprep.pipelines.engine import loaded
from speechprep.pipelines.features import Sound, frames
from speechprep.pipelines.stages import pool, units
from speechprep.tokenizers.kmeans.nearest import Centroids

NAME = "part-00000-of-00001.parquet"


class Batched(MfccExtractor):
    """MFCC that likes some seconds at once, and writes down what it was given."""

    window_seconds = 6.0
    given: list[list[int]] = []  # noqa: RUF012 - of the class, for the stage makes its own

    def extract(self, batch: list[np.ndarray]) -> list[np.ndarray]:
        self.given.append([len(audio) for audio in batch])
        return super().extract(batch)

    def units(self, batch: list[np.ndarray], centroids: Centroids) -> list[np.ndarray]:
        return [centroids.assign(own) for own in self.extract(batch)]


@pytest.fixture
def batched(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[list[int]]]:
    """The lengths in each batch, with a class for `mfcc` that prefers batches.

    The process keeps backends that earlier tests loaded with the same options, and would keep this one.
    """
    loaded._entry.cache_clear()
    monkeypatch.setattr("speechprep.pipelines.backends.extractors.mfcc.MfccExtractor", Batched)
    monkeypatch.setattr(Batched, "given", [])
    yield Batched.given
    loaded._entry.cache_clear()


@pytest.mark.parametrize("stage", [units.STAGE, pool.STAGE], ids=lambda s: s.name)
def test_together_or_one_by_one_the_bytes_are_the_same(
    stage: Any,
    make_corpus: Callable,
    run_stage: Callable,
    talkers: list,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    batched: list[list[int]],
) -> None:
    bad = [
        {"id": "short", "sound": np.zeros(399, np.float32)},
        {"id": "gone", "audio": "/nowhere.wav", "duration": 1.0},
    ]
    corpus = make_corpus([*talkers[:3], *bad, *talkers[3:]])
    inputs = {"utterances": corpus}
    if stage is units.STAGE:
        inputs["codebook"] = make_codebook(tmp_path / "codebook")
    monkeypatch.setattr(features, "BATCH", 3)
    monkeypatch.setattr(Batched, "window_seconds", 0.0)
    alone = run_stage(stage, {}, inputs, out=tmp_path / "alone")
    batched.clear()
    monkeypatch.setattr(Batched, "window_seconds", 6.0)
    together = run_stage(stage, {}, inputs, out=tmp_path / "together")
    assert [len(batch) for batch in batched] == [3, 4, 1]  # whole batches of rows, of 6 s or more but the last
    assert (alone / NAME).read_bytes() == (together / NAME).read_bytes()
    # The retry command names the output folder, and the two folders differ.
    refused = [pq.read_table(out / "_rejects" / NAME).drop_columns(["retry"]) for out in (alone, together)]
    assert refused[0].equals(refused[1])
    assert pq.read_table(together / NAME).column("id").to_pylist() == [talker["id"] for talker in talkers]


def test_a_long_utterance_between_short_ones_keeps_its_place(
    make_corpus: Callable,
    run_stage: Callable,
    talkers: list,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    batched: list[list[int]],
) -> None:
    inputs = {"utterances": make_corpus(talkers), "codebook": make_codebook(tmp_path / "codebook")}
    whole = run_stage(units.STAGE, {}, inputs, out=tmp_path / "whole")
    monkeypatch.setattr(features, "LONG_SECONDS", 2.1)  # the first three are longer
    pieces = run_stage(units.STAGE, {}, inputs, out=tmp_path / "pieces")
    assert (whole / NAME).read_bytes() == (pieces / NAME).read_bytes()


@pytest.mark.parametrize("long", [False, True])
def test_after_a_crash_each_utterance_is_decoded_and_run_alone_with_its_id_on_disk(
    make_corpus: Callable,
    talkers: list,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    batched: list[list[int]],
    long: bool,
) -> None:
    from speechprep.artifacts.media import audio
    from speechprep.pipelines.engine.context import ShardContext
    from speechprep.pipelines.engine.task import Input, Task, Work

    make_corpus(talkers)
    extractor = Batched()
    extractor.load()
    codebook = make_codebook(tmp_path / "codebook")
    inputs = {"utterances": Input(str(tmp_path / "utterances"), NAME), "codebook": Input(str(codebook), None)}
    task = Task(
        "units", {}, 0, 0, 1, "", str(tmp_path / "out"), {}, work=str(tmp_path), one_by_one=True, skip_ids=["u2"]
    )
    in_progress = tmp_path / "in-progress-00000.json"
    ctx = ShardContext(Work(task, units.Config(), inputs, extractor, tmp_path))
    ctx.schema = units.schema(ctx)
    calls: list[tuple[str, str]] = []

    def recording(name: str, call: Callable) -> Callable:
        def recorded(source: Any, *args: Any, **options: Any) -> Any:
            calls.append((name, in_progress.read_text()))
            return call(source, *args, **options)

        return recorded

    monkeypatch.setattr(audio, "decode_blocks", recording("decode", audio.decode_blocks))  # `decode` calls it
    extractor.extract_stream = recording("extract", extractor.extract_stream)  # type: ignore[method-assign]
    if long:
        monkeypatch.setattr(features, "LONG_SECONDS", 0.1)
    units.run(ctx)
    for writer in ctx.written.values():
        writer.__exit__(None, None, None)
    others = [talker["id"] for talker in talkers if talker["id"] != "u2"]
    assert not batched
    assert [ids for name, ids in calls if name == "decode"] == [f'["{id}"]' for id in others]
    assert [ids for name, ids in calls if name == "extract" and "u2" not in ids] == [f'["{id}"]' for id in others]
    assert not in_progress.exists()
    assert pq.read_table(tmp_path / "out" / NAME).column("id").to_pylist() == others
    assert [(reject["id"], reject["code"]) for reject in ctx.rejects] == [("u2", "process_died")]


def test_ready_frames_are_given_and_all_of_the_audio_is_still_seen() -> None:
    audio = np.arange(1000, dtype=np.float32)
    seen: list[np.ndarray] = []

    def through(blocks: Iterator[np.ndarray]) -> Iterator[np.ndarray]:
        for block in blocks:
            seen.append(block)
            yield block

    ready = np.ones((3, 2), np.float32)
    assert list(frames(None, Sound([audio], ready), through)) == [ready]
    assert np.array_equal(np.concatenate(seen), audio)


@pytest.mark.reference
def test_hubert_in_padded_batches_writes_the_units_of_one_by_one(
    make_corpus: Callable, run_stage: Callable, talkers: list, tmp_path: Path
) -> None:

    from helpers import tiny_models as tiny

    tiny.torch()
    from speechprep.artifacts import manifest
    from speechprep.pipelines.backends.extractors.hubert import HubertExtractor

    model = str(tiny.speech_encoder(tmp_path / "model"))
    extractor = HubertExtractor(model, 2, device="cpu")
    extractor.load()
    found = np.concatenate(extractor.extract([talker["sound"] for talker in talkers]))
    options = {"model": model, "layer": 2, "device": "cpu"}
    book = Codebook(
        centroids=found[::11].copy(), extractor=extractor.identity(), grid=extractor.grid,
        backend={"extractor": "hubert", "options": options},
    )  # fmt: skip
    (tmp_path / "codebook").mkdir()
    book.save(tmp_path / "codebook")
    made = manifest.Manifest("codebook", book.fingerprint, book.fingerprint, {}, [], {}, [], {}, book.facts())
    manifest.write(str(tmp_path / "codebook"), made)
    inputs = {"utterances": make_corpus(talkers), "codebook": tmp_path / "codebook"}
    bytes_of = []
    for seconds in (0.0, 5.0, 100.0):
        how = {"extractor": "hubert", "options": {**options, "batch_seconds": seconds}}
        bytes_of.append((run_stage(units.STAGE, how, inputs, out=tmp_path / f"u{seconds}") / NAME).read_bytes())
    assert bytes_of[0] == bytes_of[1] == bytes_of[2]
