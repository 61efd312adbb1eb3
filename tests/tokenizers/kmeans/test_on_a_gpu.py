"""k-means on a GPU: the bytes of a CPU."""

from __future__ import annotations

import numpy as np
import pytest

from speechprep.tokenizers.kmeans.fit import KMeans
from speechprep.tokenizers.kmeans.gpu import TorchSearch
from speechprep.tokenizers.kmeans.nearest import Centroids

pytestmark = pytest.mark.gpu


def frames(n: int, dim: int = 48, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    centres = rng.standard_normal((60, dim))
    return (centres[rng.integers(60, size=n)] + rng.standard_normal((n, dim)) + 5).astype(np.float32)


def test_a_fit_has_the_bytes_of_a_cpu(gpu: str) -> None:
    data = frames(30_000)
    fits = [KMeans(device=device).fit(data, 50, seed=0) for device in ("cpu", "gpu" if gpu == "cuda" else "cpu")]
    assert np.array_equal(fits[0].centroids, fits[1].centroids)
    assert fits[0].inertia == fits[1].inertia


@pytest.mark.parametrize("cache", [0, 1 << 20, None])
def test_units_have_the_bytes_of_a_cpu(gpu: str, cache: int | None) -> None:
    data, book = frames(20_000), frames(2000, seed=1)
    expected = Centroids(book).assign(data)
    assert np.array_equal(Centroids(book, TorchSearch(gpu, cache)).assign(data), expected)
