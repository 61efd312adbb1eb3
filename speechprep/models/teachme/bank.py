"""CRD with a memory bank (Tian et al. 2020, arXiv 1910.10699): banks of clip vectors and noise contrastive estimation.

    out_t = exp(M_s[idx] . v / T) / Z_t      out_s = exp(M_t[idx] . u / T) / Z_s          (b, 1 + K)
    L(out) = -sum_b [ log p / (p + K/N + e)  +  sum over negatives of log (K/N) / (n + K/N + e) ],     e = 1e-7

u and v are the unit vectors of text and audio, M_s and M_t the banks of N training clips, idx the own clip and K draws.
Z is N times the mean of the first update, over all ranks. After each update, M[y] is replaced by the direction of
momentum M[y] + (1 - momentum) new. Banks and Z are buffers: they are part of a checkpoint. All ranks gather the new
vectors and replace the same rows, so their banks are equal.
"""

from __future__ import annotations

import torch
from torch.nn.functional import normalize

from speechprep.models.losses import gather_ranks
from speechprep.models.teachme.contrast import gather_numbers

EPSILON = 1e-7
MOMENTUM = 0.5


class MemoryBank(torch.nn.Module):
    """The two banks.

    Args:
        clips: number N of training clips.
        dim: dimension of the vectors.
        temperature: T > 0.
    """

    text: torch.Tensor
    audio: torch.Tensor
    scale: torch.Tensor

    def __init__(self, clips: int, dim: int, temperature: float) -> None:
        super().__init__()
        self.temperature = temperature
        bound = (dim / 3) ** -0.5
        for name in ("text", "audio"):
            self.register_buffer(name, torch.empty(clips, dim).uniform_(-bound, bound))
        self.register_buffer("scale", torch.zeros(2))  # Z of text and of audio; 0 before the first update

    def forward(
        self, text: torch.Tensor, audio: torch.Tensor, clip: torch.Tensor, negatives: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Sums over the clips of L(out_s) for the text and of L(out_t) for the audio.

        Args:
            text, audio: (b, d) unit vectors u and v.
            clip: (b,) rows of the banks; -1 for a clip of the validation side, whose positive is its own partner.
            negatives: (b, K) rows of the banks.
        """
        known = (clip >= 0)[:, None]
        own = clip.clamp(min=0)
        sums = []
        for place, (query, bank, partner) in enumerate(((text, self.audio, audio), (audio, self.text, text))):
            positive = torch.where(known, bank[own], partner.detach())[:, None]
            keys = torch.cat([positive, bank[negatives]], 1)
            out = torch.exp((keys @ query[:, :, None])[:, :, 0] / self.temperature)
            if self.training and self.scale[place] == 0:
                self.scale[place] = _mean_over_ranks(out.detach()) * len(bank)
            scale = torch.where(self.scale[place] > 0, self.scale[place], out.detach().mean() * len(bank))
            sums.append(self._estimate(out / scale, len(bank)))
        return sums[0], sums[1]

    @staticmethod
    def _estimate(out: torch.Tensor, clips: int) -> torch.Tensor:
        noise = (out.shape[1] - 1) / clips  # m P_n
        positive, negative = out[:, 0], out[:, 1:]
        own = torch.log(positive / (positive + noise + EPSILON)).sum()
        return -(own + torch.log(noise / (negative + noise + EPSILON)).sum())

    @torch.no_grad()
    def update(self, text: torch.Tensor, audio: torch.Tensor, clip: torch.Tensor) -> None:
        """Replace the rows of the clips of all ranks. A clip that occurs twice has the mean of its vectors."""
        rows = gather_numbers(clip)
        unique, place = torch.unique(rows, return_inverse=True)
        member = torch.nn.functional.one_hot(place, len(unique)).to(text.dtype)
        for bank, new in ((self.text, text), (self.audio, audio)):
            everywhere, _ = gather_ranks(new)
            mean = (member.T @ everywhere) / member.sum(0)[:, None]
            bank[unique] = normalize(MOMENTUM * bank[unique] + (1 - MOMENTUM) * mean, dim=1)


def _mean_over_ranks(values: torch.Tensor) -> torch.Tensor:
    total = torch.stack(
        [values.sum().double(), torch.tensor(values.numel(), dtype=torch.float64, device=values.device)]
    )
    if torch.distributed.is_initialized():
        torch.distributed.all_reduce(total)
    return (total[0] / total[1].clamp(min=1)).to(values.dtype)
