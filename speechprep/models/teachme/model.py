"""BERT with MLM and a distillation term from the vector of the audio (arXiv 2311.07014).

    L = L_MLM + gamma L_KD        L_KD: NST over the tokens, or the two terms of CRD

[CLS], [SEP] and padding have no distillation loss. The distillation acts on the same forward pass as MLM, with the
masked input, as in VidLanKD (arXiv 2107.02681). Teacher vectors are centred by the mean of the training side.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch.nn.functional import normalize
from transformers import BertConfig, BertForMaskedLM, PreTrainedModel
from transformers.utils.generic import ModelOutput

from speechprep.models.decoder import DecoderOutput
from speechprep.models.encoder.shapes import masked_loss
from speechprep.models.losses import IGNORE, LossTerm, combine
from speechprep.models.teachme.bank import MemoryBank
from speechprep.models.teachme.contrast import crd, token_mean
from speechprep.models.teachme.neurons import nst, nst_pairs

HEADS = "distillation.safetensors"  # heads and centre, beside the plain BERT


class Distillation(torch.nn.Module):
    """Heads of student and teacher, and the centre of the teacher vectors.

    Args:
        width: width of the student.
        settings: entries of `config.speechprep["distillation"]`: distill, form, temperature, head, teacher_dim, dim,
            clips.
    """

    centre: torch.Tensor

    def __init__(self, width: int, settings: dict[str, Any]) -> None:
        super().__init__()
        self.settings = settings
        teacher_dim, contrastive = settings["teacher_dim"], settings["distill"] != "nst"
        out = settings["dim"] if contrastive else teacher_dim
        layers: list[torch.nn.Module] = [torch.nn.Linear(width, out)]
        if settings["head"] == "mlp":
            layers = [torch.nn.Linear(width, width), torch.nn.GELU(), torch.nn.LayerNorm(width), *layers]
        self.student = torch.nn.Sequential(*layers)
        self.teacher = torch.nn.Linear(teacher_dim, out) if contrastive else torch.nn.Identity()
        self.register_buffer("centre", torch.zeros(teacher_dim))
        self.bank = None
        if settings["distill"] == "crd_bank":
            self.bank = MemoryBank(settings["clips"], out, settings["temperature"])

    def tokens(self, hidden: torch.Tensor) -> torch.Tensor:
        """Student vectors of tokens (n, width); of unit length for CRD."""
        out: torch.Tensor = self.student(hidden)
        return out if self.settings["distill"] == "nst" else normalize(out, dim=1)

    def audio(self, vectors: torch.Tensor) -> torch.Tensor:
        """Teacher vectors of clips (b, teacher_dim), centred; projected to unit length for CRD."""
        out: torch.Tensor = self.teacher(vectors - self.centre)
        return out if self.settings["distill"] == "nst" else normalize(out, dim=1)

    def agreement(self, tokens: torch.Tensor, owner: torch.Tensor, audio: torch.Tensor, texts: int) -> torch.Tensor:
        """(texts, m) mean over the tokens of a text of the cosine with each audio (m, d); for NST minus the loss."""
        each = -nst(tokens, audio, self.settings["form"]) if self.settings["distill"] == "nst" else tokens @ audio.T
        return token_mean(each, owner, texts)


class TeachMe(PreTrainedModel):
    """Student with the heads of the distillation.

    Args:
        config: configuration of the student, with `speechprep["distillation"]`.
        start: trained BERT with the initial weights; None: random weights.
    """

    config_class = BertConfig
    _supports_sdpa = True
    _tied_weights_keys = ["lm.cls.predictions.decoder.weight", "lm.cls.predictions.decoder.bias"]  # type: ignore[assignment]  # noqa: RUF012

    def __init__(self, config: BertConfig, start: BertForMaskedLM | None = None) -> None:
        super().__init__(config)
        self.lm = BertForMaskedLM(config) if start is None else start
        self.settings = config.speechprep["distillation"]
        self.distillation = Distillation(config.hidden_size, self.settings)

    def _init_weights(self, module: torch.nn.Module) -> None:
        """Nothing to initialise: `BertForMaskedLM` and torch initialise their own modules."""

    def loss_terms(self) -> tuple[LossTerm, ...]:
        """MLM, and NST or the two terms of CRD."""
        gamma, kind = self.settings["gamma"], self.settings["distill"]
        if kind == "nst":
            return (LossTerm("mlm"), LossTerm("nst", gamma))
        text_unit: Any = "tokens" if kind == "crd" else "items"
        return (
            LossTerm("mlm"),
            LossTerm("crd_text", gamma, unit=text_unit),
            LossTerm("crd_audio", gamma, unit="items"),
        )

    def target_counts(
        self, labels: torch.Tensor, attention_mask: torch.Tensor, paired: torch.Tensor, **_: Any
    ) -> torch.Tensor:
        """(terms,) numbers of masked pieces, and of tokens or clips with audio."""
        tokens = (attention_mask.sum(1) - 2)[paired].sum()
        kind, clips = self.settings["distill"], paired.sum()
        rest = {"nst": [tokens], "crd": [tokens, clips], "crd_bank": [clips, clips]}[kind]
        return torch.stack([(labels != IGNORE).sum(), *rest])

    def forward(
        self,
        input_ids: torch.Tensor,
        attention_mask: torch.Tensor,
        labels: torch.Tensor,
        vectors: torch.Tensor,
        paired: torch.Tensor,
        texts: torch.Tensor,
        clip: torch.Tensor | None = None,
        negatives: torch.Tensor | None = None,
        counts: torch.Tensor | None = None,
    ) -> ModelOutput:
        """The loss.

        Args:
            input_ids, attention_mask, labels: (b, l) as in `encoder.batches.MaskedBatches`.
            vectors: (b, teacher_dim) teacher vectors.
            paired: (b,) False for a clip without audio in a control; it has no distillation loss.
            texts: (b,) hash of the text.
            clip, negatives: (b,) and (b, K) rows of the memory bank.
            counts: as in `losses.combine`.
        """
        hidden = self.lm.bert(input_ids, attention_mask=attention_mask).last_hidden_state
        sums = [masked_loss(self.lm, hidden, labels)]
        device_type = hidden.device.type
        with torch.autocast(device_type, enabled=False):
            tokens, owner = valid_tokens(hidden[paired], attention_mask[paired])
            chosen = self.distillation.tokens(tokens)
            audio = self.distillation.audio(vectors[paired])
            sums += self._distilled(chosen, owner, audio, texts[paired], paired, clip, negatives)
        stacked = torch.stack(sums)
        batch_counts = self.target_counts(labels=labels, attention_mask=attention_mask, paired=paired)
        loss = combine(self.loss_terms(), stacked, batch_counts if counts is None else counts)
        return DecoderOutput(loss=loss, sums=stacked.detach(), counts=batch_counts)

    def _distilled(
        self,
        tokens: torch.Tensor,
        owner: torch.Tensor,
        audio: torch.Tensor,
        texts: torch.Tensor,
        paired: torch.Tensor,
        clip: torch.Tensor | None,
        negatives: torch.Tensor | None,
    ) -> list[torch.Tensor]:
        """Sums of the distillation terms."""
        if self.settings["distill"] == "nst":
            return [nst_pairs(tokens, audio[owner], self.settings["form"]).sum()]
        if self.settings["distill"] == "crd":
            return list(crd(tokens, owner, audio, texts, self.settings["temperature"]))
        assert self.distillation.bank is not None and clip is not None and negatives is not None  # noqa: S101, PT018
        sentence = normalize(token_mean(tokens, owner, len(audio)), dim=1)
        sums = list(self.distillation.bank(sentence, audio, clip[paired], negatives[paired]))
        if self.training:
            self.distillation.bank.update(sentence.detach(), audio.detach(), clip[paired])
        return sums

    @torch.no_grad()
    def agreement(self, input_ids: torch.Tensor, attention_mask: torch.Tensor, vectors: torch.Tensor) -> torch.Tensor:
        """(b, m) agreement of each text with each of m teacher vectors (m, teacher_dim)."""
        hidden = self.lm.bert(input_ids, attention_mask=attention_mask).last_hidden_state
        tokens, owner = valid_tokens(hidden, attention_mask)
        audio = self.distillation.audio(vectors)
        return self.distillation.agreement(self.distillation.tokens(tokens), owner, audio, len(input_ids))

    def export(self, out: Path) -> None:
        """Write the student as a plain `BertForMaskedLM`, and the heads with the centre to `HEADS`."""
        self.lm.save_pretrained(out)
        kept = {name: value for name, value in self.distillation.state_dict().items() if not name.startswith("bank.")}
        save_file({name: value.contiguous() for name, value in kept.items()}, out / HEADS)


def valid_tokens(hidden: torch.Tensor, attention_mask: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """States (n, d) of the tokens between [CLS] and [SEP], in float32 or float64, and their rows (n,).

    Args:
        hidden: (b, l, d). attention_mask: (b, l), 1 on [CLS], pieces and [SEP].
    """
    position = torch.arange(hidden.shape[1], device=hidden.device)
    inside = (position > 0) & (position < attention_mask.sum(1, keepdim=True) - 1)
    return hidden[inside].to(torch.promote_types(hidden.dtype, torch.float32)), inside.nonzero()[:, 0]
