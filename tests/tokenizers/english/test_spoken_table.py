"""Readings of the table that was written before the code."""

from __future__ import annotations

from collections import defaultdict

from helpers.spoken_table import table

from speechprep.tokenizers.english.spoken import spoken_forms, tokens

ROWS = table()


def test_the_table_has_enough_tokens_in_enough_classes():
    kinds = defaultdict(set)
    for row in ROWS:
        assert len(tokens(row.text)) == len(row.words), row
        kinds[row.kind].add(row.text)
    assert len(kinds) >= 15
    assert min(len(texts) for texts in kinds.values()) >= 15
    assert sum(len(texts) for texts in kinds.values()) == len(ROWS) >= 300


def test_97_percent_of_the_table_and_90_percent_of_each_class_are_read_as_written_there():
    right = defaultdict(list)
    wrong = []
    for row in ROWS:
        found = spoken_forms(row.text)
        right[row.kind].append(found == row.words)
        if found != row.words:
            wrong.append(f"{row.kind}: {row.text!r} -> {found}")
    total = [one for ones in right.values() for one in ones]
    assert sum(total) >= 0.97 * len(total), wrong
    for kind, ones in right.items():
        assert sum(ones) >= 0.9 * len(ones), (kind, wrong)
