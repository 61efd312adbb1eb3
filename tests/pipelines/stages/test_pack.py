"""The stage `pack`: the same rows however the tokens were sharded, and nothing lost."""

from __future__ import annotations

import hashlib
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from helpers import rowmaking as made

from speechprep.artifacts import manifest
from speechprep.artifacts.schemas import TOKENS
from speechprep.errors import ConfigError, StaleArtifact
from speechprep.pipelines.engine import spill
from speechprep.pipelines.inspect.decode import decode_dataset
from speechprep.pipelines.stages import pack
from speechprep.pipelines.stages.pack import STAGE
from speechprep.tokenizers.interleave.rows import Interleaver

KINDS = ("unit", "text", "cst", "ast")


@pytest.fixture(scope="module")
def vocab(tmp_path_factory):
    return made.build_vocabulary(tmp_path_factory.mktemp("vocab"))


@pytest.fixture(scope="module")
def tokens(vocab):
    one = Interleaver(vocab, made.GRID, KINDS, "ast", made.OPTIONS, 0)
    return one.rows(made.flat(made.corpus(400))).tokens.to_pylist()


def inputs(root: Path, vocab, rows: list[dict], shards: int = 1) -> dict[str, Path]:
    subword = made.write_vocabulary(root / "subword", vocab)
    parts = [[rows[i] for i in part] for part in np.array_split(np.arange(len(rows)), shards)]
    extra = {"grid": made.GRID.as_dict(), "vocabulary": manifest.read(str(subword)).content}
    return {"tokens": made.write_dataset(root / "tokens", "tokens", TOKENS, parts, extra), "subword": subword}


def digests(folder: Path) -> dict[str, str]:
    return {p.name: hashlib.sha256(p.read_bytes()).hexdigest() for p in sorted(folder.glob("part-*"))}


def documents(rows: list[dict]) -> dict[str, list[int]]:
    """Name -> tokens, put together over rows."""
    found: dict[str, list[int]] = {}
    for row in rows:
        for token, owner in zip(row["input_ids"], row["document_ids"], strict=True):
            if owner >= 0:
                found.setdefault(row["ids"][owner], []).append(token)
    return found


@pytest.mark.parametrize(
    "options", [{}, {"split": False}, {"weights": {"speech": 1, "text": 1, "mixed": 1}, "repeat": True}]
)
def test_the_bytes_are_the_same_for_any_sharding_of_the_tokens(tmp_path, run_stage, vocab, tokens, options):
    options = {"context": 128, "shards": 3, **options}
    wanted = None
    for shards in (1, 3, 16):
        rng = np.random.default_rng(shards)
        rows = [tokens[i] for i in rng.permutation(len(tokens))]
        out = run_stage(
            STAGE, options, inputs(tmp_path / str(shards), vocab, rows, shards), out=tmp_path / f"p{shards}"
        )
        wanted = wanted or digests(out)
        assert digests(out) == wanted
    assert list(wanted) == [f"part-0000{i}-of-00003.parquet" for i in range(3)]


@pytest.mark.parametrize("split", [True, False])
def test_every_document_is_there_once_and_whole(tmp_path, run_stage, vocab, tokens, split):
    out = run_stage(STAGE, {"context": 64, "split": split, "shards": 2}, inputs(tmp_path, vocab, tokens))
    rows = made.read_rows(out)
    assert documents(rows) == {f"{r['id']}#{r['kind']}": r["input_ids"] for r in tokens}
    assert {len(row[name]) for row in rows for name in ("input_ids", "document_ids", "modality_ids")} == {64}
    for row in rows:
        assert row["modality_ids"] == vocab.token_modality[row["input_ids"]].tolist()
        assert all(t == vocab.pad for t, d in zip(row["input_ids"], row["document_ids"], strict=True) if d < 0)
    counters = manifest.read(str(out)).counters
    assert counters["tokens"] == sum(len(r["input_ids"]) for r in tokens)
    assert counters["padding"] == 64 * len(rows) - counters["tokens"]
    if split:
        assert counters["padding"] < 64
    else:
        whole = {f"{r['id']}#{r['kind']}" for r in tokens if len(r["input_ids"]) <= 64}
        assert max(Counter(name for row in rows for name in row["ids"] if name in whole).values()) == 1


def test_shards_hold_equal_shares(tmp_path, run_stage, vocab, tokens):
    out = run_stage(STAGE, {"context": 64, "shards": 5}, inputs(tmp_path, vocab, tokens))
    rows = [s.rows for s in manifest.read(str(out)).shards]
    assert len(rows) == 5
    assert max(rows) - min(rows) <= 1


def test_the_order_is_shuffled_by_the_seed(tmp_path, run_stage, vocab, tokens):
    found = inputs(tmp_path, vocab, tokens)
    orders = []
    for seed in (0, 1):
        rows = made.read_rows(run_stage(STAGE, {"context": 64}, found, out=tmp_path / f"s{seed}", seed=seed))
        orders.append(list(documents(rows)))
    assert orders[0] != orders[1]
    assert sorted(orders[0]) == sorted(orders[1])
    place = {f"{r['id']}#{r['kind']}": i for i, r in enumerate(tokens)}
    assert abs(np.corrcoef([place[name] for name in orders[0]], np.arange(len(tokens)))[0, 1]) < 0.1


@pytest.mark.parametrize("repeat", [False, True])
def test_shares_are_met_and_reported(tmp_path, run_stage, vocab, tokens, repeat):
    options = {"context": 64, "weights": {"speech": 1, "text": 1}, "repeat": repeat}
    out = run_stage(STAGE, options, inputs(tmp_path, vocab, tokens))
    counters = manifest.read(str(out)).counters
    have = {kind: sum(len(r["input_ids"]) for r in tokens if r["kind"] == kind) for kind in ("unit", "text")}
    wanted = max(have.values()) if repeat else min(have.values())
    assert counters["tokens.mixed"] == 0
    assert abs(counters["tokens.speech"] - wanted) < 300
    assert abs(counters["tokens.text"] - wanted) < 300
    assert counters["tokens"] == counters["tokens.speech"] + counters["tokens.text"]
    rows = made.read_rows(out)
    copies = documents(rows)
    whole = {f"{r['id']}#{r['kind']}": r["input_ids"] for r in tokens}
    for name, held in copies.items():
        assert held == whole[name] * (len(held) // len(whole[name]))
    if not repeat:
        assert all(len(held) == len(whole[name]) for name, held in copies.items())
    third = len(rows) // 3  # the mixture holds all along the corpus, not only on the whole
    for part in (rows[:third], rows[third : 2 * third], rows[2 * third :]):
        text = sum(m == 1 for row in part for m in row["modality_ids"])
        assert 0.3 < text / (64 * len(part)) < 0.6


def test_small_chunks_and_buckets_give_the_same_rows(tmp_path, run_stage, vocab, tokens, monkeypatch):
    """What memory forces on a large corpus must not show in the result."""
    found = inputs(tmp_path, vocab, tokens, 3)
    wanted = made.read_rows(run_stage(STAGE, {"context": 64}, found, out=tmp_path / "a"))

    class Small(spill.Spill):
        def __init__(self, path):
            super().__init__(path, chunk_tokens=3000, bucket_tokens=2000)

    monkeypatch.setattr(pack, "Spill", Small)
    assert made.read_rows(run_stage(STAGE, {"context": 64}, found, out=tmp_path / "b")) == wanted


def test_packed_rows_decode_to_words_and_units(tmp_path, run_stage, vocab, tokens):
    found = inputs(tmp_path, vocab, tokens)
    out = run_stage(STAGE, {"context": 64}, found)
    want = {(d.id, d.kind): d for d in decode_dataset(str(found["tokens"]), str(found["subword"]))}
    have = list(decode_dataset(str(out), str(found["subword"])))
    assert len(have) == len(want) == len(tokens)
    for document in have:
        whole = want[document.id, document.kind]
        assert document.text == whole.text
        assert [s.units for s in document.spans] == [s.units for s in whole.spans]
    name = f"{have[0].id}#{have[0].kind}"
    assert list(decode_dataset(str(out), str(found["subword"]), ids=[name])) == [have[0]]


def test_no_tokens_give_a_complete_empty_folder(tmp_path, run_stage, vocab):
    out = run_stage(STAGE, {}, inputs(tmp_path, vocab, []))
    assert made.read_rows(out) == []
    assert len(manifest.read(str(out)).shards) == 1


def test_tokens_of_another_vocabulary_are_refused(tmp_path, run_stage, vocab, tokens):
    found = inputs(tmp_path, vocab, tokens[:5])
    other = made.write_vocabulary(tmp_path / "other", made.build_vocabulary(tmp_path / "models", None))
    with pytest.raises(StaleArtifact, match="another vocabulary"):
        run_stage(STAGE, {}, {**found, "subword": other})


@pytest.mark.parametrize(
    "option",
    [{"weights": {"speech": -1}}, {"weights": {"songs": 1}}, {"weights": {"text": 0}}, {"context": 1}, {"shards": 0}],
)
def test_options_that_cannot_be_are_refused_by_name(option):
    with pytest.raises(ConfigError, match=next(iter(option))):
        STAGE.configure(option)


def test_documents_cut_in_spite_of_split_false_are_counted(tmp_path, run_stage, vocab, tokens):
    long = sum(len(row["input_ids"]) > 64 for row in tokens)
    assert 0 < long < len(tokens)
    for context, expected in ((64, long), (1024, 0)):
        given, options = inputs(tmp_path / str(context), vocab, tokens), {"context": context, "split": False}
        complete = manifest.read(str(run_stage(STAGE, options, given, out=tmp_path / f"p{context}")))
        assert complete.counters["cut_documents"] == expected
        told = STAGE.warning(complete.extra)
        assert told.startswith(f"{long:,} documents are longer than 64 tokens") if expected else told == ""
