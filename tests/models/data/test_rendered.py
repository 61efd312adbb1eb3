"""Rows rendered as they are read: each utterance once an epoch, drawn anew, for any ranks, and decoded exactly."""

from __future__ import annotations

import json
from collections import Counter

import numpy as np
import pytest
from helpers import manifest_edits
from helpers import rowmaking as made
from helpers.zoo_run import write_run

from speechprep.artifacts import manifest
from speechprep.artifacts.run import open_run
from speechprep.artifacts.schemas import WORDS
from speechprep.errors import ConfigError, StaleArtifact
from speechprep.models.data import Reader, Rendering, Source, VocabularyMetadata
from speechprep.tokenizers.arrays.runlength import dedup
from speechprep.tokenizers.interleave.invert import parse_document
from speechprep.tokenizers.interleave.rows import Interleaver
from speechprep.tokenizers.subword.vocabulary import Vocabulary

CONTEXT = 400


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> str:
    return str(write_run(tmp_path_factory.mktemp("rendered") / "run", count=60))


@pytest.fixture(scope="module")
def vocabulary(run) -> VocabularyMetadata:
    return VocabularyMetadata.load(f"{run}/subword")


def source(run: str, kinds=("ast",), **given) -> Source:
    return Source(run, kinds=kinds, **{"documents": "whole", "render": Rendering(), **given})


def reader(run, vocabulary, sources=None, **given) -> Reader:
    options = {"batch_rows": 2, "seed": 3, "end": "all", "epochs": 3, "names": True, **given}
    return Reader(sources or [source(run)], CONTEXT, vocabulary=vocabulary, **options)


def rows(of: Reader) -> list[tuple[int, bytes, tuple[str, ...], np.ndarray]]:
    return [
        (int(row), ids.tobytes(), tuple(names), documents)
        for batch in of
        for row, ids, names, documents in zip(
            batch["rows"], batch["input_ids"], batch["names"], batch["document_ids"], strict=True
        )
    ]


def documents(row) -> dict[str, list[int]]:
    """Name -> tokens of the documents of a row."""
    _, data, names, owner = row
    ids = np.frombuffer(data, np.int64)
    assert owner.max() + 1 == len(names)
    return {name: ids[owner == i].tolist() for i, name in enumerate(names)}


@pytest.mark.parametrize("kinds", [("ast",), ("unit",), ("text",), ("cst_ut", "cst_tu"), ("unit", "ast", "cst_tu")])
def test_each_utterance_is_there_once_an_epoch_and_is_drawn_anew(run, vocabulary, kinds):
    given = reader(run, vocabulary, [source(run, kinds)])
    found = rows(given)
    epoch = given.streams[0].rows
    assert len(found) == 3 * epoch
    seen = [
        {
            name.rpartition("#")[0]: (name, tuple(ids))
            for row in found[at : at + epoch]
            for name, ids in documents(row).items()
        }
        for at in range(0, 3 * epoch, epoch)
    ]
    ids = {row["id"] for row in open_run(run)["units"].records(("id",))}
    assert [set(one) for one in seen] == [ids] * 3
    for at in range(0, 3 * epoch, epoch):
        names = [name for row in found[at : at + epoch] for name in documents(row)]
        assert len(names) == len(ids)
    assert {name.rpartition("#")[2] for one in seen for name, _ in one.values()} == set(kinds)
    changed = sum(len({one[id][1] for one in seen}) > 1 for id in ids)
    assert changed == 0 if kinds in (("unit",), ("text",)) else changed > len(ids) / 2


def test_every_document_decodes_to_the_words_and_units_of_its_utterance(run, vocabulary):
    vocab = Vocabulary.load(f"{run}/subword")
    words = {row["id"]: [w["text"] for w in row["words"]] for row in open_run(run)["words"].records(("id", "words"))}
    units = {
        row["id"]: dedup(np.array(row["units"]))[0].tolist() for row in open_run(run)["units"].records(("id", "units"))
    }
    switches = Counter()
    for row in rows(reader(run, vocabulary, [source(run, ("ast", "cst_ut", "unit", "text"))])):
        for name, ids in documents(row).items():
            id, _, kind = name.rpartition("#")
            segments = parse_document(np.array(ids), vocab)
            written = [word for part in segments if part.modality == "text" for word in part.words]
            heard = [unit for part in segments if part.modality == "unit" for unit in part.units.tolist()]
            if kind in ("unit", "cst_ut"):
                assert heard == units[id]
            if kind in ("text", "cst_ut"):
                assert written == words[id]
            if kind == "ast":
                switches[len(segments)] += 1
                assert is_subsequence(written, words[id])
                assert is_subsequence(dedup(np.array(heard, np.int64))[0].tolist() if heard else [], units[id])
    assert len(switches) > 2


def is_subsequence(part, whole) -> bool:
    rest = iter(whole)
    return all(any(x == y for y in rest) for x in part)


def test_a_rendering_is_that_of_the_rows_of_interleave(run):
    vocab = Vocabulary.load(f"{run}/subword")
    records = [made.utterance(np.random.default_rng(i), f"u{i}") for i in range(80)]
    batch = made.flat(records)
    for kind in ("unit", "text", "cst_ut", "cst_tu", "ast"):
        one = Interleaver(vocab, made.GRID, (kind,), "ast", made.OPTIONS, 0)
        good = np.flatnonzero(one.renderable(batch))
        tokens, offsets, kinds = one.drawn(batch.take(good), 5)
        assert len(kinds) == len(good)
        stored = {row["id"]: row["input_ids"] for row in one.rows(batch).tokens.to_pylist()}
        assert stored.keys() == {f"u{i}" for i in good}
        if kind != "ast":  # nothing is drawn
            for i, a, b in zip(good, offsets[:-1], offsets[1:], strict=True):
                assert stored[f"u{i}"] == tokens[a:b].tolist()


@pytest.mark.parametrize("batch_rows", [1, 5])
def test_stopped_on_8_ranks_and_resumed_on_3_are_the_same_rows(run, vocabulary, batch_rows):
    sources = [source(run), source(run, ("text",)), source(run, ("unit",))]
    one = rows(reader(run, vocabulary, sources, batch_rows=3))
    state, taken = None, []
    for rank in range(8):
        part = reader(run, vocabulary, sources, rank=rank, world=8, batch_rows=1)
        batches = iter(part)
        for _ in range(2):
            batch = next(batches)
            columns = (batch[name] for name in ("rows", "input_ids", "names"))
            taken += [(int(r), ids.tobytes(), tuple(n)) for r, ids, n in zip(*columns, strict=True)]
        state = json.loads(json.dumps(part.state()))
    for rank in range(3):
        part = reader(run, vocabulary, sources, rank=rank, world=3, batch_rows=batch_rows)
        part.restore(state)
        taken += [row[:3] for row in rows(part)]
    assert sorted(taken) == sorted(row[:3] for row in one)


def test_no_row_is_longer_than_the_context_and_little_is_padding(run, vocabulary):
    found = rows(reader(run, vocabulary, epochs=20))
    padding = np.mean([(row[3] < 0).mean() for row in found])
    assert padding < 0.35  # rows of about 4 utterances


def test_the_validation_split_is_that_of_stored_rows(run, vocabulary):
    def names(**given) -> set[str]:
        one = Reader([Source(**given)], CONTEXT, vocabulary=vocabulary, end="all", names=True)
        return {name.rpartition("#")[0] for row in rows(one) for name in row[2]}

    for part in ("train", "validation"):
        split = {"part": part, "validation": 0.4, "kinds": ("ast",), "documents": "whole"}
        assert names(folder=run, render=Rendering(), **split) == names(folder=f"{run}/tokens", **split)


def test_what_cannot_be_rendered_is_refused(tmp_path, run, vocabulary):
    with pytest.raises(ConfigError, match="needs kinds"):
        reader(run, vocabulary, [source(run, None)])
    with pytest.raises(ConfigError, match="documents='split'"):
        source(run, documents="split")
    with pytest.raises(ConfigError, match=r"'s\d-\d+' has \d+ tokens, the context is 20"):
        Reader([source(run)], 20, vocabulary=vocabulary)
    with pytest.raises(ConfigError, match="unknown kind"):
        reader(run, vocabulary, [source(run, ("song",))])
    other = write_run(tmp_path / "other", count=4)
    for folder, extra in (("units", {"codebook": "x" * 64}),):
        path = other / folder / manifest.NAME
        body = json.loads(path.read_text())
        body["extra"] |= extra
        manifest_edits.write(path, body)
        path = other / "subword" / manifest.NAME
        body = json.loads(path.read_text())
        body["extra"] |= {"codebook": "y" * 64}
        manifest_edits.write(path, body)
    with pytest.raises(StaleArtifact, match="codebook"):
        reader(str(other), vocabulary)
    shards = write_run(tmp_path / "shards", count=4)
    (shards / "words" / manifest.NAME).unlink()
    for path in (shards / "words").iterdir():
        path.unlink()
    (shards / "words").rmdir()
    made.write_dataset(shards / "words", "words", WORDS, [[]])
    with pytest.raises(StaleArtifact, match="2 shards of units and 1 of words"):
        reader(str(shards), vocabulary)
