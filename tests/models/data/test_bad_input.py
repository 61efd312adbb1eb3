"""What is refused before the first row, with both sides named."""

from __future__ import annotations

import re
import shutil
from dataclasses import replace
from itertools import islice
from pathlib import Path

import pytest
from helpers import rowmaking as made

from speechprep.artifacts import manifest
from speechprep.artifacts.schemas import PACKED, TOKENS, WORDS
from speechprep.errors import ConfigError, SchemaMismatch, StaleArtifact
from speechprep.models.data import Reader, Source, VocabularyMetadata

CONTEXT = 64  # of the rows of `packed`, see conftest


def opened(source: Source, vocabulary: VocabularyMetadata, context: int = CONTEXT, **options) -> Reader:
    return Reader([source], context, vocabulary=vocabulary, **options)


def tokens_row(name: str, ids: list[int]) -> dict:
    return {"id": name, "kind": "text", "input_ids": ids, "runs": [], "durations": [], "word_t0": [], "word_t1": []}


def tokens_folder(folder: Path, vocabulary: VocabularyMetadata, parts: list[list[dict]]) -> str:
    return str(made.write_dataset(folder, "tokens", TOKENS, parts, {"vocabulary": vocabulary.fingerprint}))


def packed_row(n: int) -> dict:
    return {"input_ids": [5] * n, "document_ids": [0] * n, "modality_ids": [1] * n, "ids": ["a#text"]}


def test_shards_of_another_vocabulary(corpus):
    other = replace(corpus.vocabulary, fingerprint="f" * 64)
    for folder in (corpus.tokens, corpus.packed):
        with pytest.raises(StaleArtifact, match=f"{corpus.vocabulary.fingerprint[:12]}.*ffffffffffff"):
            opened(Source(folder), other)


def test_shards_that_name_no_vocabulary(corpus, tmp_path):
    folder = made.write_dataset(tmp_path / "t", "tokens", TOKENS, [[tokens_row("a", [5])]])
    with pytest.raises(StaleArtifact, match="names no vocabulary"):
        opened(Source(str(folder)), corpus.vocabulary)


@pytest.mark.parametrize("bad", [10_000, -1])
def test_a_token_id_out_of_range_by_shard_and_row(corpus, tmp_path, bad):
    rows = [tokens_row(f"u{i}", [5, 6, 7]) for i in range(9)]
    rows[7]["input_ids"] = [5, bad, 7]
    folder = tokens_folder(tmp_path / "t", corpus.vocabulary, [rows[:5], rows[5:]])
    wanted = f"part-00001-of-00002.parquet, row 2: token id {bad}, .* 0 to {corpus.vocabulary.size - 1}"
    with pytest.raises(StaleArtifact, match=wanted):
        opened(Source(folder), corpus.vocabulary)


def test_nothing_to_read(corpus, tmp_path):
    empty = tokens_folder(tmp_path / "t", corpus.vocabulary, [[]])
    with pytest.raises(ConfigError, match="no rows"):
        opened(Source(empty), corpus.vocabulary)
    hollow = tokens_folder(tmp_path / "h", corpus.vocabulary, [[tokens_row("a", [])]])
    for documents in ("split", "whole"):
        with pytest.raises(ConfigError, match="no documents"):
            opened(Source(hollow, documents=documents), corpus.vocabulary)
        with pytest.raises(ConfigError, match="no documents of kinds asr"):
            opened(Source(corpus.tokens, kinds=("asr",), documents=documents), corpus.vocabulary)
    one = tokens_folder(tmp_path / "o", corpus.vocabulary, [[tokens_row("a", [5])]])
    with pytest.raises(ConfigError, match=r"no documents of part 'validation' with validation=0\.001"):
        opened(Source(one, part="validation", validation=0.001), corpus.vocabulary)
    with pytest.raises(ConfigError, match="at least one source"):
        Reader([], CONTEXT, vocabulary=corpus.vocabulary)


@pytest.mark.parametrize("documents", ["whole", "single"])
def test_a_document_longer_than_the_context(corpus, documents):
    name, longest = max(((n, len(r["input_ids"])) for n, r in corpus.rows.items()), key=lambda x: x[1])
    with pytest.raises(ConfigError, match=r"#.* has \d+ tokens, the context is 64"):
        opened(Source(corpus.tokens, documents=documents), corpus.vocabulary)
    assert opened(Source(corpus.tokens, documents=documents), corpus.vocabulary, longest).total is None
    with pytest.raises(ConfigError, match=f"{re.escape(name)}.* has {longest} tokens, the context is {longest - 1}"):
        opened(Source(corpus.tokens, documents=documents), corpus.vocabulary, longest - 1)


def test_packed_rows_of_another_length(corpus, tmp_path):
    with pytest.raises(ConfigError, match=r"rows of 64 tokens, but the context is 32"):
        opened(Source(corpus.packed), corpus.vocabulary, 32)
    rows = [packed_row(64), packed_row(64), packed_row(32)]
    extra = {"vocabulary": corpus.vocabulary.fingerprint}
    mixed = str(made.write_dataset(tmp_path / "m", "packed", PACKED, [rows[:2], rows[2:]], extra))
    with pytest.raises(ConfigError, match=r"part-00001-of-00002.parquet, rows 0 to 0: rows of 32 tokens.* is 64"):
        opened(Source(mixed), corpus.vocabulary)
    # lengths that add up are found when the rows are read
    sly = str(made.write_dataset(tmp_path / "s", "packed", PACKED, [[packed_row(32), packed_row(96)]], extra))
    with pytest.raises(SchemaMismatch, match=r"input_ids of a row has 32 values, the context is 64"):
        next(iter(opened(Source(sly), corpus.vocabulary)))


def test_other_kinds_of_folders(corpus, tmp_path):
    words = made.write_dataset(tmp_path / "words", "words", WORDS, [[]])
    with pytest.raises(SchemaMismatch, match=r"'words'.*'packed' or 'tokens'"):
        opened(Source(str(words)), corpus.vocabulary)
    with pytest.raises(StaleArtifact, match="not complete"):
        opened(Source(str(tmp_path)), corpus.vocabulary)
    extra = {"vocabulary": corpus.vocabulary.fingerprint}
    wrong = made.write_dataset(tmp_path / "wrong", "tokens", WORDS, [[]], extra)
    with pytest.raises(SchemaMismatch, match="'kind' is missing"):
        opened(Source(str(wrong)), corpus.vocabulary)


def copied(corpus, tmp_path: Path) -> Path:
    return Path(shutil.copytree(corpus.packed, tmp_path / "packed"))


def test_a_shard_that_is_missing_or_changed_before(corpus, tmp_path):
    folder = copied(corpus, tmp_path)
    shard = folder / "part-00003-of-00005.parquet"
    shard.write_bytes(shard.read_bytes() + b"x")
    with pytest.raises(StaleArtifact, match=r"part-00003.* has \d+ bytes, its size in the manifest is \d+"):
        opened(Source(str(folder)), corpus.vocabulary)
    shard.unlink()
    with pytest.raises(StaleArtifact, match=r"part-00003.* is missing, its size in the manifest"):
        opened(Source(str(folder)), corpus.vocabulary)


@pytest.mark.parametrize("how", ["gone", "longer", "damaged"])
def test_a_shard_that_goes_or_changes_while_it_is_read(corpus, tmp_path, how):
    folder = copied(corpus, tmp_path)
    reader = opened(Source(str(folder)), corpus.vocabulary, window_tokens=1)
    next(iter(reader))
    for path in folder.glob("part-*"):
        data = path.read_bytes()
        if how == "gone":
            path.unlink()
        else:
            path.write_bytes(data + b"x" if how == "longer" else b"PAR1" + b"\xff" * (len(data) - 2000) + data[-1996:])
    wanted = {"gone": "was removed", "longer": "was replaced", "damaged": "cannot be read"}[how]
    with pytest.raises(StaleArtifact, match=wanted):
        list(islice(reader, 100))


def test_a_vocabulary_that_is_no_vocabulary(corpus, tmp_path):
    folder = Path(shutil.copytree(corpus.root / "subword", tmp_path / "subword"))
    (folder / "vocab.json").write_text((folder / "vocab.json").read_text().replace('"size": ', '"size": 1'))
    with pytest.raises(StaleArtifact, match=r"token_modality\.npy has \d+ ids, vocab\.json has 1\d+"):
        VocabularyMetadata.load(str(folder))
    (folder / "vocab.json").unlink()
    with pytest.raises(StaleArtifact, match="no vocabulary"):
        VocabularyMetadata.load(str(folder))
    assert (
        VocabularyMetadata.load(str(corpus.root / "subword")).fingerprint
        == manifest.read(corpus.tokens).extra["vocabulary"]
    )


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ({"weight": 0.0}, "weight"),
        ({"documents": "some"}, "documents='some'"),
        ({"long": "drop"}, "long='drop'"),
        ({"part": "test"}, "part='test'"),
        ({"part": "train", "validation": 1.5}, "validation=1.5"),
        ({"kinds": ()}, "kinds is empty"),
        ({"group": "("}, "is not a regular expression"),
    ],
)
def test_options_of_a_source_that_cannot_be(source, message):
    with pytest.raises(ConfigError, match=re.escape(message)):
        Source("folder", **source)


@pytest.mark.parametrize("option", [{"kinds": ("text",)}, {"part": "train"}])
def test_what_packed_rows_cannot_give(corpus, option):
    with pytest.raises(ConfigError, match=f"{next(iter(option))} does not apply to 'packed'"):
        opened(Source(corpus.packed, **option), corpus.vocabulary)


def test_a_group_that_matches_nothing(corpus):
    with pytest.raises(ConfigError, match=r"id 'utt-\d+' does not begin with the group 'x\+'"):
        opened(Source(corpus.tokens, part="train", group="x+"), corpus.vocabulary)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"batch_rows": 0}, "batch_rows=0"),
        ({"rank": 3, "world": 3}, "rank 3 of 3"),
        ({"end": "soon"}, "end='soon'"),
        ({"epochs": 0}, "epochs=0"),
        ({"share": "hours"}, "share='hours'"),
    ],
)
def test_options_of_a_reader_that_cannot_be(corpus, options, message):
    with pytest.raises(ConfigError, match=message):
        opened(Source(corpus.packed), corpus.vocabulary, **options)
    with pytest.raises(ConfigError, match="context=1"):
        opened(Source(corpus.packed), corpus.vocabulary, 1)


def test_weights_for_some_sources_only(corpus):
    with pytest.raises(ConfigError, match="only some sources have a weight"):
        Reader([Source(corpus.packed), Source(corpus.tokens, weight=1)], CONTEXT, vocabulary=corpus.vocabulary)
