"""Units as private-use characters: one each, all different, unchanged by normalisers and SentencePiece."""

from __future__ import annotations

import re
import unicodedata

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from speechprep.errors import ConfigError
from speechprep.tokenizers.subword.unit_text import (
    MAX_UNITS,
    UNIT_CHARACTERS,
    check_k,
    from_text,
    from_texts,
    to_text,
    to_texts,
    unit_dtype,
)

EDGES = [(0, 0xE000), (6399, 0xF8FF), (6400, 0xF0000), (71_933, 0xFFFFD), (71_934, 0x100000), (137_467, 0x10FFFD)]


@pytest.mark.parametrize(("unit", "point"), EDGES)
def test_units_at_the_edges_of_the_blocks_have_these_characters(unit, point):
    assert to_text(np.array([unit], np.uint32)) == chr(point)
    assert from_text(chr(point)).tolist() == [unit]


def test_all_units_have_one_private_use_character_each_that_no_normaliser_changes():
    text = to_text(np.arange(MAX_UNITS, dtype=np.uint32))
    assert len(set(text)) == len(text) == MAX_UNITS
    assert {unicodedata.category(c) for c in text} == {"Co"}
    assert unicodedata.normalize("NFKC", text) == text
    assert re.fullmatch(f"[{UNIT_CHARACTERS}]*", text)
    assert np.array_equal(from_text(text), np.arange(MAX_UNITS))


@given(st.lists(st.lists(st.integers(0, MAX_UNITS - 1), max_size=9), max_size=9))
def test_many_sequences_go_there_and_back(parts):
    flat = np.array([u for part in parts for u in part], np.uint32)
    offsets = np.cumsum([0, *map(len, parts)])
    texts = to_texts(flat, offsets)
    assert texts == [to_text(np.array(part, np.uint32)) for part in parts]
    back, edges = from_texts(texts)
    assert back.tolist() == flat.tolist()
    assert edges.tolist() == offsets.tolist()


@pytest.mark.parametrize("character", ["a", "\ud7ff", "\uf900", "\U000effff", "\U000ffffe", "\U000fffff", "\U0010fffe"])
def test_another_character_is_refused_by_its_number(character):
    with pytest.raises(ConfigError, match=f"U\\+{ord(character):04X} is not"):
        from_text("\ue000" + character)


@pytest.mark.parametrize("k", [0, -1, MAX_UNITS + 1])
def test_more_units_than_characters_are_refused(k):
    with pytest.raises(ConfigError, match=f"k = {k} units"):
        check_k(k)


def test_units_are_held_in_the_smallest_type():
    assert unit_dtype(65_536) == np.uint16
    assert unit_dtype(65_537) == np.uint32
