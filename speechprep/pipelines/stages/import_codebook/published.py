"""Published codebooks with their extractors, for refusing a codebook with another extractor.

Files and sha256 come from textless-lib's checkpoint manager (facebookresearch/textlesslib,
`textless/checkpoint_manager`). Layers come from its encoder and from the file names, in fairseq's count, as in
`hidden_states`. Seamless: `xlsr2_1b_v2`, its layer index 34 counted from 0 (seamless_communication,
`UnitExtractor`). `normalize` is False for fairseq's recipe (`hubert_base_librispeech.yaml`; the folders of the
same models on the Hugging Face hub may differ) and True for Seamless. It is None for an unpublished recipe: the
folder of the model decides.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from speechprep.errors import ConfigError
from speechprep.pipelines.backends import Extractor

NONE = "none"  # treat a known file as unknown


@dataclass(frozen=True)
class KnownCodebook:
    """A published codebook.

    Attributes:
        name: value of the option `preset`.
        model: the extractor's model; `layers`, `dim`: options of its encoder.
        layer, k: the layer and the number of units.
        normalize: True for audio normalised to mean 0 and variance 1; None: unpublished.
        sha256: digest of the published file; empty if none is published.
    """

    name: str
    model: str
    layer: int
    k: int
    sha256: str = ""
    normalize: bool | None = None
    layers: int = 12
    dim: int = 768
    extractor: str = "hubert"

    def options(self, given: dict[str, Any]) -> dict[str, Any]:
        """Options of the extractor, with the published values as defaults."""
        defaults: dict[str, Any] = {"layer": self.layer}
        if self.normalize is not None:
            defaults["normalize"] = self.normalize
        return {**defaults, **given}

    def check(self, centroids: NDArray[np.float32], extractor: Extractor) -> None:
        """Compare the file and the extractor with the published facts.

        Raises:
            ConfigError: the first mismatch.
        """
        if centroids.shape != (self.k, self.dim):
            raise ConfigError(
                f"the codebook {self.name} has {self.k} units of {self.dim} values; "
                f"the file has {centroids.shape[0]} of {centroids.shape[1]}; set preset={NONE} for another file"
            )
        identity = extractor.identity()
        of_model = str(identity.get("model", "")).rpartition("-")[2]  # "12x768"
        expected = {"layer": self.layer, "normalize": self.normalize, "model": f"{self.layers}x{self.dim}"}
        for name, value in expected.items():
            actual = of_model if name == "model" else identity.get(name)
            if value is not None and actual != value:
                raise ConfigError(
                    f"the codebook {self.name} is of {self.model} with {name} = {value}, the extractor has {actual}; "
                    f"set {name} of the extractor, or set preset={NONE} for another file"
                )


_HUBERT, _EN_ES_FR = "hubert-base-ls960", "mhubert-base-vp_en_es_fr"
_EIGHT, _SLOW = "mhubert-base-vp_mls_cv_8lang", "mhubert-base-25hz"
_ALL = (
    KnownCodebook(
        "hubert-base-ls960-kmeans-50", _HUBERT, 6, 50,
        "d01a7d5bc2c54b7b5f25f321ba525b4d230b06e3927f90bad0394198bc89f494", normalize=False,
    ),
    KnownCodebook(
        "hubert-base-ls960-kmeans-100", _HUBERT, 6, 100,
        "f14a3104615485381fc489701d6761c9abbdbb0d43607cf55518a1e2891023fe", normalize=False,
    ),
    KnownCodebook(
        "hubert-base-ls960-kmeans-200", _HUBERT, 6, 200,
        "b3c46c9cdd1707ad852dd53c359aa73942e79d53c432a9a8a419ed046408024b", normalize=False,
    ),
    KnownCodebook(
        "hubert-base-ls960-kmeans-500", _HUBERT, 6, 500,
        "411c8668e1314751404f58636f935fc73540a6793890435da4a8ffadf157398e", normalize=False,
    ),
    KnownCodebook(
        "hubert-base-ls960-layer-9-kmeans-500", _HUBERT, 9, 500,
        "4450dcbc90aa7d0553306a4b0fafef35c9b3c840468f02969273dfbb9db89a23", normalize=False,
    ),
    KnownCodebook(
        "hubert-base-ls960-layer-9-kmeans-expresso-2000", _HUBERT, 9, 2000,
        "ae73e3cc7ea0426faf43c8bb67fc3846a0f8708232526d045a101836e8c7929f", normalize=False,
    ),
    KnownCodebook(
        "mhubert-base-vp_en_es_fr-layer-11-kmeans-1000", _EN_ES_FR, 11, 1000,
        "c70f5416c38044d0c20e33fdeedf4533974a8ac4029985cdef3b755038381a0b",
    ),
    KnownCodebook(
        "mhubert-base-vp_mls_cv_8lang-kmeans-2000", _EIGHT, 12, 2000,
        "05de230870427dcdce334d29922ccce354c7e7d0574edc645f5daed47b1ccc18",
    ),
    KnownCodebook(
        "mhubert-base-vp_mls_cv_8lang-kmeans-expresso-2000", _EIGHT, 12, 2000,
        "bda2dbf5fe42bf59359799b281498a9d7fd0a9ec703d6dc54a4a4a0ff70a4e22",
    ),
    KnownCodebook(
        "mhubert-base-25hz-kmeans-500", _SLOW, 11, 500,
        "03cc04a9c24fec4285e73e709c485756d8f116aa8e724eac555de6a7cf8d28ad",
    ),
    KnownCodebook("seamless-10k", "xlsr2_1b_v2", 35, 10_000, normalize=True, layers=48, dim=1280),
)  # fmt: skip
PRESETS = {codebook.name: codebook for codebook in _ALL}


def recognise(sha256: str, preset: str | None) -> KnownCodebook | None:
    """The published codebook of a file, by name or by the digest of the file; None for an unknown file.

    Raises:
        ConfigError: unknown preset, or another published file.
    """
    if preset == NONE:
        return None
    if preset is not None and preset not in PRESETS:
        raise ConfigError(f"unknown preset {preset!r}; choose one of: {', '.join(PRESETS)}, {NONE}")
    by_bytes = next((codebook for codebook in _ALL if codebook.sha256 == sha256), None)
    if by_bytes and preset and by_bytes.name != preset:
        raise ConfigError(f"preset = {preset!r}, but the file is {by_bytes.name}; leave preset out")
    return by_bytes or (PRESETS[preset] if preset else None)
