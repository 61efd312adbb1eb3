"""Configuration of SUTLM: shape of the decoder, and joint vocabulary of units and text."""

from __future__ import annotations

from typing import Any

from transformers import OPTConfig, PretrainedConfig

from speechprep.models.decoder import opt_config
from speechprep.tokenizers.subword.vocabulary import Vocabulary


class SutlmConfig(PretrainedConfig):
    """Configuration of SUTLM, built by `for_vocabulary`.

    Attributes:
        decoder: shape of the decoder, an `OPTConfig`.
        vocabulary: content fingerprint of the `subword` folder of its token ids.
        ranges: ids [start, stop) of "special", "text" and "unit".
        markers: ids of u_start, u_end, t_start, t_end, u2t and t2u.
        codebook: content fingerprint of the codebook of its training units; "" if unknown.
        held_out: validation split, the arguments of `models.split.held_out`.
        labels: labels of a fine-tuned classifier, in the order of its outputs.
    """

    model_type = "sutlm"
    sub_configs = {"decoder": OPTConfig}  # noqa: RUF012 - the signature of transformers

    def __init__(
        self,
        decoder: OPTConfig | dict[str, Any] | None = None,
        vocabulary: str = "",
        ranges: dict[str, list[int]] | None = None,
        markers: dict[str, int] | None = None,
        codebook: str = "",
        held_out: dict[str, Any] | None = None,
        labels: list[str] | None = None,
        **other: Any,
    ) -> None:
        self.decoder = OPTConfig(**decoder) if isinstance(decoder, dict) else decoder or OPTConfig()
        self.vocabulary = vocabulary
        self.ranges = ranges or {}
        self.markers = markers or {}
        self.codebook = codebook
        self.held_out = held_out or {}
        self.labels = labels or []
        self.vocab_size = self.decoder.vocab_size
        special = {f"{name}_token_id": getattr(self.decoder, f"{name}_token_id") for name in ("pad", "bos", "eos")}
        super().__init__(**(special | {"tie_word_embeddings": False} | other))

    @classmethod
    def for_vocabulary(
        cls,
        vocab: Vocabulary,
        fingerprint: str,
        *,
        codebook: str = "",
        held_out: dict[str, Any] | None = None,
        size: str = "125m",
        context: int = 2048,
        **shape: Any,
    ) -> SutlmConfig:
        """Configuration for a vocabulary.

        Args:
            vocab: the joint vocabulary.
            fingerprint: content hash of its folder, from its manifest.
            codebook, held_out: see the attributes.
            size: name of one of `decoder.SIZES`.
            context: number of positions.
            shape: further fields of `OPTConfig`, for example `dropout`.

        """
        special = {"pad_token_id": vocab.pad, "bos_token_id": vocab.bos, "eos_token_id": vocab.eos}
        markers = ("u_start", "u_end", "t_start", "t_end", "u2t", "t2u")
        return cls(
            decoder=opt_config(size, vocab.size, context, **(special | shape)),
            vocabulary=fingerprint,
            ranges=vocab.describe()["ranges"],
            markers={name: getattr(vocab, name) for name in markers},
            codebook=codebook,
            held_out=held_out,
        )
