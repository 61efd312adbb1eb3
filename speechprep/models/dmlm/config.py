"""Configuration of DMLM: shape of the decoder, layout of the vocabulary, and loss.

0 ..                text tokens of OPT or of another text tokenizer
n_text ..           speech codes, one for each unit of the codebook
+ n_speech ..       image codes
+ n_image ..        <SPEECH> </SPEECH> <IMAGE> </IMAGE> <TEXT> </TEXT>, then <pad> and </s> if the text
                    tokenizer has none, then one token for each task
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any

from transformers import OPTConfig, PretrainedConfig

from speechprep.errors import ConfigError

DELIMITERS = ("<SPEECH>", "</SPEECH>", "<IMAGE>", "</IMAGE>", "<TEXT>", "</TEXT>")
TASKS = ("<ASR>", "<T2S>", "<I2T>")
CLASSES = ("speech", "text", "image", "task")
LAMBDAS = (0.25, 0.93, 0.25)  # weights of speech, text and image (arXiv 2406.06582)
LOSSES = ("trimodal", "plain")
SPECIALS = ("text", "exclude")


class DmlmConfig(PretrainedConfig):
    """Configuration of DMLM.

    Attributes:
        decoder: shape of the decoder, an `OPTConfig`; its `vocab_size` is the size of the whole vocabulary.
        n_text, n_speech, n_image: number of tokens of each modality.
        special: names of the special tokens after the modalities, in the order of their ids.
        loss: "trimodal": sum of the mean of each modality times its lambda; "plain": mean over all tokens.
        lambdas: loss weights of speech, text and image.
        delimiters: "text": delimiters and </s> are targets of the class text; "exclude": they are no targets. Task
            tokens are never targets.
        codebook: content fingerprint of the codebook of the speech codes.
        image_codes: fingerprint of the image codec.
        dedup: True if repeats of a unit are removed.
        held_out: validation split, the arguments of `models.split.held_out`.

    Raises:
        ConfigError: an unknown loss or delimiters, or lambdas out of range.
    """

    model_type = "dmlm"
    sub_configs = {"decoder": OPTConfig}  # noqa: RUF012 - the signature of transformers

    def __init__(
        self,
        decoder: OPTConfig | dict[str, Any] | None = None,
        n_text: int = 0,
        n_speech: int = 0,
        n_image: int = 0,
        special: list[str] | None = None,
        loss: str = "trimodal",
        lambdas: tuple[float, ...] = LAMBDAS,
        delimiters: str = "text",
        codebook: str = "",
        image_codes: str = "",
        dedup: bool = False,  # noqa: FBT001, FBT002 - a field of the JSON
        held_out: dict[str, Any] | None = None,
        **other: Any,
    ) -> None:
        self.decoder = OPTConfig(**decoder) if isinstance(decoder, dict) else decoder or OPTConfig()
        self.n_text, self.n_speech, self.n_image = n_text, n_speech, n_image
        self.special = list(special or [])
        for name, value, choices in (("loss", loss, LOSSES), ("delimiters", delimiters, SPECIALS)):
            if value not in choices:
                raise ConfigError(f"{name} {value!r} is unknown; set one of {', '.join(choices)}")
        if len(lambdas) != 3 or min(lambdas) < 0:
            raise ConfigError(
                f"lambdas {list(lambdas)} are out of range; set three weights of at least 0: speech, text, image"
            )
        self.loss, self.lambdas, self.delimiters = loss, list(lambdas), delimiters
        self.codebook, self.image_codes, self.dedup = codebook, image_codes, dedup
        self.held_out = held_out or {}
        self.vocab_size = self.decoder.vocab_size
        special_ids = {f"{name}_token_id": getattr(self.decoder, f"{name}_token_id") for name in ("pad", "bos", "eos")}
        super().__init__(**(special_ids | {"tie_word_embeddings": False} | other))

    @property
    def ranges(self) -> dict[str, tuple[int, int]]:
        """Ids [start, stop) of the text, speech, image and special tokens."""
        edges = [0]
        for n in (self.n_text, self.n_speech, self.n_image, len(self.special)):
            edges.append(edges[-1] + n)
        return dict(zip(("text", "speech", "image", "special"), pairwise(edges), strict=True))

    def token(self, name: str) -> int:
        """Id of a special token.

        Raises:
            ConfigError: unknown token.
        """
        if name not in self.special:
            raise ConfigError(f"the model has no token {name}; use one of {' '.join(self.special)}")

        return self.ranges["special"][0] + self.special.index(name)
