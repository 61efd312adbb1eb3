"""Random numbers addressed by (seed, stage, record, stream, index): any number of them in one vectorised call.

`numpy.random.default_rng` costs about 20 us to make, more than a whole utterance may cost here, and its numbers depend
on the order of the calls. A counter-based generator has neither fault: number i of a record is a hash of the record's
key and i. The key is BLAKE2b of seed, stage and record id; the hash is the finaliser of SplitMix64 (Steele, Lea and
Flood, "Fast splittable pseudorandom number generators", OOPSLA 2014), whose i-th output is mix(state + i * gamma).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any

import numpy as np
from numpy.typing import NDArray

_GAMMA = 0x9E3779B97F4A7C15  # 2**64 over the golden ratio
_MASK = (1 << 64) - 1

Hashes = NDArray[np.uint64]


def mix64(x: Hashes) -> Hashes:
    """SplitMix64's finaliser: a bijection of 64-bit integers whose every output bit depends on every input bit."""
    x = x ^ (x >> np.uint64(30))
    x *= np.uint64(0xBF58476D1CE4E5B9)
    x ^= x >> np.uint64(27)
    x *= np.uint64(0x94D049BB133111EB)
    x ^= x >> np.uint64(31)
    return x


def salted(keys: Hashes, salt: int) -> Hashes:
    """Another set of keys, independent of `keys` and of those of other salts."""
    return mix64(keys + np.uint64((salt + 1) * _GAMMA & _MASK))


def record_keys(seed: int, stage: str, ids: Iterable[str]) -> Hashes:
    """(n,) keys: the first 8 bytes of BLAKE2b(seed, stage, id)."""
    base = blake2b(f"{seed}\0{stage}\0".encode(), digest_size=8)
    digests = []
    for id in ids:
        h = base.copy()
        h.update(id.encode())
        digests.append(h.digest())
    return np.frombuffer(b"".join(digests), "<u8").astype(np.uint64)


@dataclass(frozen=True, slots=True)
class Draws:
    """Uniform numbers of a batch of records.

    Attributes:
        keys: (n,) one for each record, from `record_keys`.
    """

    keys: Hashes

    def uniform(self, stream: int, row: NDArray[Any], index: NDArray[Any]) -> NDArray[np.float64]:
        """Numbers `index[i]` of stream `stream` of records `row[i]`, in [0, 1), multiples of 2**-53."""
        state = salted(self.keys, stream)[row]
        state += (index.astype(np.uint64) + np.uint64(1)) * np.uint64(_GAMMA)
        bits = mix64(state) >> np.uint64(11)
        return bits.astype(np.float64) * 2.0**-53
