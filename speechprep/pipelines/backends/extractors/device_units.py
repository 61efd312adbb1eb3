"""Nearest centroids of frames on a GPU: only the units are copied to the host, and they equal the units of the host.

The rule is the same as in `tokenizers.kmeans.nearest`. Float32 products find the nearest centroid. If the second
nearest is within the bound of the rounding error, the candidates are compared again in float64.

No call waits for the device, and no shape depends on the data: of each block, the `share` of frames with the closest
scores is compared again, each with its `CANDIDATES` nearest centroids. A frame that needs more is `UNDECIDED`, which is
rare: 2 % of the frames need a comparison at 768 dimensions. `decided` computes it, with shapes that depend on the data.
"""

from __future__ import annotations

from typing import Any

from speechprep.tokenizers.kmeans.nearest import SAFETY_FACTOR, UNIT_ROUNDOFF, Centroids, product_error

ROWS = 1 << 15  # frames in one block of scores
CANDIDATES = 8  # centroids compared in float64
SHARE = 1 / 16  # of the frames compared in float64
UNDECIDED = -1


class DeviceCentroids:
    """The centroids of a codebook on a torch device.

    Args:
        centroids: the centroids.
        device: torch device.
        share: of the frames of a block that are compared in float64 at most.
    """

    def __init__(self, centroids: Centroids, device: Any, share: float = SHARE) -> None:
        import torch

        self._wide = torch.from_numpy(centroids.centroids).to(device).double()
        self._transposed = self._wide.float().T.contiguous()
        squares = self._wide.square().sum(1)
        self._half, self._norm = (0.5 * squares).float(), float(squares.max().sqrt())
        self._share = share
        self.k, self.dim = centroids.k, centroids.dim
        transform = centroids.transform
        self._means = None if transform.means is None else torch.from_numpy(transform.means).to(device)
        self._scale = None if transform.scale is None else torch.from_numpy(transform.scale).to(device)

    def __call__(self, frames: Any) -> Any:
        """(batch, frames, dim) float32 of whole windows -> (batch, frames) int32, `UNDECIDED` for some.

        Row i has number i in its window.
        """
        return self._in_blocks(frames, self._block)

    def decided(self, frames: Any) -> Any:
        """Like a call, without undecided frames; waits for the device."""
        return self._in_blocks(frames, self._exact_block)

    def _in_blocks(self, frames: Any, block: Any) -> Any:
        import torch

        # The same two float32 operations as on the host, so the bits are equal.
        if self._means is not None:
            frames = frames - self._means[: frames.shape[1]]
        if self._scale is not None:
            frames = frames * self._scale
        rows = frames.reshape(-1, self.dim)
        units = torch.cat([block(part) for part in rows.split(ROWS)])
        return units.reshape(frames.shape[:2]).int()

    def _scores(self, x: Any) -> tuple[Any, Any, Any, Any]:
        """Scores (n, k), the lowest and its unit (n,), and by how much the second lowest is out of the error bound."""
        import torch

        scores = torch.addmm(self._half, x, self._transposed, alpha=-1)  # half the squared distance, without |x|^2 / 2
        lowest, best = scores.min(1)
        second = scores.scatter(1, best[:, None], float("inf")).amin(1)
        norms = x.double().square().sum(1).sqrt()
        slack = SAFETY_FACTOR * product_error(norms, self._norm, self.dim, UNIT_ROUNDOFF)
        return scores, best, lowest + slack, second - lowest - slack

    def _block(self, x: Any) -> Any:
        import torch

        scores, best, limit, margin = self._scores(x)
        chosen = margin.topk(max(1, int(len(x) * self._share)), largest=False).indices
        near, units = scores[chosen].topk(min(CANDIDATES + 1, self.k), largest=False)
        distances = (self._wide[units] - x[chosen, None].double()).square().sum(2)
        distances = distances.masked_fill(near > limit[chosen, None], float("inf"))
        exact = units.masked_fill(distances != distances.amin(1, keepdim=True), self.k).amin(1)  # the lowest of equals
        if near.shape[1] > CANDIDATES:  # a further candidate may be left out
            exact = exact.masked_fill(near[:, -1] <= limit[chosen], UNDECIDED)
        best = best.masked_fill(margin <= 0, UNDECIDED)
        return best.scatter(0, chosen, torch.where(margin[chosen] <= 0, exact, best[chosen]))

    def _exact_block(self, x: Any) -> Any:
        import torch

        scores, best, limit, margin = self._scores(x)
        close = torch.nonzero(margin <= 0)[:, 0]
        if not len(close):
            return best
        candidates = scores[close] <= limit[close][:, None]
        row, unit = torch.nonzero(candidates, as_tuple=True)
        distances = torch.full(candidates.shape, float("inf"), dtype=torch.float64, device=x.device)
        distances[row, unit] = (self._wide[unit] - x[close][row].double()).square().sum(1)
        # The lowest unit among equal distances; `argmin` does not guarantee this.
        numbers = torch.arange(self.k, device=x.device).expand_as(distances)
        best[close] = numbers.where(distances == distances.amin(1, keepdim=True), self.k).amin(1)
        return best
