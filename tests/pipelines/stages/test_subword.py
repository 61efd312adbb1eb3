"""The stage `subword`: one vocabulary from all shards, whatever the shards, with an account of what was used."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from speechprep.artifacts import manifest, shards
from speechprep.artifacts.schemas import WORDS, units_schema
from speechprep.errors import ConfigError
from speechprep.pipelines.hash_sample import HashSample
from speechprep.pipelines.stages.subword import STAGE
from speechprep.tokenizers.arrays.runlength import dedup
from speechprep.tokenizers.subword.vocabulary import Vocabulary

K = 40
GRID = {"sample_rate": 16_000, "stride": 160, "window": 400, "padded": False}
TEXTS = ["the quick brown fox jumps over", "the lazy dog, and the quick dog", "QUICK foxes -- dogs", "never \u00e9"]


def frames_of(seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return np.repeat(np.cumsum(rng.choice([1, 2, 5], 150, p=[0.6, 0.3, 0.1])) % K, rng.integers(1, 5, 150))


UTTERANCES = {f"u{i:02d}": frames_of(i) for i in range(24)}


def dataset(folder: Path, kind: str, schema, rows: list[dict], n: int, extra: dict | None = None) -> Path:
    """A complete folder of `n` shards."""
    folder.mkdir(parents=True)
    made = []
    for i in range(n):
        name = shards.shard_name(i, n)
        with shards.ShardWriter(str(folder / name), schema) as writer:
            writer.write(rows[i::n])
        made.append(manifest.Shard(name, f"{kind}{i}", writer.sha256, writer.size, rows=writer.rows))
    content = hashlib.sha256(str(folder).encode()).hexdigest()
    whole = manifest.Manifest(kind, content, content, {"kind": kind}, made, {}, [], {}, extra or {})
    manifest.write(str(folder), whole)
    return folder


def units_folder(folder: Path, n: int = 3, utterances: dict[str, np.ndarray] = UTTERANCES) -> Path:
    rows = [{"id": id, "units": units.tolist(), "codebook": "c"} for id, units in utterances.items()]
    return dataset(folder, "units", units_schema(K), rows, n, {"k": K, "grid": GRID})


def words_folder(folder: Path, n: int = 3) -> Path:
    rows = []
    for i, id in enumerate(UTTERANCES):
        text = TEXTS[i % 4]
        rows.append({"id": id, "text": text, "words": [], "duration": 2.0, "kept": i % 4 != 3})
    rows.append({"id": "silent", "text": None, "words": [], "duration": 1.0, "kept": True})
    return dataset(folder, "words", WORDS, rows, n)


OPTIONS = {"unit_vocab_size": 120, "text_vocab_size": 320}


def hashes(folder: Path) -> dict[str, str]:
    return {p.name: hashlib.sha256(p.read_bytes()).hexdigest() for p in folder.iterdir() if p.name != "_manifest.json"}


def test_the_artifact_is_a_vocabulary_with_an_account_of_what_was_used(run_stage, tmp_path):
    inputs = {"units": units_folder(tmp_path / "u"), "words": words_folder(tmp_path / "w")}
    out = run_stage(STAGE, OPTIONS, inputs)
    vocabulary = Vocabulary.load(out)
    assert (vocabulary.k, vocabulary.units.algorithm) == (K, "bpe")
    coverage = json.loads((out / "coverage.json").read_text())
    runs = sum(len(dedup(units)[0]) for units in UTTERANCES.values())
    assert coverage["units"]["seen"] == coverage["units"]["used"] == coverage["units"]["sequences"] == 24
    assert coverage["units"]["units"] == coverage["units"]["size_seen"] == runs
    assert coverage["units"]["skipped"] == 0
    assert coverage["text"]["used"] == 18  # the others were not kept, or have no text
    speech = coverage["compression"]["speech"]
    frames = sum(map(len, UTTERANCES.values()))
    assert (speech["frames"], speech["runs"]) == (frames, runs)
    assert speech["frames_per_second"] == 100.0
    assert speech["tokens_per_second"] < speech["runs_per_second"] < 100
    tokens = sum(len(vocabulary.units.encode(dedup(units.astype(np.uint16))[0])) for units in UTTERANCES.values())
    assert speech["tokens"] == tokens
    text = coverage["compression"]["text"]
    assert (text["seconds"], text["words"]) == (36.0, 6 * (6 + 7 + 4))
    facts = manifest.read(str(out)).extra
    assert (facts["size"], facts["k"], facts["coverage"]) == (vocabulary.size, K, coverage)
    assert facts["transformers"]


def test_transcripts_that_were_not_kept_are_not_learnt_from(run_stage, tmp_path):
    inputs = {"units": units_folder(tmp_path / "u"), "words": words_folder(tmp_path / "w")}
    vocabulary = Vocabulary.load(run_stage(STAGE, OPTIONS, inputs))
    assert "\u00e9" not in "".join(vocabulary.text.pieces)
    assert " quick" in vocabulary.text.pieces


def test_any_number_of_shards_in_any_order_gives_the_same_bytes(run_stage, tmp_path):
    found = []
    shuffled = dict(sorted(UTTERANCES.items(), key=lambda item: item[0][::-1]))
    for n, utterances in ((1, UTTERANCES), (3, UTTERANCES), (7, shuffled)):
        here = tmp_path / str(n)
        inputs = {"units": units_folder(here / "u", n, utterances), "words": words_folder(here / "w", n)}
        options = {**OPTIONS, "max_units": 1500, "max_characters": 300}
        found.append(hashes(run_stage(STAGE, options, inputs, out=here / "out")))
    assert found[0] == found[1] == found[2]
    assert {"vocab.json", "units.model", "text.model", "tokenizer.json", "coverage.json"} <= set(found[0])


def test_a_large_corpus_is_sampled_and_says_so(run_stage, tmp_path):
    out = run_stage(STAGE, {**OPTIONS, "max_units": 1000}, {"units": units_folder(tmp_path / "u")})
    coverage = json.loads((out / "coverage.json").read_text())["units"]
    assert coverage["seen"] == 24
    assert coverage["used"] == coverage["sequences"] < 10
    assert coverage["size_used"] == coverage["units"] <= 1000 < coverage["size_seen"]


def test_without_transcripts_there_are_units_only(run_stage, tmp_path):
    out = run_stage(STAGE, OPTIONS, {"units": units_folder(tmp_path / "u")})
    vocabulary = Vocabulary.load(out)
    assert vocabulary.text is None
    assert vocabulary.text_size == 0


def test_text_can_be_left_out_and_units_can_stay_single(run_stage, tmp_path):
    inputs = {"units": units_folder(tmp_path / "u"), "words": words_folder(tmp_path / "w")}
    out = run_stage(STAGE, {"algorithm": "none", "text_vocab_size": 0}, inputs)
    vocabulary = Vocabulary.load(out)
    assert vocabulary.units is vocabulary.text is None
    assert vocabulary.unit_size == K
    speech = json.loads((out / "coverage.json").read_text())["compression"]["speech"]
    assert speech["tokens"] == speech["runs"]


def test_a_corpus_without_an_utterance_still_gives_a_vocabulary_of_all_units(run_stage, tmp_path):
    out = run_stage(STAGE, OPTIONS, {"units": units_folder(tmp_path / "u", 1, {})})
    assert Vocabulary.load(out).unit_size == K + 1


def test_a_vocabulary_too_small_for_the_codebook_is_refused(run_stage, tmp_path):
    with pytest.raises(ConfigError, match="unit_vocab_size 30 is too small"):
        run_stage(STAGE, {"unit_vocab_size": 30}, {"units": units_folder(tmp_path / "u")})


@given(st.dictionaries(st.text(max_size=4), st.integers(0, 9), max_size=20), st.integers(1, 40), st.randoms())
def test_the_sample_is_the_longest_run_of_lowest_hashes_in_whatever_order_they_come(sizes, limit, random):
    def sample(ids: list[str]) -> HashSample:
        made = HashSample(limit, "salt")
        for id in ids:
            made.add(id, sizes[id], id)
        return made

    shuffled = list(sizes)
    random.shuffle(shuffled)
    found = sample(shuffled)
    ordered = sorted(sizes, key=lambda id: hashlib.sha256(f"salt\0{id}".encode()).digest())
    totals = np.cumsum([sizes[id] for id in ordered])
    wanted = [id for i, id in enumerate(ordered) if i == 0 or totals[i] <= limit]
    assert found.records() == wanted
    assert found.coverage() == sample(list(sizes)).coverage()
    assert found.coverage()["size_seen"] == sum(sizes.values())
    assert found.coverage()["size_used"] == sum(sizes[id] for id in wanted)


@pytest.mark.parametrize(("asked", "warned"), [(60, ""), (10_000, "asked for")])
def test_fewer_pieces_than_asked_for_and_pieces_learnt_by_heart_are_a_warning(tmp_path, run_stage, asked, warned):
    utterances = {f"v{i}": frames_of(i % 3) for i in range(30)} if not warned else UTTERANCES
    inputs = {"units": units_folder(tmp_path / "units", utterances=utterances)}
    out = run_stage(STAGE, {"unit_vocab_size": asked}, inputs)
    extra = manifest.read(str(out)).extra
    count, vocabulary = extra["pieces"]["unit"], Vocabulary.load(out)
    assert (count["asked"], count["made"]) == (asked, vocabulary.unit_size)
    tokens = []
    for units in utterances.values():
        runs = dedup(units)[0]
        tokens += vocabulary.encode_units(runs, np.array([0, len(runs)]))[0].tolist()
    pieces = list(enumerate(vocabulary.tokens))[vocabulary.unit_offset :]
    long = [token for token, piece in pieces if len(piece) > 1 and not piece.startswith("<")]
    assert count["merged"] == len(long)
    assert count["rare"] == sum(tokens.count(token) <= 1 for token in long)
    told = STAGE.warning(extra)
    assert (warned in told) if warned else (told == "")
    if warned:
        assert f"unit_vocab_size={count['made']}" in told
        assert "memorises" in told
