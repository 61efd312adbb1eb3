"""Published codebooks: what they are centroids of, so that they are not used with other frames.

Files and their sha256 are those that textless-lib's checkpoint manager names (facebookresearch/textlesslib,
`textless/checkpoint_manager`); layers are those of its encoder and of the file names, in fairseq's count, which is that
of `hidden_states`. Seamless: `xlsr2_1b_v2`, its layer index 34 counted from 0 (seamless_communication,
`UnitExtractor`). `normalize`: False where fairseq's recipe says so (`hubert_base_librispeech.yaml`; the folders of the
same models on the Hugging Face hub may say otherwise), True for Seamless, None where the recipe is not published: then
the model's folder decides.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from speechprep.errors import ConfigError
from speechprep.pipelines.backends import Extractor

NONE = "none"  # take a file that is known for an unknown one


@dataclass(frozen=True)
class KnownCodebook:
    """A published codebook.

    Attributes:
        name: for `--preset`.
        model: whose frames; `layers`, `dim`: of its encoder.
        layer, k: the layer and the number of units.
        normalize: whether the audio was brought to mean 0 and variance 1; None: not known.
        sha256: of the published file; empty where it was not published with one.
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
        """The extractor's options, with what is known where nothing is given."""
        known: dict[str, Any] = {"layer": self.layer}
        if self.normalize is not None:
            known["normalize"] = self.normalize
        return {**known, **given}

    def check(self, centroids: NDArray[np.float32], extractor: Extractor) -> None:
        """Do the file and the extractor fit what is known?

        Raises:
            ConfigError: naming the first thing that does not.
        """
        if centroids.shape != (self.k, self.dim):
            raise ConfigError(
                f"the codebook {self.name} has {self.k} units of {self.dim} values; "
                f"the file has {centroids.shape[0]} of {centroids.shape[1]}"
            )
        who = extractor.identity()
        of_model = str(who.get("model", "")).rpartition("-")[2]  # "12x768"
        wanted = {"layer": self.layer, "normalize": self.normalize, "model": f"{self.layers}x{self.dim}"}
        for what, should in wanted.items():
            found = of_model if what == "model" else who.get(what)
            if should is not None and found != should:
                raise ConfigError(
                    f"the codebook {self.name} is of {self.model} with {what} = {should}, the extractor has {found}; "
                    f"give it that, or set preset={NONE} if the file is another"
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
PRESETS = {known.name: known for known in _ALL}


def recognise(sha256: str, preset: str | None) -> KnownCodebook | None:
    """The published codebook that a file is: the one named, or the one with these bytes; None for neither.

    Raises:
        ConfigError: there is no such preset, or the file is another published one.
    """
    if preset == NONE:
        return None
    if preset is not None and preset not in PRESETS:
        raise ConfigError(f"unknown preset {preset!r}; there are: {', '.join(PRESETS)}, {NONE}")
    by_bytes = next((known for known in _ALL if known.sha256 == sha256), None)
    if by_bytes and preset and by_bytes.name != preset:
        raise ConfigError(f"preset = {preset!r}, but the file is {by_bytes.name}")
    return by_bytes or (PRESETS[preset] if preset else None)
