"""NST: neuron selectivity transfer, the squared MMD with the kernel k(x, y) = (x . y + c)^2 (Huang and Wang 2017).

The teacher has one vector a for each clip, the student one vector s for each token. Three readings have a gradient and
depend on the audio:

    R2  the components of s and of a are the samples, scalars, c = 0:    (mean s_i^2 - mean a_i^2)^2
    R5  s and a are one sample each, of unit length, c = 0:              2 - 2 cos^2
    R6  the same with c = 1:                                             8 - 2 (cos + 1)^2

Three other readings are constants. R1, rows of a broadcast teacher, each normalised over the tokens, does not depend on
the audio. R3, components of normalised vectors, and R4, normalised components, give 0. A test shows this with
`polynomial_mmd`.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch.nn.functional import normalize

Form = Literal["r2", "r5", "r6"]


def polynomial_mmd(x: torch.Tensor, y: torch.Tensor, offset: float = 0.0, degree: int = 2) -> torch.Tensor:
    """Squared maximum mean discrepancy of two samples, with the kernel (x . y + offset)^degree.

    Args:
        x, y: (m, d) and (n, d).
    """

    def mean(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
        return ((a @ b.T + offset) ** degree).mean()

    return mean(x, x) + mean(y, y) - 2 * mean(x, y)


def nst(student: torch.Tensor, teacher: torch.Tensor, form: Form) -> torch.Tensor:
    """(n, m) NST of each student vector with each teacher vector.

    Args:
        student: (n, d) outputs of the head.
        teacher: (m, d) centred teacher vectors.
        form: reading of the MMD, see the module.
    """
    if form == "r2":
        return ((student**2).mean(1)[:, None] - (teacher**2).mean(1)[None]) ** 2
    cosine = normalize(student, dim=1) @ normalize(teacher, dim=1).T
    return 2 - 2 * cosine**2 if form == "r5" else 8 - 2 * (cosine + 1) ** 2


def nst_pairs(student: torch.Tensor, teacher: torch.Tensor, form: Form) -> torch.Tensor:
    """(n,) NST of each student vector (n, d) with the teacher vector (n, d) of the same row."""
    if form == "r2":
        return ((student**2).mean(1) - (teacher**2).mean(1)) ** 2
    cosine = (normalize(student, dim=1) * normalize(teacher, dim=1)).sum(1)
    return 2 - 2 * cosine**2 if form == "r5" else 8 - 2 * (cosine + 1) ** 2
