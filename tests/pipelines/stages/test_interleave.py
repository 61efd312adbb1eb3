"""The stage `interleave`: joins by id, and rows that decode to what was read."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from helpers import rowmaking as made

from speechprep.artifacts import manifest
from speechprep.artifacts.run import open_dataset
from speechprep.errors import ConfigError, SpeechprepError
from speechprep.pipelines.inspect.decode import verify_tokens
from speechprep.pipelines.stages.interleave import STAGE
from speechprep.tokenizers.interleave.rows import Interleaver

N = 300


@pytest.fixture(scope="module")
def vocab(tmp_path_factory):
    return made.build_vocabulary(tmp_path_factory.mktemp("vocab"))


def inputs(root: Path, vocab, shards: int = 1) -> dict[str, Path]:
    records = made.corpus(N)
    parts = [[records[i] for i in part] for part in np.array_split(np.arange(N), shards)]
    return made.write_inputs(root, [[made.words_row(r) for r in part] for part in parts], parts, vocab)


def test_rows_of_a_shard_are_those_of_the_pure_function(tmp_path, run_stage, vocab):
    out = run_stage(STAGE, {"kinds": ["unit", "text", "cst_both", "ast"]}, inputs(tmp_path, vocab), seed=4)
    one = Interleaver(
        vocab, made.GRID, ("unit", "text", "cst_both", "ast"), "ast", made.PolicyOptions(made.FIVE, made.FIVE), 4
    )
    assert made.read_rows(out) == one.rows(made.flat(made.corpus(N))).tokens.to_pylist()
    found = manifest.read(str(out))
    assert found.extra["grid"] == made.GRID.as_dict()
    assert found.counters["words"] == sum(len(r["words"]) for r in made.corpus(N))
    assert found.counters["rows"] == len(made.read_rows(out))


def test_every_row_decodes_to_words_units_and_times(tmp_path, run_stage, vocab):
    found = inputs(tmp_path, vocab, shards=3)
    out = run_stage(STAGE, {"kinds": ["unit", "text", "cst_both", "ast"], "text_words": "fixed:1"}, found)
    folders = {role: open_dataset(str(path)) for role, path in found.items()}
    tokens = open_dataset(str(out))
    for shard in tokens.shards:
        assert list(verify_tokens(tokens, shard, folders)) == []


def test_the_check_finds_words_and_units_that_are_not_those(tmp_path, run_stage, vocab):
    found = inputs(tmp_path / "a", vocab)
    out = run_stage(STAGE, {}, found)
    records = made.corpus(N)
    changed = next(r for r in records if r["words"] and r["units"])
    changed["units"][-1] = (changed["units"][-1] + 1) % made.K
    other = next(r for r in records if len(r["words"]) > 1 and r["units"] and r is not changed)
    other["words"][1]["start"] += 0.25
    folders = made.write_inputs(tmp_path / "b", [[made.words_row(r) for r in records]], [records], vocab)
    tokens = open_dataset(str(out))
    wrong = list(verify_tokens(tokens, tokens.shards[0], {k: open_dataset(str(v)) for k, v in folders.items()}))
    assert {line.split("#")[0] for line in wrong} == {changed["id"], other["id"]}


@pytest.mark.parametrize(("shards", "workers"), [(3, 1), (16, 2)])
def test_rows_are_the_same_for_any_number_of_shards_and_workers(tmp_path, run_stage, vocab, shards, workers):
    one = run_stage(STAGE, {}, inputs(tmp_path / "a", vocab), out=tmp_path / "one")
    many = run_stage(STAGE, {}, inputs(tmp_path / "b", vocab, shards), out=tmp_path / "many", workers=workers)
    assert made.read_rows(many) == made.read_rows(one)


def test_words_and_units_are_joined_by_id_and_not_by_place(tmp_path, run_stage, vocab):
    records = made.corpus(N)
    words = [made.words_row(r) for r in records[::-1] if r["id"] != "utt-00007"]
    units = [r for r in records if r["id"] != "utt-00005"]
    found = made.write_inputs(tmp_path / "a", [words], [units], vocab)
    rows = {(r["id"], r["kind"]): r for r in made.read_rows(run_stage(STAGE, {}, found, out=tmp_path / "x"))}
    straight = {
        (r["id"], r["kind"]): r
        for r in made.read_rows(run_stage(STAGE, {}, inputs(tmp_path / "b", vocab), out=tmp_path / "y"))
    }
    odd = {"utt-00005", "utt-00007"}
    assert {k: r for k, r in rows.items() if k[0] not in odd} == {k: r for k, r in straight.items() if k[0] not in odd}
    assert {k for k in rows if k[0] in odd} <= {("utt-00005", "text"), ("utt-00007", "unit")}


def test_speech_without_transcripts_gives_unit_rows(tmp_path, run_stage, vocab):
    found = inputs(tmp_path, vocab)
    del found["words"]
    assert {r["kind"] for r in made.read_rows(run_stage(STAGE, {}, found))} == {"unit"}


def test_words_that_were_not_kept_are_not_used(tmp_path, run_stage, vocab):
    records = [r for r in made.corpus(40) if r["words"] and r["units"]]
    words = [made.words_row(r, kept=i % 2 == 0) for i, r in enumerate(records)]
    out = run_stage(STAGE, {}, made.write_inputs(tmp_path, [words], [records], vocab))
    kinds = {}
    for row in made.read_rows(out):
        kinds.setdefault(row["id"], []).append(row["kind"])
    for i, record in enumerate(records):
        assert (kinds[record["id"]] == ["unit"]) == (i % 2 == 1)
    assert manifest.read(str(out)).counters["words_not_kept"] == len(records) // 2


def test_words_that_cannot_come_back_are_rejected_and_their_units_are_not(tmp_path, run_stage, vocab):
    records = [r for r in made.corpus(40) if r["words"] and r["units"]][:10]
    records[3]["words"][0]["text"] = "two words"
    out = run_stage(STAGE, {}, made.write_inputs(tmp_path, [[made.words_row(r) for r in records]], [records], vocab))
    rejects = made.read_rows(out / "_rejects")
    assert [(r["id"], r["code"]) for r in rejects] == [(records[3]["id"], "word_not_reversible")]
    assert [r["kind"] for r in made.read_rows(out) if r["id"] == records[3]["id"]] == ["unit"]


def test_an_id_that_stands_twice_is_an_error_that_names_it(tmp_path, run_stage, vocab):
    records = made.corpus(5)
    found = made.write_inputs(tmp_path, [[made.words_row(r) for r in records]], [[*records, records[2]]], vocab)
    with pytest.raises(SpeechprepError, match="'utt-00002' is in more than one row"):
        run_stage(STAGE, {}, found)


@pytest.mark.parametrize(
    "option", [{"kinds": ["words"]}, {"text_words": "geometric:2"}, {"policy": "x"}, {"p_speech": 2}]
)
def test_options_that_cannot_be_are_refused_by_name(option):
    with pytest.raises(ConfigError, match=next(iter(option))):
        STAGE.configure(option)
