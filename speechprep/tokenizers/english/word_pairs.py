"""Pairs of equal words in two texts, compared as spoken: case, punctuation and figures do not count."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from difflib import SequenceMatcher

from speechprep.tokenizers.english.spoken import spoken_forms

Group = tuple[list[int], list[int]]


def word_groups(
    reference: Sequence[str], aligned: Sequence[str], unknown: Collection[str] = ()
) -> tuple[list[Group], int, int]:
    """Measured groups of words (numbers on both sides), and the numbers of words without a partner on both sides.

    Words are linked if a spoken word of one is paired with a spoken word of the other. Linked words form a group. A
    group is measured if each of its spoken words has a partner.

    Args:
        reference, aligned: words as written, in order.
        unknown: labels for unknown words in lower case; they have no partner.
    """
    left, owner_left = _spoken(reference, unknown, "\0")
    right, owner_right = _spoken(aligned, unknown, "\1")
    partner: dict[int, int] = {}
    for block in SequenceMatcher(None, left, right, autojunk=False).get_matching_blocks():
        partner |= {block.a + i: block.b + i for i in range(block.size)}
    paired_right = set(partner.values())
    whole_left = set(owner_left) - {owner_left[i] for i in range(len(left)) if i not in partner}
    whole_right = set(owner_right) - {owner_right[j] for j in range(len(right)) if j not in paired_right}
    groups: list[tuple[list[int], list[int]]] = []
    for i, j in sorted(partner.items()):
        a, b = owner_left[i], owner_right[j]
        if groups and (groups[-1][0][-1] == a or groups[-1][1][-1] == b):
            for numbers, number in zip(groups[-1], (a, b), strict=True):
                numbers += [number] if numbers[-1] != number else []
        else:
            groups.append(([a], [b]))
    measured = [g for g in groups if whole_left.issuperset(g[0]) and whole_right.issuperset(g[1])]
    found = [sum(len(group[side]) for group in measured) for side in (0, 1)]
    return measured, len(reference) - found[0], len(aligned) - found[1]


def _spoken(words: Sequence[str], unknown: Collection[str], mark: str) -> tuple[list[str], list[int]]:
    """Spoken words of all words, and the number of the word of each. A word that cannot be said stands for itself.

    Args:
        words: as written.
        unknown: labels for unknown words.
        mark: spoken form of these labels; it differs on the two sides, so that they find no partner.
    """
    written = [" ".join(word.split()) for word in words]
    forms = spoken_forms(" ".join(written))  # the context matters: "St. Paul", "Paul St."
    if len(forms) != len(words):  # a word with white space or without any text
        forms = [[part for form in spoken_forms(word) for part in form] for word in written]
    spoken: list[str] = []
    owners: list[int] = []
    for number, (word, form) in enumerate(zip(written, forms, strict=True)):
        parts = [mark] if word.lower() in unknown else form or [word.lower()]
        spoken += parts
        owners += [number] * len(parts)
    return spoken, owners
