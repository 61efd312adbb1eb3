"""Training options of all models."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, field_validator

from speechprep.options import Options

# Options without influence on the weights, apart from rounding. A training may resume with other values.
FREE = ("log_every", "save_every", "keep", "stop_at", "attention", "compile", "checkpointing")


class TrainOptions(Options):
    """Training options of all models. A model adds its own options in a subclass, and may change defaults."""

    steps: int = Field(1000, ge=1, description="length of the training: number of weight updates")
    rows: int = Field(
        8, ge=1, description="batch size: rows on each device in one forward pass; lower it if memory runs out"
    )
    batch_tokens: int | None = Field(
        None,
        ge=1,
        description="tokens of one update over all devices, reached by gradient accumulation; none: one batch on each "
        "device",
    )
    lr: float = Field(3e-4, gt=0, description="peak learning rate, after the warm-up")
    betas: tuple[float, float] = Field(
        (0.9, 0.95), description="AdamW beta1 and beta2: decay rates of the gradient averages"
    )
    weight_decay: float = Field(
        0.1, ge=0, description="AdamW weight decay; it does not apply to biases and layer norms"
    )
    warmup: int | None = Field(
        None,
        ge=0,
        description="number of updates with a linearly rising learning rate; none: a tenth of steps, at most 2000",
    )
    schedule: Literal["cosine", "linear", "constant"] = Field(
        "cosine", description="learning-rate schedule after the warm-up; cosine and linear fall to 0 at the last update"
    )
    clip: float = Field(1.0, ge=0, description="largest gradient norm; larger gradients are scaled down; 0: no limit")
    dropout: float = Field(0.1, ge=0, lt=1, description="dropout probability in all layers of the model")
    precision: Literal["auto", "fp32", "tf32", "bf16"] = Field(
        "auto",
        description="number format of the forward pass; auto: bf16 on a GPU, fp32 on a CPU; tf32: fp32 with matrix "
        "products in TF32 on a GPU",
    )
    attention: Literal["auto", "dense", "split", "flex"] = Field(
        "auto",
        description="attention inside documents; flex: FlexAttention, for a GPU; split: document by document; dense: "
        "with a mask; auto: flex on a GPU, split on a CPU",
    )
    compile: bool = Field(default=False, description="compile the model with torch.compile before the first update")
    checkpointing: bool = Field(
        default=False,
        description="compute the activations of each layer again in the backward pass: less memory, more time",
    )
    seed: int = Field(0, ge=0, description="seed of the initial weights, the dropout and the order of the data")
    log_every: int = Field(10, ge=1, description="updates between two lines of metrics.jsonl")
    save_every: int = Field(500, ge=1, description="updates between two checkpoints")
    keep: int = Field(2, ge=2, description="number of checkpoints on disk; older ones are deleted")
    stop_at: int | None = Field(
        None, ge=1, description="end this run early, with a checkpoint, after this update; the same command resumes it"
    )
    validation: float = Field(
        0.0, ge=0, lt=1, description="fraction of the utterances excluded from training, by a hash of their ids"
    )
    validation_group: str | None = Field(
        None,
        description="regular expression for the start of the ids; ids with the same match (for example, one speaker) "
        "stay on one side of the validation split; none: split by utterance",
    )
    validate_every: int = Field(0, ge=0, description="updates between two validations; 0: no validation")
    validate_batches: int = Field(
        8, ge=1, description="number of batches in a validation on each device, the same batches each time"
    )
    best: str | None = Field(
        None,
        description="loss term of the validation; the trained model has the weights of the validation with its lowest "
        "value, which needs validate_every; none: the weights after the last update",
    )

    @field_validator("betas")
    @classmethod
    def _below_one(cls, betas: tuple[float, float]) -> tuple[float, float]:
        if not all(0 <= beta < 1 for beta in betas):
            raise ValueError(f"{betas} is out of range; set both at least 0 and below 1")
        return betas

    @property
    def held_out(self) -> dict[str, Any]:
        """Arguments of `models.split.held_out`, stored in the configuration of a model; empty without a split."""
        return {"share": self.validation, "group": self.validation_group} if self.validation else {}

    @property
    def warmup_steps(self) -> int:
        """Number of warm-up updates."""
        return min(2000, self.steps // 10) if self.warmup is None else self.warmup

    def accumulation(self, row_tokens: int, world: int) -> int:
        """Number of batches accumulated on each device for one update.

        Args:
            row_tokens: mean number of tokens of a row.
            world: number of devices.
        """

        if self.batch_tokens is None:
            return 1
        return max(1, round(self.batch_tokens / (self.rows * row_tokens * world)))
