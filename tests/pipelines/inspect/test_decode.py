"""`decode`: rows of tokens and packed back to words, units and times."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from helpers import rowmaking as made

from speechprep.artifacts import manifest
from speechprep.artifacts.run import open_dataset
from speechprep.errors import ConfigError
from speechprep.pipelines.inspect.decode import decode_dataset, verify_tokens
from speechprep.pipelines.stages import interleave, pack


@pytest.fixture(scope="module")
def vocab(tmp_path_factory):
    return made.build_vocabulary(tmp_path_factory.mktemp("vocab"))


@pytest.fixture
def folders(tmp_path, run_stage, vocab):
    records = [r for r in made.corpus(80) if r["words"] and r["units"]]
    parts = [records[:20], records[20:]]
    found = made.write_inputs(tmp_path, [[made.words_row(r) for r in part] for part in parts], parts, vocab)
    tokens = run_stage(
        interleave.STAGE, {"kinds": ["unit", "text", "cst_both", "ast"], "speech_words": "fixed:2"}, found
    )
    return {role: str(path) for role, path in found.items()} | {"tokens": str(tokens), "records": records}


def test_tokens_decode_to_words_units_and_times(folders):
    truth = {r["id"]: r for r in folders["records"]}
    decoded = list(decode_dataset(folders["tokens"], words=folders["words"]))
    assert len(decoded) == 5 * len(truth)
    for row in decoded:
        words = truth[row.id]["words"]
        spelled = [(w["text"], w["start"], w["end"]) for w in words]
        found = [word for span in row.spans for word in span.words]
        assert found == spelled * (2 if row.kind.startswith("cst") else 1)
        assert row.text == " ".join(w["text"] for w in [*words, *(words if row.kind.startswith("cst") else [])])
        if row.kind == "unit":
            (span,) = row.spans
            frames = [u for u, n in zip(span.units, span.durations, strict=True) for _ in range(n)]
            assert frames == truth[row.id]["units"]
        assert json.loads(json.dumps(row.to_dict()))["id"] == row.id


def test_words_in_spans_of_units_have_times_and_no_spelling_without_the_words(folders):
    row = next(r for r in decode_dataset(folders["tokens"]) if r.kind == "unit")
    assert row.spans[0].text is None
    assert all(text is None and start <= end for text, start, end in row.spans[0].words)


def test_ids_choose_utterances_or_single_rows(folders):
    id = folders["records"][30]["id"]
    assert {r.kind for r in decode_dataset(folders["tokens"], ids=[id])} == {"unit", "text", "cst_ut", "cst_tu", "ast"}
    (row,) = decode_dataset(folders["tokens"], ids=[f"{id}#ast"])
    assert (row.id, row.kind) == (id, "ast")
    assert list(decode_dataset(folders["tokens"], ids=["nobody"])) == []


def test_copies_of_a_packed_document_are_told_apart(folders, run_stage, tmp_path):
    options = {"context": 32, "repeat": True, "weights": {"speech": 9, "text": 1, "mixed": 1}}
    inputs = {"tokens": folders["tokens"], "subword": folders["subword"]}
    packed = run_stage(pack.STAGE, options, inputs, out=tmp_path / "packed")
    whole = {(r.id, r.kind): r for r in decode_dataset(folders["tokens"])}
    decoded = list(decode_dataset(str(packed)))
    assert len(decoded) > len(whole)
    for row in decoded:
        assert [s.units for s in row.spans] == [s.units for s in whole[row.id, row.kind].spans]
        assert row.text == whole[row.id, row.kind].text


def test_a_folder_of_another_kind_is_refused(folders):
    with pytest.raises(ConfigError, match="holds 'units'"):
        next(decode_dataset(folders["units"]))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda row: row.update(durations=row["durations"][:-1]), "durations"),
        (lambda row: row.update(word_t0=[t + 1 for t in row["word_t0"]]), "times"),
        (lambda row: row["input_ids"].__setitem__(0, 7), "marker"),
        (lambda row: row["runs"].pop(), "durations|words|marker"),
    ],
)
def test_the_check_finds_a_row_that_was_changed(folders, tmp_path, change, message):
    rows = made.read_rows(Path(folders["tokens"]))[:100]
    row = next(r for r in rows if r["kind"] == "ast" and r["durations"])
    change(row)
    extra = manifest.read(folders["tokens"]).extra
    changed = made.write_dataset(tmp_path / "changed", "tokens", interleave.TOKENS, [rows[:60]], extra)
    records = folders["records"]
    vocab = interleave.Vocabulary.load(folders["subword"])
    inputs = made.write_inputs(tmp_path / "in", [[made.words_row(r) for r in records]], [records], vocab)
    datasets = {role: open_dataset(str(folder)) for role, folder in inputs.items()}
    (line,) = verify_tokens(open_dataset(str(changed)), "part-00000-of-00001.parquet", datasets)
    assert f"{row['id']}#ast" in line
    assert any(word in line for word in message.split("|"))
