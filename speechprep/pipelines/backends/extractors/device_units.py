"""Nearest centroids of frames on a GPU: only the units are copied to the host, and they equal the units of the host.

The rule is the same as in `tokenizers.kmeans.nearest`. Float32 products find the nearest centroid. If the second
nearest is within the bound of the rounding error, the candidates are compared again in float64.
"""

from __future__ import annotations

from typing import Any

from speechprep.tokenizers.kmeans.nearest import SAFETY_FACTOR, UNIT_ROUNDOFF, Centroids, product_error

ROWS = 1 << 15  # frames in one block of scores


class DeviceCentroids:
    """The centroids of a codebook on a torch device."""

    def __init__(self, centroids: Centroids, device: Any) -> None:
        import torch

        self._wide = torch.from_numpy(centroids.centroids).to(device).double()
        self._transposed = self._wide.float().T.contiguous()
        squares = self._wide.square().sum(1)
        self._half, self._norm = (0.5 * squares).float(), float(squares.max().sqrt())
        self.k, self.dim = centroids.k, centroids.dim
        transform = centroids.transform
        self._means = None if transform.means is None else torch.from_numpy(transform.means).to(device)
        self._scale = None if transform.scale is None else torch.from_numpy(transform.scale).to(device)

    def __call__(self, frames: Any) -> Any:
        """(batch, frames, dim) float32 of whole windows -> (batch, frames) int32; row i has number i in its window."""
        import torch

        # The same two float32 operations as on the host, so the bits are equal.
        if self._means is not None:
            frames = frames - self._means[: frames.shape[1]]
        if self._scale is not None:
            frames = frames * self._scale
        rows = frames.reshape(-1, self.dim)
        units = torch.cat([self._block(part) for part in rows.split(ROWS)])
        return units.reshape(frames.shape[:2]).int()

    def _block(self, x: Any) -> Any:
        import torch

        scores = torch.addmm(self._half, x, self._transposed, alpha=-1)  # half the squared distance, without |x|^2 / 2
        lowest, best = scores.min(1)
        second = scores.scatter(1, best[:, None], float("inf")).amin(1)
        norms = x.double().square().sum(1).sqrt()
        slack = SAFETY_FACTOR * product_error(norms, self._norm, self.dim, UNIT_ROUNDOFF)
        close = torch.nonzero(second - lowest <= slack)[:, 0]
        if not len(close):
            return best
        candidates = scores[close] <= (lowest + slack)[close][:, None]
        row, unit = torch.nonzero(candidates, as_tuple=True)
        distances = torch.full(candidates.shape, float("inf"), dtype=torch.float64, device=x.device)
        distances[row, unit] = (self._wide[unit] - x[close][row].double()).square().sum(1)
        # The lowest unit among equal distances; `argmin` does not guarantee this.
        numbers = torch.arange(self.k, device=x.device).expand_as(distances)
        best[close] = numbers.where(distances == distances.amin(1, keepdim=True), self.k).amin(1)
        return best
