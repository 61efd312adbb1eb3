"""K-means: all frames used, equal bytes for all blocks and threads, and an inertia that never rises."""

from __future__ import annotations

import weakref
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from speechprep.errors import ConfigError
from speechprep.tokenizers.kmeans import fit as fit_module
from speechprep.tokenizers.kmeans import lloyd as lloyd_module
from speechprep.tokenizers.kmeans.fit import AMPLE_FRAMES, KMeans, schedule
from speechprep.tokenizers.kmeans.frames import FrameFile, Subset
from speechprep.tokenizers.kmeans.gpu import TorchSearch
from speechprep.tokenizers.kmeans.nearest import assign, perplexity
from speechprep.tokenizers.kmeans.state import Checkpoint, Progress


@pytest.fixture(scope="module", autouse=True)
def samples_of_a_test_are_ample() -> Iterator[None]:
    """A low `AMPLE_FRAMES`: with the default of 400, the small samples of these tests would have no subset."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fit_module, "AMPLE_FRAMES", 10)
        yield


def blobs(n: int, dim: int, centres: int, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    middle = rng.standard_normal((centres, dim)) * 5
    return (middle[rng.integers(0, centres, n)] + rng.standard_normal((n, dim))).astype(np.float32)


def same(a: Any, b: Any) -> bool:
    return (
        a.centroids.tobytes() == b.centroids.tobytes()
        and a.inertia == b.inertia
        and a.final_inertia == b.final_inertia
        and a.counts.tolist() == b.counts.tolist()
    )


def plain_lloyd(frames: np.ndarray, centroids: np.ndarray, iterations: int) -> tuple[np.ndarray, list[float]]:
    """Textbook k-means in float64, with centroids rounded to float32."""
    wide = frames.astype(np.float64)
    history = []
    for _ in range(iterations):
        distances = ((wide[:, None] - centroids.astype(np.float64)) ** 2).sum(axis=2)
        units = distances.argmin(axis=1)
        history.append(distances.min(axis=1).mean())
        assume(np.bincount(units, minlength=len(centroids)).all())  # the textbook does not define empty units
        centroids = np.stack([wide[units == u].mean(axis=0) for u in range(len(centroids))]).astype(np.float32)
    return centroids, history


# -- exactness -----------------------------------------------------------------------------------------------------


@settings(max_examples=30)
@given(n=st.integers(30, 200), dim=st.integers(1, 12), k=st.integers(1, 6), seed=st.integers(0, 1000))
def test_without_accelerations_it_is_the_lloyd_iteration_of_the_textbook(n: int, dim: int, k: int, seed: int) -> None:
    frames = blobs(n, dim, k, seed)
    one = KMeans(iterations=1, progressive=False, device="cpu")
    seen: list[Any] = []
    start = one_start(frames, k, seed, seen)
    expected, history = plain_lloyd(frames, start, 5)
    fit = KMeans(iterations=5, progressive=False, device="cpu").fit(frames, k, seed)
    np.testing.assert_allclose(fit.centroids, expected, rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(fit.inertia, history[: len(fit.inertia)], rtol=1e-6, atol=1e-9)
    assert one.identity()["progressive"] is False


def one_start(frames: np.ndarray, k: int, seed: int, seen: list[Any]) -> np.ndarray:
    """Initial frames of a fit with random seeding."""
    from speechprep.tokenizers.kmeans import seeding

    original = seeding.random_frames
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(seeding, "random_frames", lambda *a: seen.append(original(*a)) or seen[-1])
        KMeans(iterations=1, progressive=False, device="cpu").fit(frames, k, seed)
    start: np.ndarray = seen[-1]
    assert len(start) == k
    assert all((frames == row).all(axis=1).any() for row in start)
    return start


@settings(max_examples=25)
@given(
    blocks=st.lists(st.integers(1, 700), min_size=1, max_size=3),
    threads=st.integers(1, 4),
    init=st.sampled_from(["random", "kmeans++"]),
    seed=st.integers(0, 50),
)
def test_the_same_bytes_for_any_blocks_and_threads(blocks: list[int], threads: int, init: Any, seed: int) -> None:
    frames = np.concatenate([blobs(500, 7, 9, seed), np.zeros((60, 7), np.float32)])
    first = KMeans(6, init=init, device="cpu", threads=1).fit(frames, 12, seed)
    for block in blocks:
        assert same(first, KMeans(6, init=init, device="cpu", threads=threads, block=block).fit(frames, 12, seed))


@settings(max_examples=20)
@given(seed=st.integers(0, 50), init=st.sampled_from(["random", "kmeans++"]))
def test_the_order_of_the_frames_changes_no_byte_where_they_have_keys(seed: int, init: Any) -> None:
    rng = np.random.default_rng(seed)
    frames = blobs(600, 5, 9, seed)
    keys = rng.integers(0, 1 << 63, 600).astype(np.uint64)
    order = rng.permutation(600)
    first = KMeans(6, init=init, device="cpu").fit(frames, 10, 0, keys=keys)
    again = KMeans(6, init=init, device="cpu").fit(frames[order], 10, 0, keys=keys[order])
    assert same(first, again)
    assert first.units[order].tolist() == again.units.tolist()


@settings(max_examples=30)
@given(seed=st.integers(0, 1000), k=st.integers(2, 40), progressive=st.booleans(), dim=st.integers(1, 8))
def test_inertia_never_rises_while_the_frames_are_the_same(seed: int, k: int, progressive: bool, dim: int) -> None:
    rng = np.random.default_rng(seed)
    frames = np.repeat(rng.standard_normal((80, dim)) * 10, rng.integers(1, 60, 80), axis=0).astype(np.float32)
    steps: list[Progress] = []
    kmeans = KMeans(16, device="cpu", progressive=progressive)
    fit = kmeans.fit(frames, min(k, len(frames)), seed, on_iteration=steps.append)
    tolerance = 1e-6 * float((frames.astype(np.float64) ** 2).sum(axis=1).mean())
    for before, after in pairwise(steps):
        if before.frames == after.frames:
            assert after.inertia <= before.inertia + tolerance
    assert fit.final_inertia <= steps[-1].inertia + tolerance
    assert steps[-1].frames == len(frames)


def test_the_final_inertia_and_counts_are_those_of_the_final_centroids() -> None:
    frames = blobs(3000, 16, 30)
    fit = KMeans(8, device="cpu").fit(frames, 25, 4)
    units = assign(frames, fit.centroids)
    apart = ((frames.astype(np.float64) - fit.centroids[units]) ** 2).sum(axis=1).mean()
    assert fit.final_inertia == pytest.approx(apart, rel=1e-9)
    assert fit.units.tolist() == units.tolist()
    assert fit.counts.tolist() == np.bincount(units, minlength=25).tolist()


@settings(max_examples=30)
@given(seed=st.integers(0, 1000), scale=st.sampled_from([1e-20, 1e-3, 1.0, 1e5, 1e15]), n=st.integers(1, 3000))
def test_sums_are_exact_to_their_grid(seed: int, scale: float, n: int) -> None:
    rng = np.random.default_rng(seed)
    frames = (rng.standard_normal((n, 3)) * scale).astype(np.float32)
    with lloyd_module.Threads(1) as threads:
        lengths = lloyd_module.measure(Subset(frames, np.arange(n), 100), threads)
    units = rng.integers(0, 5, n)
    sums = lloyd_module.Sums(5, 3, lengths)
    for part in np.array_split(rng.permutation(n), 7):
        sums.move(frames[part], lengths.squared[part], np.full(len(part), lloyd_module.NO_UNIT), units[part])
    elsewhere = (units + 1) % 5
    sums.move(frames, lengths.squared, units, elsewhere)
    for unit in range(5):
        members = frames[elsewhere == unit].astype(np.float64)
        if len(members):
            error = 2.0**-30 * np.abs(frames).max()
            np.testing.assert_allclose(sums.means()[unit], members.mean(axis=0), rtol=0, atol=error)
    assert sums.counts.tolist() == np.bincount(elsewhere, minlength=5).tolist()


# -- the schedule -----------------------------------------------------------------------------------------------------


def test_all_frames_are_used_where_faiss_alone_would_take_256_for_each_centroid() -> None:
    sample = np.concatenate([np.zeros((5000, 2)), np.full((1, 2), 1000.0)]).astype(np.float32)
    fit = KMeans(iterations=20, restarts=10, device="cpu").fit(sample + blobs(5001, 2, 1) * 0.01, 2, seed=1)
    assert fit.frames_used == fit.frames_seen == fit.counts.sum() == 5001
    assert fit.schedule[-1][0] == 5001
    # One frame of 5001 has a centroid of its own: with a sub-sample of 512 it would almost surely be missed.
    assert sorted(fit.counts.tolist()) == [1, 5000]


@given(n=st.integers(1, 10**7), k=st.integers(1, 5000), iterations=st.integers(1, 100), progressive=st.booleans())
def test_the_schedule_makes_the_iterations_on_an_ample_part_and_half_as_many_on_all_frames(
    n: int, k: int, iterations: int, progressive: bool
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fit_module, "AMPLE_FRAMES", AMPLE_FRAMES)
        result = schedule(n, k, iterations, progressive=progressive)
    assert result[-1][0] == n
    assert result[0][1] == iterations
    assert (len(result) == 2) == (progressive and n // 4 >= 400 * k)
    if len(result) == 2:
        assert result == [(n // 4, iterations), (n, (iterations + 1) // 2)]


def test_the_seed_decides_the_centroids() -> None:
    sample = blobs(2000, 8, 30)
    first, again, other = (KMeans(iterations=3).fit(sample, 20, seed).centroids for seed in (1, 1, 2))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


@pytest.mark.parametrize("init", ["random", "kmeans++"])
def test_inertia_falls_and_counts_add_up(init: Any) -> None:
    sample = blobs(3000, 8, 30)
    fit = KMeans(iterations=8, restarts=2, init=init).fit(sample, 20, seed=0)
    assert len(fit.inertia) == 8 + 4
    assert fit.inertia[-1] < fit.inertia[0]
    assert fit.counts.sum() == 3000
    assert 1 <= perplexity(fit.counts) <= 20


def test_plus_plus_finds_far_groups_that_random_frames_miss() -> None:
    """29 of 30 groups are rare, so random frames start in the large group."""
    rng = np.random.default_rng(0)
    middle = rng.standard_normal((30, 4)) * 100
    sizes = [4000, *[40] * 29]
    frames = np.concatenate([m + rng.standard_normal((s, 4)) for m, s in zip(middle, sizes, strict=True)])
    fits = {init: KMeans(4, init=init).fit(frames.astype(np.float32), 30, 0) for init in ("random", "kmeans++")}
    assert fits["kmeans++"].final_inertia < 0.5 * fits["random"].final_inertia


def test_more_restarts_never_give_a_worse_fit() -> None:
    sample = blobs(600, 4, 12)
    inertia = [KMeans(iterations=50, restarts=n).fit(sample, 12, seed=2).final_inertia for n in (1, 2, 8)]
    assert inertia[0] >= inertia[1] >= inertia[2]
    assert inertia[2] < inertia[0]


def test_an_empty_unit_takes_part_of_the_one_that_scatters_most() -> None:
    """Most frames are one point: random frames start there, and all but one of these units are empty."""
    rng = np.random.default_rng(1)
    frames = np.concatenate([np.zeros((5000, 3)), rng.standard_normal((400, 3))]).astype(np.float32)
    fit = KMeans(30, progressive=False).fit(frames, 20, seed=0)
    assert (fit.counts > 0).all()
    assert fit.final_inertia < 0.3 * fit.inertia[0]


def test_units_stay_empty_where_nothing_is_left_to_split() -> None:
    frames = np.repeat(np.array([[0, 0], [5, 5]], np.float32), 50, axis=0)
    fit = KMeans(5).fit(frames, 4, seed=0)
    assert fit.final_inertia == 0
    assert sorted(fit.counts.tolist()) == [0, 0, 50, 50]
    assert np.isfinite(fit.centroids).all()


def test_more_units_than_frames_are_refused_with_both_numbers() -> None:
    with pytest.raises(ConfigError, match="k = 11 units cannot be made of 10"):
        KMeans().fit(blobs(10, 3, 2), 11, seed=0)


def test_as_many_units_as_frames_is_one_each() -> None:
    fit = KMeans().fit(blobs(10, 3, 10), 10, seed=0)
    assert fit.counts.tolist() == [1] * 10
    assert fit.final_inertia == pytest.approx(0, abs=1e-9)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_a_sample_that_is_not_finite_is_refused(bad: float) -> None:
    sample = blobs(100, 3, 2)
    sample[7, 1] = bad
    with pytest.raises(ConfigError, match="NaN"):
        KMeans().fit(sample, 2, seed=0)


def test_a_gpu_asked_for_but_not_there_is_an_error_not_a_slow_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("speechprep.tokenizers.kmeans.gpu.gpu_search", lambda: None)
    with pytest.raises(ConfigError, match="device = 'gpu'"):
        KMeans(device="gpu").fit(blobs(100, 3, 2), 2, seed=0)


def test_a_device_gives_the_bytes_of_the_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """The GPU path on CPU tensors of torch: it is chosen, used in every iteration, and changes nothing."""
    pytest.importorskip("torch")
    search = TorchSearch("cpu", cache=1 << 20)
    searched = []
    original = search.top2
    monkeypatch.setattr(search, "top2", lambda block: searched.append(len(block)) or original(block))
    monkeypatch.setattr("speechprep.tokenizers.kmeans.gpu.gpu_search", lambda: search)
    frames = blobs(4000, 24, 40)
    there = KMeans(8, init="kmeans++", device="gpu").fit(frames, 30, seed=0)
    assert there.device == "gpu"
    assert sum(searched) > 6 * 2000
    assert same(there, KMeans(8, init="kmeans++", device="cpu").fit(frames, 30, seed=0))


# -- files -----------------------------------------------------------------------------------------------------------


def test_a_file_gives_the_bytes_of_the_array(tmp_path: Path) -> None:
    frames = blobs(3000, 8, 30)
    frames.astype("<f4").tofile(tmp_path / "frames")
    held = KMeans(6).fit(frames, 20, seed=0)
    with FrameFile(tmp_path / "frames", 8) as file:
        assert file.shape == (3000, 8)
        rows = np.array([0, 1, 2, 9, 11, 12, 2999])
        assert np.array_equal(file[rows], frames[rows])
        assert np.array_equal(file[2990:4000], frames[2990:])
        assert same(held, KMeans(6, block=100).fit(file, 20, seed=0))
    mapped = np.memmap(tmp_path / "frames", "<f4", "r", shape=(3000, 8))
    assert same(held, KMeans(6).fit(mapped, 20, seed=0))
    with pytest.raises(ConfigError, match="not a multiple of"):
        FrameFile(tmp_path / "frames", 7)


class Killed(BaseException):
    pass


@pytest.mark.parametrize("init", ["random", "kmeans++"])
@pytest.mark.parametrize("after", [1, 5, 6, 7, 9, 10, 16, 26, 27])
def test_a_fit_that_was_killed_goes_on_and_ends_with_the_same_bytes(tmp_path: Path, after: int, init: Any) -> None:
    frames = blobs(1500, 6, 20)
    kmeans = KMeans(6, restarts=3, init=init, device="cpu")
    whole: list[Progress] = []
    expected = kmeans.fit(frames, 15, seed=2, on_iteration=whole.append)
    saved = Checkpoint(str(tmp_path / "state.npz"), "key")
    seen: list[Progress] = []

    def dying(at: Progress) -> None:
        seen.append(at)
        if len(seen) == after:
            raise Killed

    with pytest.raises(Killed):
        kmeans.fit(frames, 15, seed=2, checkpoint=saved, on_iteration=dying)
    assert same(expected, kmeans.fit(frames, 15, seed=2, checkpoint=saved, on_iteration=seen.append))
    assert seen == whole  # each iteration once, none again
    again: list[Progress] = []
    assert same(expected, kmeans.fit(frames, 15, seed=2, checkpoint=saved, on_iteration=again.append))
    assert again == []


@pytest.mark.parametrize("kept", [0, 1, 100, -1])
def test_a_state_torn_by_a_power_loss_is_passed_over(tmp_path: Path, kept: int) -> None:
    frames, path = blobs(500, 6, 20), tmp_path / "state.npz"
    whole = KMeans(3).fit(frames, 5, seed=0, checkpoint=Checkpoint(str(path), "one"))
    path.write_bytes(path.read_bytes()[:kept])
    assert same(KMeans(3).fit(frames, 5, seed=0, checkpoint=Checkpoint(str(path), "one")), whole)


def test_the_state_of_another_fit_is_passed_over(tmp_path: Path) -> None:
    frames = blobs(500, 6, 20)
    path = str(tmp_path / "state.npz")
    KMeans(3).fit(frames, 5, seed=0, checkpoint=Checkpoint(path, "one"))
    fit = KMeans(3).fit(frames, 7, seed=0, checkpoint=Checkpoint(path, "two"))
    assert same(fit, KMeans(3).fit(frames, 7, seed=0))


def test_what_was_read_is_let_go_block_by_block(tmp_path: Path) -> None:
    """At most one block for each thread is in memory, for samples larger than memory."""
    blobs(4000, 8, 30).astype("<f4").tofile(tmp_path / "frames")
    live: list[weakref.ref[Any]] = []
    most = 0

    class Watched(FrameFile):
        def __getitem__(self, rows: Any) -> Any:
            nonlocal most
            result = super().__getitem__(rows)
            live[:] = [ref for ref in live if ref() is not None]
            live.append(weakref.ref(result))
            most = max(most, len(live))
            return result

    with Watched(tmp_path / "frames", 8) as file:
        KMeans(4, init="kmeans++", threads=2, block=100, device="cpu").fit(file, 20, seed=0)
    assert 1 <= most <= 4
