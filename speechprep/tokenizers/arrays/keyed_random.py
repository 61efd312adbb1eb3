"""Keyed random numbers: every number is a function of (seed, purpose, key, index) and of nothing else.

All random choices of this package start here, so they do not depend on the order of the calls, the shards or the
workers. `purpose` separates the users: two purposes get independent numbers from the same seed and key.

* `generator`: a NumPy generator for one key. Creating it costs about 20 us.
* `record_keys` and `Draws`: 64-bit keys of many records, and uniform numbers for any (record, index) pairs at once.
* `digest`: a 256-bit hash, by which records are ranked.

The vectorised functions are counter-based. The state of a record is BLAKE2b of seed, purpose and record id. Number i of
the state is output i of SplitMix64 (Steele, Lea and Flood, "Fast splittable pseudorandom number generators", OOPSLA
2014): mix(state + i * gamma).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from hashlib import blake2b, sha256
from typing import Any

import numpy as np
from numpy.typing import NDArray

_GAMMA = 0x9E3779B97F4A7C15  # 2**64 over the golden ratio
_MASK = (1 << 64) - 1

Hashes = NDArray[np.uint64]


def digest(*parts: object) -> bytes:
    """32 bytes: SHA-256 of the parts as text, joined by NUL characters."""
    return sha256("\0".join(map(str, parts)).encode()).digest()


def generator(seed: int, purpose: str, key: str) -> np.random.Generator:
    """NumPy generator (PCG64) of one key."""
    return np.random.Generator(np.random.PCG64(int.from_bytes(digest(seed, purpose, key)[:16], "little")))


def fixed_generator(number: int = 0) -> np.random.Generator:
    """NumPy generator (PCG64) without a key, for test signals and self-checks. It must not decide any dataset."""
    return np.random.Generator(np.random.PCG64(number))


def record_keys(seed: int, purpose: str, ids: Iterable[str]) -> Hashes:
    """(n,) keys: the first 8 bytes of BLAKE2b(seed, purpose, id), little-endian."""
    base = blake2b(f"{seed}\0{purpose}\0".encode(), digest_size=8)
    digests = []
    for id in ids:
        state = base.copy()
        state.update(id.encode())
        digests.append(state.digest())
    return np.frombuffer(b"".join(digests), "<u8").astype(np.uint64)


def mix64(x: Hashes) -> Hashes:
    """SplitMix64's finaliser: a bijection of 64-bit integers in which every output bit depends on every input bit."""
    x = x ^ (x >> np.uint64(30))
    x *= np.uint64(0xBF58476D1CE4E5B9)
    x ^= x >> np.uint64(27)
    x *= np.uint64(0x94D049BB133111EB)
    x ^= x >> np.uint64(31)
    return x


def salted(keys: Hashes, salt: int) -> Hashes:
    """(n,) derived keys, independent of `keys` and of the keys of every other salt."""
    return mix64(keys + np.uint64((salt + 1) * _GAMMA & _MASK))


def splitmix64(states: Hashes, index: NDArray[Any]) -> Hashes:
    """(n,) output number `index[i]` (from 0) of SplitMix64 with state `states[i]`; a state (1,) serves all indices."""
    return mix64(states + (index.astype(np.uint64) + np.uint64(1)) * np.uint64(_GAMMA))


def unit_interval(bits: Hashes) -> NDArray[np.float64]:
    """Uniform 64-bit integers as numbers in [0, 1): multiples of 2**-53 from the upper 53 bits."""
    return (bits >> np.uint64(11)).astype(np.float64) * 2.0**-53


def uniform_numbers(seed: int, key: str, numbers: NDArray[np.int64]) -> NDArray[np.float64]:
    """(n,) uniform numbers in [0, 1), one for each (seed, key, `numbers[i]`).

    The state is BLAKE2b(seed, key), and number 0 is mix(state). The sampling of frames uses it; new code takes `Draws`.
    """
    state = np.frombuffer(blake2b(f"{seed}\0{key}".encode(), digest_size=8).digest(), "<u8").astype(np.uint64)
    return unit_interval(mix64(state + numbers.astype(np.uint64) * np.uint64(_GAMMA)))


@dataclass(frozen=True, slots=True)
class Draws:
    """Uniform numbers of a batch of records.

    Attributes:
        keys: (n,) one for each record, from `record_keys`.
    """

    keys: Hashes

    def uniform(self, stream: int, row: NDArray[Any], index: NDArray[Any]) -> NDArray[np.float64]:
        """Numbers `index[i]` of stream `stream` of records `row[i]`, in [0, 1), multiples of 2**-53."""
        return unit_interval(splitmix64(salted(self.keys, stream)[row], index))
