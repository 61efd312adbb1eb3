"""Sample of records by the hashes of their ids, bounded by total size, for the training of vocabularies."""

from __future__ import annotations

import heapq
from dataclasses import dataclass, field
from typing import Any

from speechprep.tokenizers.arrays.keyed_random import digest


@dataclass
class HashSample:
    """The records with the lowest hashes of their ids, up to `limit` by total size, at least one.

    The result depends on the set of records, not on their order.
    """

    limit: int
    salt: str
    n_read: int = 0
    size_read: int = 0
    total: int = 0
    _heap: list[tuple[int, str, int, Any]] = field(default_factory=list)
    _bound: int = 1 << 256

    def add(self, id: str, size: int, record: Any) -> None:
        """Add a record; records with higher hashes are dropped beyond the limit."""
        self.n_read, self.size_read = self.n_read + 1, self.size_read + size
        place = int.from_bytes(digest(self.salt, id), "big")
        if place >= self._bound:
            return
        heapq.heappush(self._heap, (-place, id, size, record))
        self.total += size
        while self.total > self.limit and len(self._heap) > 1:
            dropped, _, size, _ = heapq.heappop(self._heap)
            self.total, self._bound = self.total - size, -dropped

    def records(self) -> list[Any]:
        """The records kept, in the order of their hashes."""
        return [record for *_, record in sorted(self._heap, key=lambda entry: entry[:2], reverse=True)]

    def coverage(self) -> dict[str, int]:
        """Used and read records, with their sizes."""
        return {"seen": self.n_read, "used": len(self._heap), "size_seen": self.size_read, "size_used": self.total}
