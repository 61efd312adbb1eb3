"""pool: the mean over valid frames, the same however the work is cut, and the corpus' own mean and deviation."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from speechprep.artifacts import manifest
from speechprep.pipelines.backends.extractors.mfcc import MfccExtractor
from speechprep.pipelines.stages import pool


@settings(max_examples=40)
@given(n=st.integers(1, 400), cuts=st.lists(st.integers(0, 400), max_size=6))
def test_the_mean_is_the_same_bits_however_the_frames_are_cut(n: int, cuts: list[int]) -> None:
    frames = np.random.default_rng(n).standard_normal((n, 39)).astype(np.float32)
    parts = [part for part in np.split(frames, sorted(cut for cut in cuts if cut < n)) if len(part)]
    mean, whole = pool.RunningMean(), pool.RunningMean()
    for part in parts:
        mean.add(part)
    whole.add(frames)
    assert mean.n == n
    assert mean.value.dtype == np.float32
    assert np.array_equal(mean.value, whole.value)
    np.testing.assert_allclose(mean.value, frames.astype(np.float64).mean(axis=0), rtol=1e-6, atol=1e-7)


@settings(max_examples=30)
@given(n=st.integers(1, 200), cuts=st.lists(st.integers(0, 200), max_size=5), offset=st.sampled_from([0.0, 1e4]))
def test_moments_over_blocks_are_those_of_the_whole(n: int, cuts: list[int], offset: float) -> None:
    rows = np.random.default_rng(n).standard_normal((n, 5)) + offset
    parts = [part for part in np.split(rows, sorted(cut for cut in cuts if cut < n)) if len(part)]
    mean, std = pool.moments(iter(parts), 5)
    np.testing.assert_allclose(mean, rows.mean(axis=0), rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(std, rows.std(axis=0), rtol=1e-6, atol=1e-9)


def test_vectors_are_the_means_of_the_frames(
    make_corpus: Callable, run_stage: Callable, talkers: list, tmp_path: Path
) -> None:
    silence = np.zeros(8000, np.float32)
    rows = [*talkers, {"id": "quiet", "sound": silence}, {"id": "short", "sound": silence[:100]}]
    stats = []
    for n in (1, 3):
        folder = run_stage(pool.STAGE, {}, {"utterances": make_corpus(rows, n, f"in{n}")}, out=tmp_path / f"out{n}")
        stats.append(manifest.read(str(folder)).extra)
    table = [row for path in sorted(folder.glob("part-*")) for row in pq.read_table(path).to_pylist()]
    extractor = MfccExtractor()
    extractor.load()
    by_id = {row["id"]: row for row in table}
    assert list(by_id) == [*(t["id"] for t in talkers), "quiet"]
    wanted = extractor.extract([silence])[0]
    assert by_id["quiet"]["n_valid"] == len(wanted) == 48
    np.testing.assert_allclose(by_id["quiet"]["mean"], wanted.mean(axis=0), rtol=1e-6, atol=1e-6)
    assert by_id["quiet"]["mean_all"] == by_id["quiet"]["mean"]
    means = np.array([row["mean"] for row in table])
    np.testing.assert_allclose(stats[0]["mean"], means.mean(axis=0), rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(stats[0]["std"], means.std(axis=0), rtol=1e-5, atol=1e-5)
    assert stats[0] == stats[1]
    assert stats[0]["extractor"] == extractor.identity()
    rejects = pq.read_table(folder / "_rejects" / "part-00002-of-00003.parquet").to_pylist()
    assert [(r["id"], r["code"]) for r in rejects] == [("short", "audio_too_short")]


def test_no_frames_at_all_is_a_fault_of_the_caller() -> None:
    with pytest.raises(ValueError, match="no frames"):
        _ = pool.RunningMean().value


class Padding(MfccExtractor):
    """MFCC whose second block of frames is followed by two frames of padding."""

    def extract_padded(self, blocks):  # type: ignore[no-untyped-def]
        for number, frames in enumerate(self.extract_stream(blocks)):
            padding = np.ones((2 * (number == 1), self.dim), np.float32)
            yield np.concatenate([frames, padding]), len(frames)


def test_the_mean_of_all_frames_has_the_padding_and_the_other_mean_has_not() -> None:
    extractor = Padding()
    extractor.load()
    audio = np.random.default_rng(0).standard_normal(80_000).astype(np.float32)
    frames = extractor.extract([audio])[0].astype(np.float64)
    row = pool.pool_utterance(extractor, {"id": "a"}, iter([audio]))
    assert row["n_valid"] == len(frames)
    np.testing.assert_allclose(row["mean"], frames.mean(axis=0), rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(row["mean_all"], (frames.sum(axis=0) + 2) / (len(frames) + 2), rtol=1e-6, atol=1e-6)
