"""Every row decodes to its exact words, units, frames and times."""

from __future__ import annotations

import json

import numpy as np
import pytest
from helpers import rowmaking

from speechprep.errors import BadInput
from speechprep.tokenizers.arrays.runlength import MAX_RUN, dedup
from speechprep.tokenizers.interleave.invert import decode_row, parse_document, split_document_id, split_packed
from speechprep.tokenizers.interleave.policies import POLICIES
from speechprep.tokenizers.interleave.rows import Interleaver

KINDS = ("unit", "text", "cst_both", "ast")


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    return tmp_path_factory.mktemp("vocab")


@pytest.fixture(scope="module")
def vocab(root):
    return rowmaking.build_vocabulary(root / "bpe")


def rows(vocab, records, policy="ast"):
    return (
        Interleaver(vocab, rowmaking.GRID, KINDS, policy, rowmaking.OPTIONS, 3)
        .rows(rowmaking.flat(records))
        .tokens.to_pylist()
    )


def frame(seconds: float) -> int:
    return rowmaking.GRID.frame_at(seconds, 1 << 40)


def check(row: dict, record: dict, vocab) -> None:
    """Against a plain reading of the rules, word by word."""
    words, units = record["words"], record["units"]
    n = len(units)
    latest, first = 0, []
    for word in words:
        latest = max(latest, min(frame(word["start"]), n))
        first.append(latest)
    covered = []
    for segment in decode_row(row, vocab, rowmaking.GRID):
        span_words = words[segment.word_start : segment.word_stop]
        covered += range(segment.word_start, segment.word_stop)
        assert [(w.start, w.end) for w in segment.words] == [(w["start"], w["end"]) for w in span_words]
        if segment.modality == "text":
            assert [w.text for w in segment.words] == [w["text"] for w in span_words]
            assert segment.text == " ".join(w["text"] for w in span_words)
            continue
        begin = 0 if segment.word_start == 0 else first[segment.word_start]
        end = first[segment.word_stop] if segment.word_stop < len(words) else n
        assert segment.first_frame == begin
        assert segment.frames.tolist() == units[begin:end]
        assert segment.units.tolist() == dedup(np.array(units[begin:end], np.uint16))[0].tolist()
        stops = [*first[segment.word_start + 1 : segment.word_stop], end][: len(span_words)]
        assert [w.frames for w in segment.words] == list(
            zip(first[segment.word_start : segment.word_stop], stops, strict=True)
        )
        assert (segment.t0, segment.t1) == (rowmaking.GRID.start(begin), rowmaking.GRID.start(end))
    times = len(words) if row["kind"] in ("unit", "text", "ast") else 2 * len(words)
    assert sorted(covered) == sorted([*range(len(words))] * (times // max(len(words), 1)))


@pytest.mark.parametrize("policy", POLICIES)
def test_ten_thousand_random_rows_come_back_exactly(vocab, policy):
    records = {r["id"]: r for r in rowmaking.corpus(2400 if policy == "ast" else 300, seed=17)}
    result = rows(vocab, list(records.values()), policy)
    assert len(result) > (10_000 if policy == "ast" else 1000)
    for row in result:
        check(row, records[row["id"]], vocab)


@pytest.mark.parametrize("algorithm", ["unigram", None])
def test_rows_come_back_with_other_unit_models(root, algorithm):
    vocab = rowmaking.build_vocabulary(root / str(algorithm), algorithm)
    records = {r["id"]: r for r in rowmaking.corpus(100, seed=18)}
    for row in rows(vocab, list(records.values())):
        check(row, records[row["id"]], vocab)


def test_runs_longer_than_a_duration_can_hold_come_back(vocab):
    long = [4] * (MAX_RUN + 10) + [5, 5]
    record = {"id": "long", "words": [{"text": "how", "start": 1.0, "end": 2.0}], "units": long}
    for row in rows(vocab, [record]):
        frames = [f for s in decode_row(row, vocab, rowmaking.GRID) for f in s.frames.tolist()]
        assert frames in (long, [])


def test_the_leading_gap_is_marked_by_its_times(vocab):
    record = {"id": "a", "words": [{"text": "how", "start": 0.1, "end": 0.2}], "units": [1] * 5 + [2] * 5}
    segment = decode_row(rows(vocab, [record])[0], vocab, rowmaking.GRID)[0]
    assert segment.first_frame == 0
    assert segment.t0 < segment.words[0].start
    assert segment.words[0].frames == (5, 10)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"durations": [1]}, "durations"),
        ({"durations": [9] * 40}, "frames|durations"),
    ],
)
def test_a_row_that_contradicts_itself_is_refused(vocab, change, message):
    record = {"id": "a", "words": [], "units": [1] * 5 + [2] * 5 + [3] * 3}
    (row,) = rows(vocab, [record])
    with pytest.raises(BadInput, match=message) as caught:
        decode_row({**row, **change}, vocab, rowmaking.GRID)
    assert caught.value.code == "row_inconsistent"


def test_a_document_without_its_row_gives_words_and_units(vocab):
    records = {r["id"]: r for r in rowmaking.corpus(100, seed=19)}
    for row in rows(vocab, list(records.values())):
        segments = decode_row(row, vocab, rowmaking.GRID)
        parts = parse_document(np.array(row["input_ids"]), vocab)
        assert [p.modality for p in parts] == [s.modality for s in segments]
        assert [p.words for p in parts] == [[w.text for w in s.words if w.text] for s in segments]
        assert [p.units.tolist() for p in parts] == [s.units.tolist() for s in segments]


def test_a_document_may_go_on_from_an_earlier_row(vocab):
    text = vocab.encode_texts([" how are"])[0]
    units = vocab.encode_units(np.array([1, 2, 3], np.uint16), np.array([0, 3]))[0]
    part, rest = parse_document(np.concatenate([text, [vocab.t2u], units, [vocab.u_end]]), vocab, begins=False)
    assert part.words == ["how", "are"]
    assert rest.units.tolist() == [1, 2, 3]
    assert parse_document(units, vocab, begins=False)[0].units.tolist() == [1, 2, 3]
    assert parse_document(np.array([vocab.u_end]), vocab, begins=False) == []


def test_stray_tokens_are_refused(vocab):
    text = vocab.encode_texts([" how"])[0]
    for ids in (text, [vocab.u_start, *text, vocab.u_end], [vocab.t_start, vocab.t_end, *text]):
        with pytest.raises(BadInput, match="token"):
            parse_document(np.array(ids), vocab)


def test_a_packed_row_splits_into_its_documents():
    row = {"input_ids": [5, 6, 7, 8, 0], "document_ids": [0, 0, 1, 1, -1], "ids": ["a#unit", "b#c#ast"]}
    assert [(name, ids.tolist()) for name, ids in split_packed(row)] == [("a#unit", [5, 6]), ("b#c#ast", [7, 8])]
    assert split_document_id("b#c#ast") == ("b#c", "ast")


@pytest.mark.parametrize("name", ["timit-sample", "ljspeech-aligned"])
def test_real_word_times_come_back(shared_data, vocab, name):
    """Hand-labelled words overlap and leave pauses; the byte fallback of the text model spells any of them."""
    lines = (shared_data / name / "manifest.jsonl").read_text(encoding="utf-8").splitlines()
    rng, records = np.random.default_rng(0), {}
    for line in map(json.loads, lines):
        frames = rowmaking.GRID.num_frames(round(line["duration_s"] * 16_000))
        units = np.repeat(rng.integers(0, rowmaking.K, frames), rng.integers(1, 5, frames))[:frames]
        words = [{"text": w["w"], "start": w["start"], "end": w["end"]} for w in line["words"]]
        records[line["id"]] = {"id": line["id"], "words": words, "units": units.tolist()}
    result = rows(vocab, list(records.values()))
    assert len(result) == 5 * len(records)
    for row in result:
        check(row, records[row["id"]], vocab)
