"""Puts BPE pieces into an order in which SentencePiece and Hugging Face `tokenizers` give the same ids for every input.

SentencePiece ranks *pieces*: it joins any two neighbours whose concatenation is a piece, best piece first, then
leftmost. Hugging Face ranks *merges* (left, right): two ways to make one piece have two ranks. The usual conversion
therefore differs on some inputs. They cannot differ when

1. each piece ranks after everything it can be made of (then making a piece opens only later merges, so all places where
   one piece can be made are known when its turn comes, and those that do not overlap may be taken in any order);
2. where two places overlap, [a][b][c] with ab = bc = the piece, the merge (a, b) ranks before (b, c): leftmost first;
3. no piece needs both orders: that takes bc = cb with b != c, hence a power of one word ("ababab" = "ab" + "abab").
   "aaa" is safe, for "aa" takes up a run of "a" from its left, so "a" + "aa" never stand side by side.

Training gives nearly such an order; a piece is moved back only where 1 asks for it, and pieces of kind 3 are dropped.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence


def canonical_order(pieces: Sequence[str], alphabet: Iterable[str]) -> tuple[list[str], list[tuple[str, str]]]:
    """Pieces of two characters and more in training order -> (pieces in canonical order, all merges in order).

    Dropped are pieces that no two others make (where a part of theirs was dropped) and those of kind 3 above.
    """
    rank = {piece: i for i, piece in enumerate(pieces)}
    key = dict.fromkeys(alphabet, -1)  # the least rank that satisfies 1
    splits: dict[str, list[tuple[str, str]]] = {}
    for piece in sorted(rank, key=len):
        ways = _splits(piece, key)
        if ways:
            splits[piece] = ways
            key[piece] = max(rank[piece], *(max(key[left], key[right]) for left, right in ways))
    order = sorted(splits, key=lambda piece: (key[piece], len(piece), rank[piece]))
    return order, [merge for piece in order for merge in splits[piece]]


def _splits(piece: str, known: dict[str, int]) -> list[tuple[str, str]]:
    """The ways to make a piece of two known ones, in the order of rule 2; none where rule 3 drops the piece."""
    ways: list[tuple[str, str]] = []
    size = len(piece)
    if size == 3 and piece == piece[0] * 3:
        return [(piece[:2], piece[2])] if piece[:2] in known else []
    for i in range(1, size // 2 + 1):
        j = size - i
        near = [(piece[:i], piece[i:])] if piece[:i] in known and piece[i:] in known else []
        far = [(piece[:j], piece[j:])] if i != j and piece[:j] in known and piece[j:] in known else []
        far_first = piece[:i] == piece[j:]  # [piece[:j]][piece[j:] == piece[:i]][piece[i:]]: far is the left one
        if near and far and far_first and piece[i:] == piece[:j]:
            return []
        ways += far + near if far_first else near + far
    return ways
