"""The device of a trained model for evaluation."""

from __future__ import annotations

import torch


def device() -> str:
    """A GPU if one is available, else the CPU."""
    return "cuda" if torch.cuda.is_available() else "cpu"
