"""The loop of an encoder over batches: it never waits for the device, and a compiled model sees few shapes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from helpers import tiny_models as tiny

from speechprep.pipelines.backends.extractors import device_units
from speechprep.pipelines.backends.extractors.device_units import DeviceCentroids
from speechprep.pipelines.backends.extractors.encoder_windows import SHAPES, Shapes
from speechprep.pipelines.backends.extractors.hubert import HubertExtractor
from speechprep.pipelines.backends.extractors.prefetch import _staged
from speechprep.pipelines.backends.extractors.whisper import WhisperExtractor
from speechprep.tokenizers.kmeans.nearest import Centroids

pytestmark = pytest.mark.reference
RATE = 16_000
WAITING = ("nonzero", "_local_scalar_dense", "masked_select", "_unique2", "bincount", "equal", "is_nonzero")


@pytest.fixture(scope="module")
def extractors(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The fused paths of a GPU on the CPU, in batches of 20 s."""
    tiny.torch()
    found: dict[str, Any] = {
        "hubert": HubertExtractor(
            str(tiny.speech_encoder(tmp_path_factory.mktemp("hubert"), "hubert")), 2, device="cpu", batch_seconds=20.0
        ),
        "whisper": WhisperExtractor(
            str(tiny.whisper(tmp_path_factory.mktemp("whisper"))), 2, device="cpu", batch_seconds=90.0
        ),
    }
    for extractor in found.values():
        extractor.load()
        extractor._fused, extractor._exact = extractor._fuse(), False
        extractor._nearest = lambda centroids, on=extractor._on: DeviceCentroids(centroids, on)
    return found


def speech(lengths: list[float], seed: int = 0) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    return [(rng.standard_normal(round(s * RATE)) * 0.1).astype(np.float32) for s in lengths]


def raising_on_waits() -> Any:
    """A mode of torch that refuses operations whose result decides a shape or a value on the host."""
    from torch.utils._python_dispatch import TorchDispatchMode

    torch = tiny.torch()

    class NoWaiting(TorchDispatchMode):
        def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            name = func.overloadpacket.__name__
            boolean = name in ("index", "index_put", "index_put_") and any(
                getattr(index, "dtype", None) is torch.bool for index in args[1]
            )
            if name in WAITING or boolean:
                raise AssertionError(f"{name} waits for the device")
            return func(*args, **(kwargs or {}))

    return NoWaiting()


@pytest.mark.parametrize("kind", ["hubert", "whisper"])
def test_no_operation_of_the_loop_waits_for_the_device(extractors: dict[str, Any], kind: str) -> None:
    extractor, audio = extractors[kind], speech([3.0, 1.2, 0.4, 5.0, 2.0, 2.0])
    book = Centroids(np.ascontiguousarray(np.concatenate(extractor.extract(audio))[::3]))
    finish = DeviceCentroids(book, extractor._on)
    staged = extractor._stage([audio[0], audio[1]])
    with extractor._computing(), raising_on_waits():
        finish(extractor._run(*staged))
        with pytest.raises(AssertionError, match="waits"):
            finish.decided(extractor._run(*staged))


@pytest.mark.parametrize("kind", ["hubert", "whisper"])
@pytest.mark.parametrize("share", [1 / 16, 1e-9])
def test_frames_that_a_block_leaves_undecided_are_decided(
    extractors: dict[str, Any], kind: str, share: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With a share of one frame for each block, most of the doubled centroids stay undecided at first."""
    extractor, audio = extractors[kind], speech([3.0, 1.2, 0.4, 5.0])
    frames = extractor.extract(audio)
    some = np.concatenate(frames)[::3]
    book = Centroids(np.ascontiguousarray(np.concatenate([some, some])))
    monkeypatch.setattr(extractor, "_nearest", lambda book: DeviceCentroids(book, extractor._on, share))
    decided: list[int] = []
    plain = DeviceCentroids.decided
    monkeypatch.setattr(DeviceCentroids, "decided", lambda self, x: decided.append(1) or plain(self, x))
    units = extractor.units(audio, book)
    assert all(np.array_equal(a, book.assign(b)) for a, b in zip(units, frames, strict=True))
    assert decided


def test_more_candidates_than_compared_leave_a_frame_undecided() -> None:
    torch = tiny.torch()
    rng = np.random.default_rng(0)
    near = np.repeat(rng.standard_normal((1, 24)), device_units.CANDIDATES + 1, 0) + 100
    book = Centroids(np.concatenate([near, rng.standard_normal((20, 24))]).astype(np.float32))
    frames = torch.from_numpy(near[None, :1].astype(np.float32))
    on_device = DeviceCentroids(book, torch.device("cpu"))
    assert on_device(frames).item() == device_units.UNDECIDED
    assert on_device.decided(frames).item() == 0


def test_a_thousand_utterances_have_at_most_eight_shapes() -> None:
    rng = np.random.default_rng(0)
    lengths = rng.integers(400, 30 * RATE, 1000).tolist()
    shapes = Shapes(30 * RATE, 160 * RATE)
    batches = shapes.groups(lengths)
    assert sorted(i for batch in batches for i in batch) == list(range(1000))
    used = {shapes.of(lengths[batch[0]]) for batch in batches}
    assert len(used) <= SHAPES
    for batch in batches:
        rows, samples = shapes.of(lengths[batch[0]])
        assert len(batch) <= rows
        assert max(lengths[i] for i in batch) <= samples
        assert rows * samples <= 160 * RATE
    run = sum(np.prod(shapes.of(lengths[batch[0]])) for batch in batches)
    assert run < 1.6 * sum(lengths)


@pytest.mark.parametrize("kind", ["hubert", "whisper"])
def test_fixed_shapes_give_the_frames_of_single_items(
    extractors: dict[str, Any], kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    extractor, audio = extractors[kind], speech([3.0, 1.2, 0.4, 5.0, 2.0, 2.1, 9.0, 0.3])
    expected = extractor.extract(audio)
    seen: set[Any] = set()
    run = extractor._run

    def recorded(*staged: Any) -> Any:
        seen.add((staged[0].shape, *(x for x in staged if x is None or isinstance(x, int))))
        return run(*staged)

    monkeypatch.setattr(extractor, "compile", True)
    monkeypatch.setattr(extractor, "_run", recorded)
    for some in (audio, audio[:3], audio[4:]):
        frames = extractor.extract(some)
        for a, b in zip(frames, [expected[i] for i, x in enumerate(audio) if any(x is y for y in some)], strict=True):
            assert np.abs(a - b).max() < 1e-4 * np.abs(b).max()
    assert 1 <= len(seen) <= SHAPES


def test_a_thread_stages_the_next_batch_and_its_error_is_raised() -> None:
    from contextlib import nullcontext

    def stage(batch: list[int]) -> tuple[Any, ...]:
        if 3 in batch:
            raise ValueError("batch 3")
        return (batch[0],)

    made: Callable[..., Any] = _staged
    batches = [[0], [1], [2]]
    assert list(made(batches, stage, nullcontext, ahead=True)) == list(made(batches, stage, nullcontext, ahead=False))
    with pytest.raises(ValueError, match="batch 3"):
        list(made([[0], [3]], stage, nullcontext, ahead=True))
