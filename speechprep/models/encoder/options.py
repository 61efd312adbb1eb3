"""Training options of all text encoders."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from speechprep.models.training.options import TrainOptions


class EncoderOptions(TrainOptions):
    """Options of all text encoders. Defaults are those of BERT-base in VidLanKD (arXiv 2107.02681)."""

    lr: float = Field(2e-4, gt=0, description="peak learning rate, after the warm-up")
    betas: tuple[float, float] = Field(
        (0.9, 0.999), description="AdamW beta1 and beta2: decay rates of the gradient averages"
    )
    weight_decay: float = Field(
        0.01, ge=0, description="AdamW weight decay; it does not apply to biases and layer norms"
    )
    schedule: Literal["cosine", "linear", "constant"] = Field(
        "linear", description="learning-rate schedule after the warm-up; cosine and linear fall to 0 at the last update"
    )
    rows: int = Field(
        32, ge=1, description="batch size: texts on each device in one forward pass; lower it if memory runs out"
    )
    size: Literal["tiny", "mini", "base"] = Field(
        "base", description="shape of the encoder: 2, 4 or 12 layers of width 64, 256 or 768"
    )
    context: int = Field(
        128, ge=8, description="largest length of a row in tokens, and number of positions without init"
    )
    tokenizer: str | None = Field(
        None, description="folder of the WordPiece tokenizer; none: that of init, or the folder wordpiece of the run"
    )
    init: str | None = Field(None, description="BERT folder with the initial weights; none: random weights")
    mask_share: float = Field(0.15, gt=0, lt=1, description="fraction of the pieces of a text that MLM predicts")
    whole_words: bool = Field(default=False, description="mask all pieces of a word together")
    texts: Literal["auto", "utterances", "clips"] = Field(
        "auto", description="rows of a run to train on; auto: clips if the run has them, else utterances"
    )
    split: str | None = Field(None, description="train only on rows of this split of the corpus; none: on all")
