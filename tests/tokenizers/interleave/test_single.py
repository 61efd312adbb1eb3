"""Interleaving of one utterance: its rows equal those of a batch."""

from __future__ import annotations

import numpy as np
import pytest
from helpers import rowmaking

from speechprep.errors import BadInput, ConfigError, StaleArtifact
from speechprep.tokenizers.interleave.invert import decode_row
from speechprep.tokenizers.interleave.rows import Interleaver
from speechprep.tokenizers.interleave.single import interleave_utterance

KINDS = ("unit", "text", "cst_both", "ast")
WORDS = [{"text": "how", "start": 0.04, "end": 0.08}, {"text": "are", "start": 0.10, "end": 0.14}]
UNITS = [1, 1, 7, 7, 7, 7, 2, 2, 3, 3]


@pytest.fixture(scope="module")
def vocab(tmp_path_factory):
    return rowmaking.build_vocabulary(tmp_path_factory.mktemp("vocab"))


def test_the_rows_of_one_utterance_equal_its_rows_in_a_batch(vocab):
    records = rowmaking.corpus(60)
    batch = Interleaver(vocab, rowmaking.GRID, KINDS, "ast", rowmaking.OPTIONS, 3).rows(rowmaking.flat(records))
    rows = [
        row
        for r in records
        for row in interleave_utterance(
            r["words"],
            np.array(r["units"], np.int64),
            vocab,
            rowmaking.GRID,
            id=r["id"],
            kinds=KINDS,
            options=rowmaking.OPTIONS,
            seed=3,
        )
    ]
    assert rows == batch.tokens.to_pylist()


def test_a_row_decodes_to_the_words_and_units_of_the_utterance(vocab):
    rows = interleave_utterance(WORDS, UNITS, vocab, rowmaking.GRID, kinds=("unit", "text"))
    speech, text = (decode_row(row, vocab, rowmaking.GRID)[0] for row in rows)
    assert speech.frames.tolist() == UNITS
    assert text.text == "how are"


def test_without_words_or_units_the_rows_of_the_other_modality_remain(vocab):
    kinds = [row["kind"] for row in interleave_utterance([], UNITS, vocab, rowmaking.GRID, kinds=KINDS)]
    assert kinds == ["unit"]
    kinds = [row["kind"] for row in interleave_utterance(WORDS, [], vocab, rowmaking.GRID, kinds=KINDS)]
    assert kinds == ["text"]


@pytest.mark.parametrize(
    ("change", "code"),
    [({"text": "two words"}, "word_not_reversible"), ({"end": float("nan")}, "word_without_time")],
)
def test_an_unusable_word_is_an_error_with_the_code_of_the_reject(vocab, change, code):
    with pytest.raises(BadInput) as error:
        interleave_utterance([WORDS[0] | change], UNITS, vocab, rowmaking.GRID)
    assert error.value.code == code


@pytest.mark.parametrize("units", [[[1, 2]], [0.5], [-1]])
def test_units_that_are_no_units_are_refused(vocab, units):
    with pytest.raises(ConfigError, match="one integer from 0 for each frame"):
        interleave_utterance(WORDS, units, vocab, rowmaking.GRID)


def test_a_unit_outside_the_vocabulary_is_refused(vocab):
    with pytest.raises(StaleArtifact, match="unit 70000"):
        interleave_utterance([], [70_000], vocab, rowmaking.GRID, kinds=("unit",))
