"""A toy model with six loss terms, trained by the loop of the zoo. As a script, one rank of a training.

Terms: two of tokens with one denominator (`mlm`, `mlm_joint`), two of items (`matching`, `label`), one contrastive
between the items of all ranks (`contrastive`), one regression of items (`distillation`).
"""

from __future__ import annotations

import sys
from pathlib import Path

import torch
from torch.nn.functional import binary_cross_entropy_with_logits, cross_entropy, mse_loss, normalize
from torch.optim.optimizer import register_optimizer_step_pre_hook
from transformers import PretrainedConfig, PreTrainedModel
from transformers.utils.generic import ModelOutput

from speechprep.models.losses import IGNORE, LossTerm, combine, contrastive
from speechprep.models.training.options import TrainOptions
from speechprep.models.training.run import TrainingJob, train

TERMS = (
    LossTerm("mlm", 1.0, "text"),
    LossTerm("mlm_joint", 1.0, "text"),
    LossTerm("matching", 0.5, unit="items"),
    LossTerm("label", 0.7, unit="items"),
    LossTerm("contrastive", 2.0, unit="items"),
    LossTerm("distillation", 0.3, unit="items"),
)
VOCAB, WIDTH, LENGTH, FEATURES, ITEMS = 20, 6, 5, 4, 16


class SixTermsConfig(PretrainedConfig):
    model_type = "six-terms"


class SixTerms(PreTrainedModel):
    config_class = SixTermsConfig

    def __init__(self, config: SixTermsConfig) -> None:
        super().__init__(config)
        self.embedding = torch.nn.Embedding(VOCAB, WIDTH)
        self.audio = torch.nn.Linear(FEATURES, WIDTH)
        self.joint = torch.nn.Linear(WIDTH, WIDTH)
        self.matching, self.label = torch.nn.Linear(WIDTH, 1), torch.nn.Linear(WIDTH, 3)
        self.post_init()

    def _init_weights(self, module: torch.nn.Module) -> None:
        """Keep the initial weights of torch."""

    def loss_terms(self) -> tuple[LossTerm, ...]:
        return TERMS

    def target_counts(self, labels, joint_labels, matched, label, **_):
        tokens = [(labels != IGNORE).sum(), (joint_labels != IGNORE).sum()]
        items = [(label != IGNORE).sum() if kind == "label" else torch.tensor(len(matched)) for kind in
                 ("matching", "label", "contrastive", "distillation")]  # fmt: skip
        return torch.stack([*tokens, *items])

    def forward(self, input_ids, audio, labels, joint_labels, matched, label, teacher, counts=None):
        text, sound = self.embedding(input_ids), self.audio(audio)
        joint = torch.tanh(self.joint(text + sound[:, None]))
        pooled, output = joint.mean(1), self.embedding.weight.T
        pairs, _ = contrastive(normalize(sound), normalize(text.mean(1)), 0.2)
        sums = torch.stack([
            cross_entropy((text @ output).flatten(0, 1), labels.flatten(), reduction="sum"),
            cross_entropy((joint @ output).flatten(0, 1), joint_labels.flatten(), reduction="sum"),
            binary_cross_entropy_with_logits(self.matching(pooled)[:, 0], matched, reduction="sum"),
            cross_entropy(self.label(pooled), label, reduction="sum"),
            pairs,
            mse_loss(pooled, teacher, reduction="none").mean(1).sum(),
        ])  # fmt: skip
        batch_counts = self.target_counts(labels, joint_labels, matched, label)
        loss = combine(TERMS, sums, batch_counts if counts is None else counts)
        return ModelOutput(loss=loss, sums=sums.detach(), counts=batch_counts)


def items() -> dict[str, torch.Tensor]:
    """Random data in which every item has another number of targets, and some have no label."""
    draw = torch.Generator().manual_seed(5)
    ids = torch.randint(0, VOCAB, (ITEMS, LENGTH), generator=draw)
    masked, joint_masked = (torch.rand(ITEMS, LENGTH, generator=draw) < share for share in (0.4, 0.7))
    label = torch.randint(0, 3, (ITEMS,), generator=draw)
    label[torch.rand(ITEMS, generator=draw) < 0.5] = IGNORE
    return {
        "input_ids": ids,
        "audio": torch.randn(ITEMS, FEATURES, generator=draw),
        "labels": torch.where(masked, ids, IGNORE),
        "joint_labels": torch.where(joint_masked, ids, IGNORE),
        "matched": (torch.rand(ITEMS, generator=draw) < 0.5).float(),
        "label": label,
        "teacher": torch.randn(ITEMS, WIDTH, generator=draw),
    }


class StepBatches:
    """Items in order. A step takes the next 8 items, divided unequally: rank 0 of 2 takes 5 of them."""

    def __init__(self, rank: int, world: int) -> None:
        self.data, self.step = items(), 0
        self.part = slice(0, 8) if world == 1 else (slice(0, 5), slice(5, 8))[rank]

    def __iter__(self):
        while True:
            at = (torch.arange(8) + 8 * self.step)[self.part] % ITEMS
            self.step += 1
            yield {name: values[at] for name, values in self.data.items()}

    def state(self):
        return {"step": self.step}

    def restore(self, state) -> None:
        self.step = state["step"]


def fit(out: Path) -> list[dict[str, torch.Tensor]]:
    """Train for 3 updates, and return the gradients of each."""
    gradients: list[dict[str, torch.Tensor]] = []

    def record(optimizer, *_) -> None:
        parameters = [p for group in optimizer.param_groups for p in group["params"]]
        gradients.append({str(i): p.grad.clone() for i, p in enumerate(parameters)})

    job = TrainingJob(
        model=lambda: SixTerms(SixTermsConfig()),
        batches=StepBatches,
        validation=lambda rank, world: [],
        row_tokens=LENGTH,
        facts={"model": "six-terms"},
        finish=lambda folder: None,
    )
    hook = register_optimizer_step_pre_hook(record)
    try:
        train(job, TrainOptions(steps=3, log_every=1, clip=0.0, precision="fp32"), out, quiet=True)
    finally:
        hook.remove()
    return gradients


if __name__ == "__main__":
    folder = Path(sys.argv[1])
    gradients = fit(folder / "model")
    torch.save(gradients, folder / f"gradients{torch.distributed.get_rank()}.pt")
    torch.distributed.destroy_process_group()
