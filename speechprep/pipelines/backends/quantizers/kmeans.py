"""Quantizer `kmeans`: exact out-of-core k-means, the same bytes on any machine; see `tokenizers.kmeans.fit`."""

from __future__ import annotations

from speechprep.errors import ConfigError
from speechprep.pipelines.backends.base import installed
from speechprep.pipelines.backends.protocols import Quantizer
from speechprep.tokenizers.kmeans.fit import KMeans


class KMeansQuantizer(KMeans, Quantizer):
    """`KMeans` as a backend; the arguments are the same."""

    name = "kmeans"

    def check(self) -> None:
        """Check that a package for the GPU is installed, if a GPU is required.

        Raises:
            ConfigError: device = "gpu" without torch and FAISS.
        """
        if self.device == "gpu" and not (installed("torch") or installed("faiss")):
            raise ConfigError("k-means: device = 'gpu' needs torch or FAISS with CUDA; install one, or choose 'auto'")
