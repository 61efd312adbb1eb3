"""Shingles of a text (runs of neighbouring words) and the keys by which MinHash finds similar texts.

The similarity of two texts is the Jaccard index of their sets of shingles. MinHash (Broder, "On the resemblance and
containment of documents", 1997) estimates it: two sets have an equal smallest hash with this probability. The
signature is that of the package datasketch. Its values are grouped into bands; a key is a hash of a band. Texts with
similarity s share a key with probability 1 - (1 - s^ROWS)^BANDS: 0.99995 for s = 0.8, 0.06 for s = 0.3.
"""

from __future__ import annotations

import re
import unicodedata
from hashlib import blake2b

import numpy as np
from numpy.typing import NDArray

from speechprep.tokenizers.arrays.keyed_random import Hashes

BANDS, ROWS = 25, 5  # of the signature
SEED = 1  # of the permutations
_APOSTROPHES = "'\u2019"
_UNSPACED = re.compile(  # Thai, Lao, Myanmar, Khmer, kana, Han: scripts without spaces between words
    "[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff]"
)


def normalised(text: str) -> str:
    """Words in lower case, joined by single spaces, without punctuation; characters in scripts without spaces.

    Compatibility forms and composed letters are unified (NFKC). Apostrophes are left out.
    """
    plain = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold())
    plain = "".join(c if _in_word(c) else "" if c in _APOSTROPHES else " " for c in plain)
    return " ".join(_UNSPACED.sub(lambda match: f" {match[0]} ", plain).split())


def _in_word(character: str) -> bool:
    """True for letters, digits and marks."""
    return character.isalnum() or unicodedata.category(character).startswith("M")


def shingles(text: str, size: int) -> Hashes:
    """(shingles,) ascending hashes of the runs of `size` words, each once; of the whole text if it is shorter.

    Args:
        text: normalised text.
        size: words of a shingle.
    """
    words = text.split()
    if not words:
        return np.zeros(0, np.uint64)
    runs = {" ".join(words[i : i + size]) for i in range(max(len(words) - size + 1, 1))}
    digests = b"".join(blake2b(run.encode(), digest_size=8).digest() for run in runs)
    return np.unique(np.frombuffer(digests, "<u8").astype(np.uint64))


def band_keys(hashes: Hashes) -> Hashes:
    """(BANDS,) keys of a text; (0,) without shingles.

    Args:
        hashes: from `shingles`.
    """
    from datasketch import MinHash

    if not len(hashes):
        return np.zeros(0, np.uint64)
    signature = MinHash(num_perm=BANDS * ROWS, seed=SEED, hashfunc=int, scheme="affine32")
    signature.update_batch((hashes & np.uint64(0xFFFFFFFF)).tolist())
    values = np.ascontiguousarray(signature.hashvalues, "<u8").reshape(BANDS, ROWS)
    digests = (blake2b(bytes([band]) + row.tobytes(), digest_size=8).digest() for band, row in enumerate(values))
    return np.frombuffer(b"".join(digests), "<u8").astype(np.uint64)


def jaccard(a: NDArray[np.uint64], b: NDArray[np.uint64]) -> float:
    """Shared shingles divided by all shingles of two texts; 0 without shingles."""
    both = len(np.intersect1d(a, b, assume_unique=True))
    return both / max(len(a) + len(b) - both, 1)
