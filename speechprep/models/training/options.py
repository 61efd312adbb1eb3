"""Training options of all models."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, field_validator

from speechprep.options import Options

# Those that change nothing of the weights: a run may go on with other values.
FREE = ("log_every", "save_every", "keep", "stop_at")


class TrainOptions(Options):
    """See the module's text. Models add their own, and their defaults."""

    steps: int = Field(1000, ge=1, description="updates of the weights")
    rows: int = Field(8, ge=1, description="rows of a batch on each device")
    batch_tokens: int | None = Field(
        None, ge=1, description="tokens of an update over all devices, reached by accumulation; not given: one batch"
    )
    lr: float = Field(3e-4, gt=0, description="highest learning rate")
    betas: tuple[float, float] = Field((0.9, 0.95), description="of AdamW")
    weight_decay: float = Field(0.1, ge=0, description="of AdamW; biases and layer norms have none")
    warmup: int | None = Field(
        None, ge=0, description="updates of linear warm-up; not given: 2000, or a tenth of the steps where that is less"
    )
    schedule: Literal["cosine", "linear", "constant"] = Field("cosine", description="of the learning rate")
    clip: float = Field(1.0, ge=0, description="largest norm of the gradient; 0 for no limit")
    dropout: float = Field(0.1, ge=0, lt=1, description="in the model")
    precision: Literal["auto", "fp32", "bf16"] = Field("auto", description="auto: bf16 on a GPU, fp32 elsewhere")
    seed: int = Field(0, ge=0, description="of weights, dropout and the order of the data")
    log_every: int = Field(10, ge=1, description="updates between two lines of metrics")
    save_every: int = Field(500, ge=1, description="updates between two checkpoints")
    keep: int = Field(2, ge=2, description="checkpoints to keep")
    stop_at: int | None = Field(None, ge=1, description="save and leave after this update; the same command goes on")
    validation: float = Field(0.0, ge=0, lt=1, description="share of the utterances that is not trained on")
    validation_group: str | None = Field(
        None, description="regular expression: ids that begin with the same match are on one side, e.g. the speaker"
    )
    validate_every: int = Field(0, ge=0, description="updates between two validations; 0 for none")
    validate_batches: int = Field(8, ge=1, description="batches of a validation, the same ones each time")

    @field_validator("betas")
    @classmethod
    def _below_one(cls, betas: tuple[float, float]) -> tuple[float, float]:
        if not all(0 <= beta < 1 for beta in betas):
            raise ValueError(f"betas {betas}; both must be at least 0 and below 1")
        return betas

    @property
    def held_out(self) -> dict[str, Any]:
        """For a model's configuration: its validation split, see `models.split`."""
        return {"share": self.validation, "group": self.validation_group} if self.validation else {}

    @property
    def warmup_steps(self) -> int:
        """Updates of warm-up."""
        return min(2000, self.steps // 10) if self.warmup is None else self.warmup

    def accumulation(self, row_tokens: int, world: int) -> int:
        """Batches of each device for one update, for rows of `row_tokens` tokens on `world` devices."""
        if self.batch_tokens is None:
            return 1
        return max(1, round(self.batch_tokens / (self.rows * row_tokens * world)))
