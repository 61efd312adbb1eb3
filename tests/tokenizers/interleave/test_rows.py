"""Rows of speech, text, CST and AST: layouts, kinds, and dependence on seed and id only."""

from __future__ import annotations

import itertools

import numpy as np
import pyarrow as pa
import pytest
from helpers import rowmaking

from speechprep.artifacts.schemas import TOKENS
from speechprep.errors import ConfigError
from speechprep.tokenizers.arrays.runlength import dedup
from speechprep.tokenizers.interleave.policies import POLICIES
from speechprep.tokenizers.interleave.rows import Interleaver

ALL = ("unit", "text", "cst_both", "ast")


@pytest.fixture(scope="module")
def vocab(tmp_path_factory):
    return rowmaking.build_vocabulary(tmp_path_factory.mktemp("vocab"))


def interleaver(vocab, kinds=ALL, policy="ast", options=rowmaking.OPTIONS, seed=0):
    return Interleaver(vocab, rowmaking.GRID, kinds, policy, options, seed)


def rows(vocab, records, **how) -> list[dict]:
    return interleaver(vocab, **how).rows(rowmaking.flat(records)).tokens.to_pylist()


HELLO = {
    "id": "hello",
    "words": [
        {"text": "how", "start": 0.04, "end": 0.08},
        {"text": "are", "start": 0.10, "end": 0.14},
        {"text": "you", "start": 0.14, "end": 0.19},
    ],
    "units": [1, 1, 7, 7, 7, 7, 2, 2, 3, 3],
}


def test_the_layouts_are_those_of_the_paper(vocab):
    v, result = vocab, {row["kind"]: row for row in rows(vocab, [HELLO])}
    units = v.encode_units(np.array([1, 7, 2, 3], np.uint16), np.array([0, 4]))[0].tolist()
    text = v.encode_texts([" how are you"])[0].tolist()
    assert list(result) == ["unit", "text", "cst_ut", "cst_tu", "ast"]
    assert result["unit"]["input_ids"] == [v.u_start, *units, v.u_end]
    assert result["text"]["input_ids"] == [v.t_start, *text, v.t_end]
    assert result["cst_ut"]["input_ids"] == [v.u_start, *units, v.u_end, v.t_start, *text, v.t_end]
    assert result["cst_tu"]["input_ids"] == [v.t_start, *text, v.t_end, v.u_start, *units, v.u_end]


def test_ast_cuts_units_at_frames_before_it_joins_runs_and_puts_switch_tokens_between(vocab, monkeypatch):
    monkeypatch.setitem(POLICIES, "ast", lambda draws, offsets, options: np.array([True, False, True]))
    (row,) = rows(vocab, [HELLO], kinds=("ast",))
    v = vocab
    # `how` has frames 0..4 with the leading silence, `are` 5 and 6, `you` the rest: the run of 7 is cut by `are`.
    first, last = (
        v.encode_units(dedup(np.array(u, np.uint16))[0], np.array([0, n]))[0].tolist()
        for u, n in (([1, 1, 7, 7, 7], 2), ([2, 3, 3], 2))
    )
    word = v.encode_texts([" are"])[0].tolist()
    assert row["input_ids"] == [v.u_start, *first, v.u2t, *word, v.t2u, *last, v.u_end]
    assert row["durations"] == [2, 3, 1, 2]
    assert [(r["modality"], r["word_start"], r["word_stop"], r["t0"], r["t1"]) for r in row["runs"]] == [
        ("unit", 0, 1, 0.0, 0.1),
        ("text", 1, 2, 0.1, 0.14),
        ("unit", 2, 3, 0.14, 0.2),
    ]
    assert row["word_t0"] == [0.04, 0.10, 0.14]
    assert row["word_t1"] == [0.08, 0.14, 0.19]


def test_the_last_modality_gives_the_end_token(vocab, monkeypatch):
    monkeypatch.setitem(POLICIES, "ast", lambda draws, offsets, options: np.array([False, True, False]))
    (row,) = rows(vocab, [HELLO], kinds=("ast",))
    assert row["input_ids"][0] == vocab.t_start
    assert row["input_ids"][-1] == vocab.t_end
    assert [r["modality"] for r in row["runs"]] == ["text", "unit", "text"]
    assert row["runs"][1]["t0"] == 0.1  # the leading gap is in no run


def test_spoken_words_without_a_frame_are_written(vocab, monkeypatch):
    monkeypatch.setitem(POLICIES, "ast", lambda draws, offsets, options: np.array([False, False, True]))
    late = {**HELLO, "words": [*HELLO["words"][:2], {"text": "you", "start": 5.0, "end": 5.1}]}
    (row,) = rows(vocab, [late], kinds=("ast",))
    assert [(r["modality"], r["word_start"], r["word_stop"]) for r in row["runs"]] == [("text", 0, 3)]
    assert row["input_ids"] == [vocab.t_start, *vocab.encode_texts([" how are you"])[0].tolist(), vocab.t_end]


def test_cst_draws_one_order_for_each_utterance(vocab):
    records = [r for r in rowmaking.corpus(400) if r["words"] and r["units"]]
    kinds = [row["kind"] for row in rows(vocab, records, kinds=("cst",))]
    assert len(kinds) == len(records)
    assert 0.4 < kinds.count("cst_ut") / len(kinds) < 0.6


def test_what_is_missing_decides_which_rows_there_are(vocab):
    silent, unwritten = {**HELLO, "id": "a", "units": []}, {**HELLO, "id": "b", "words": []}
    nothing = {"id": "c", "words": [], "units": []}
    result = rows(vocab, [silent, unwritten, nothing])
    assert [(row["id"], row["kind"]) for row in result] == [("a", "text"), ("b", "unit")]
    assert result[1]["word_t0"] == []
    assert rows(vocab, [nothing]) == []
    assert rows(vocab, []) == []
    assert rows(vocab, [silent]) == [result[0]]


def test_rows_are_of_the_declared_schema(vocab):
    for records in ([HELLO], []):
        batch = interleaver(vocab).rows(rowmaking.flat(records)).tokens
        assert batch.schema.equals(TOKENS)
        batch.validate(full=True)


@pytest.mark.parametrize("policy", POLICIES)
def test_rows_do_not_depend_on_order_or_batches(vocab, policy):
    records = rowmaking.corpus(60)
    whole = rows(vocab, records, policy=policy)
    one = interleaver(vocab, policy=policy)
    parts = [row for i in range(0, 60, 7) for row in one.rows(rowmaking.flat(records[i : i + 7])).tokens.to_pylist()]
    assert parts == whole
    backwards = rows(vocab, records[::-1], policy=policy)
    assert sorted(backwards, key=lambda r: (r["id"], r["kind"])) == sorted(whole, key=lambda r: (r["id"], r["kind"]))


def test_another_seed_gives_other_ast_rows_and_the_same_of_the_rest(vocab):
    one, other = rows(vocab, rowmaking.corpus(60)), rows(vocab, rowmaking.corpus(60), seed=1)
    assert [r for r in one if r["kind"] != "ast"] == [r for r in other if r["kind"] != "ast"]
    assert [r for r in one if r["kind"] == "ast"] != [r for r in other if r["kind"] == "ast"]


def test_pieces_and_runs_never_cross_a_switch(vocab):
    for row in rows(vocab, rowmaking.corpus(80), kinds=("ast",)):
        used = 0
        for run in row["runs"]:
            ids = np.array(row["input_ids"][run["start"] : run["stop"]])
            low, size = (
                (vocab.unit_offset, vocab.unit_size)
                if run["modality"] == "unit"
                else (vocab.text_offset, vocab.text_size)
            )
            assert ((ids >= low) & (ids < low + size)).all()
            assert len(ids)
            if run["modality"] == "unit":
                units = vocab.decode_units(ids)
                durations = row["durations"][used : used + len(units)]
                used += len(units)
                assert sum(durations) == round((run["t1"] - run["t0"]) * 50)
        assert used == len(row["durations"])


@pytest.mark.parametrize("word", ["", " ", "two words", "a\u00a0b", " lead", "line\nbreak"])
def test_words_that_would_not_come_back_are_reported_and_not_used(vocab, word):
    bad = {**HELLO, "id": "bad", "words": [*HELLO["words"], {"text": word, "start": 0.18, "end": 0.19}]}
    result = interleaver(vocab).rows(rowmaking.flat([HELLO, bad]))
    assert result.irreversible.tolist() == [False, True]
    assert [r["kind"] for r in result.tokens.to_pylist() if r["id"] == "bad"] == ["unit"]
    assert result.tokens.to_pylist()[:5] == rows(vocab, [HELLO])


def test_words_without_a_finite_time_are_reported_and_not_used(vocab):
    bad = {**HELLO, "id": "bad", "words": [{"text": "how", "start": float("nan"), "end": 1.0}]}
    result = interleaver(vocab).rows(rowmaking.flat([bad, HELLO]))
    assert result.untimed.tolist() == [True, False]
    assert [r["kind"] for r in result.tokens.to_pylist() if r["id"] == "bad"] == ["unit"]


def test_the_table_of_words_may_start_afresh(vocab, monkeypatch):
    records = rowmaking.corpus(40)
    whole = rows(vocab, records)
    monkeypatch.setattr("speechprep.tokenizers.subword.wordtable.MAX_WORDS", 2)
    one = interleaver(vocab)
    assert [row for r in records for row in one.rows(rowmaking.flat([r])).tokens.to_pylist()] == whole


def test_slices_of_arrow_arrays_are_read_right(vocab):
    from speechprep.tokenizers.arrays import ragged

    lists = pa.array([[1, 2], None, [], [3, 4, 5]], pa.list_(pa.uint16()))
    for begin in range(4):
        values, offsets = ragged.of_arrow(lists.slice(begin))
        expected = [x or [] for x in lists.slice(begin).to_pylist()]
        assert [np.asarray(values)[a:b].tolist() for a, b in itertools.pairwise(offsets)] == expected


@pytest.mark.parametrize(
    ("kinds", "message"),
    [
        ((), "no kinds"),
        (("units",), "'units'"),
        (("cst", "cst_ut"), "remove it"),
        (("cst", "cst_both"), "remove it"),
    ],
)
def test_wrong_kinds_are_refused(vocab, kinds, message):
    with pytest.raises(ConfigError, match=message):
        interleaver(vocab, kinds=kinds)


def test_an_unknown_policy_is_refused_with_the_known_ones(vocab):
    with pytest.raises(ConfigError, match="'nobody'; choose from: ast, word, poisson, spirit"):
        interleaver(vocab, policy="nobody")
