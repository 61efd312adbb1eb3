"""CRD in the batch: text tokens and audio vectors of one clip against those of the other clips of the batch.

With q_bi the vector of token i of clip b and a_c the vector of the audio of clip c, both of unit length:

    text to audio   mean over tokens (b, i) of  -log exp(q_bi . a_b / T) / sum_c exp(q_bi . a_c / T)
    audio to text   mean over clips b of        -log exp(m_b . a_b / T) / sum_c exp(m_c . a_b / T),   m_b = mean_i q_bi

The clips of all ranks are negatives of each other. Clips with the same text are not: no text could tell them apart.
The paper does not state its pairing; this reading follows InfoNCE (van den Oord et al. 2018).
"""

from __future__ import annotations

import torch
from torch.nn.functional import cross_entropy

from speechprep.models.losses import gather_ranks


def token_mean(tokens: torch.Tensor, owner: torch.Tensor, clips: int) -> torch.Tensor:
    """(clips, d) mean of the tokens (n, d) of each clip; `owner` (n,) is the clip of each token."""
    member = torch.nn.functional.one_hot(owner, clips).to(tokens.dtype)  # a product is deterministic, scattering is not
    return (member.T @ tokens) / member.sum(0).clamp(min=1)[:, None]


def crd(
    tokens: torch.Tensor, owner: torch.Tensor, audio: torch.Tensor, texts: torch.Tensor, temperature: float
) -> tuple[torch.Tensor, torch.Tensor]:
    """Sums of the two terms over the tokens and over the clips of this rank.

    Args:
        tokens: (n, d) unit vectors of the tokens of all clips.
        owner: (n,) clip of each token.
        audio: (b, d) unit vectors of the audio.
        texts: (b,) hash of the text of each clip.
        temperature: T > 0.
    """
    means = token_mean(tokens, owner, len(audio))
    all_audio, first = gather_ranks(audio)
    all_means, _ = gather_ranks(means)
    all_texts = gather_numbers(texts)
    clip = torch.arange(first, first + len(audio), device=audio.device)
    excluded = (texts[:, None] == all_texts) & (clip[:, None] != torch.arange(len(all_texts), device=audio.device))
    text_logits = (tokens @ all_audio.T / temperature).masked_fill(excluded[owner], -torch.inf)
    audio_logits = (audio @ all_means.T / temperature).masked_fill(excluded, -torch.inf)
    return (
        cross_entropy(text_logits, clip[owner], reduction="sum"),
        cross_entropy(audio_logits, clip, reduction="sum"),
    )


def gather_numbers(numbers: torch.Tensor) -> torch.Tensor:
    """Integers (n,) of all ranks, in the order of the ranks; n may differ between ranks."""
    if not torch.distributed.is_initialized() or torch.distributed.get_world_size() == 1:
        return numbers
    size = torch.tensor([len(numbers)], device=numbers.device)
    sizes = [torch.zeros_like(size) for _ in range(torch.distributed.get_world_size())]
    torch.distributed.all_gather(sizes, size)
    counts = [int(n) for n in sizes]
    parts = [numbers.new_zeros(max(counts)) for _ in counts]
    torch.distributed.all_gather(parts, torch.nn.functional.pad(numbers, (0, max(counts) - len(numbers))))
    return torch.cat([part[:n] for part, n in zip(parts, counts, strict=True)])
