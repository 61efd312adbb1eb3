"""`verify` finds what is wrong, and only that. Each test breaks one thing in a small chain."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from helpers import toy_stages as toy

from speechprep.artifacts import manifest, schemas, shards
from speechprep.errors import StaleArtifact
from speechprep.pipelines.engine.plan import Step
from speechprep.pipelines.engine.run import Options, run_steps
from speechprep.pipelines.inspect.verify import verify


def chain(out: Path, **double) -> None:
    numbers, doubles, total = (str(out / n) for n in ("numbers", "doubles", "total"))
    run_steps(
        [
            Step("count", toy.COUNT, toy.COUNT.configure({"bad": 7}), 0, {}, numbers, ["nowhere"]),
            Step("double", toy.DOUBLE, toy.DOUBLE.configure(double), 0, {"numbers": numbers}, doubles),
            Step("sum", toy.SUM, toy.SUM.configure({}), 0, {"doubles": doubles}, total),
        ],
        Options(max_reject_fraction=1.0),
    )


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("verify") / "run"
    chain(out)
    return out


@pytest.fixture
def out(made, tmp_path) -> Path:
    return Path(shutil.copytree(made, tmp_path / "run"))


def problems(folder: Path) -> list[str]:
    return [f"{Path(p.folder).name}: {p.what}" for p in verify(str(folder)).problems]


def one(folder: Path, text: str) -> None:
    found = problems(folder)
    assert len(found) == 1, found
    assert text in found[0]


def test_a_sound_run_has_no_problems_and_is_counted(out):
    verdict = verify(str(out))
    assert verdict.problems == []
    assert [Path(f).name for f in verdict.folders] == ["numbers", "doubles", "total"], "upstream first"
    assert verdict.rows == 2 * 85
    assert verdict.files == 4 + 4 + 4 + 2  # shards, their rejects, and the files of the artifact


def test_a_changed_byte_is_found(out):
    path = out / "doubles" / "part-00001-of-00004.parquet"
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    one(out, "doubles: part-00001-of-00004.parquet was changed")


def test_a_shard_cut_short_is_found(out):
    path = out / "doubles" / "part-00001-of-00004.parquet"
    path.write_bytes(path.read_bytes()[:-10])
    one(out, "doubles: part-00001-of-00004.parquet: size is")


def test_a_missing_shard_is_found(out):
    (out / "numbers" / "part-00002-of-00004.parquet").unlink()
    one(out, "numbers: part-00002-of-00004.parquet is missing")


def test_a_missing_file_of_an_artifact_is_found(out):
    (out / "total" / "deep" / "note.txt").unlink()
    one(out, "total: deep/note.txt is missing")


def test_a_changed_reject_file_is_found(out):
    path = out / "numbers" / "_rejects" / "part-00000-of-00004.parquet"
    path.write_bytes(path.read_bytes() + b"x")
    one(out, "_rejects/part-00000-of-00004.parquet was changed")


@pytest.mark.parametrize(
    ("where", "text"),
    [
        ("numbers/part-00009-of-00004.parquet", "part-00009-of-00004.parquet is there but not in the manifest"),
        ("numbers/_rejects/x.parquet", "_rejects/x.parquet is there but not in the manifest"),
        ("numbers/_work/x", "_work/ was left by a run that did not end"),
        ("numbers/notes/x", "notes/ is not of speechprep"),
        ("stray.txt", "'stray.txt' is not of speechprep"),
        ("folder/x", "'folder' is not of speechprep"),
    ],
)
def test_what_does_not_belong_there_is_found(out, where, text):
    path = out / where
    path.parent.mkdir(exist_ok=True)
    path.write_text("x")
    one(out, text)


def edit(folder: Path, **changes) -> None:
    """Edit values of a manifest, and its digest with them."""
    path = folder / manifest.NAME
    body = {**json.loads(path.read_text()), **changes}
    del body["digest"]
    path.write_text(json.dumps({**body, "digest": manifest.digest(body)}))


def test_an_edited_manifest_is_found(out):
    made_of = manifest.read(str(out / "doubles")).made_of
    edit(out / "doubles", made_of={**made_of, "seed": 99})
    one(out, "doubles: fingerprint is")
    edit(out / "doubles", made_of=made_of, content="0" * 64)
    one(out, "doubles: content is 000000000000 in the manifest, recomputed")


def test_a_manifest_that_is_none_is_a_problem_and_not_a_crash(out):
    (out / "doubles" / manifest.NAME).write_text("{")
    assert "is not a speechprep manifest" in " ".join(problems(out))


def test_an_unfinished_folder_is_a_problem(out):
    (out / "total" / manifest.NAME).unlink()
    (out / "total" / "_state").mkdir()
    one(out, "not complete")


def test_folders_that_were_not_made_of_each_other_are_found(out, tmp_path):
    other = tmp_path / "other"
    chain(other, times=3)
    shutil.rmtree(out / "doubles")
    shutil.copytree(other / "doubles", out / "doubles")
    one(out, "total: was made from another doubles")


def test_a_single_folder_is_checked_with_those_beside_it(out):
    assert verify(str(out / "doubles")).folders == [str(out / "doubles")]
    assert problems(out / "doubles") == []


def test_a_folder_of_something_else_is_an_error(tmp_path):
    with pytest.raises(StaleArtifact, match="nothing of speechprep"):
        verify(str(tmp_path))


# -- rows of hand-made datasets --


def dataset(folder: Path, kind: str, rows: list[dict], schema, inputs=None, extra=None) -> None:
    """A dataset of one shard by hand, with a manifest that agrees with it."""
    name = shards.shard_name(0, 1)
    with shards.ShardWriter(str(folder / name), schema) as writer:
        writer.write([{field.name: row.get(field.name) for field in schema} for row in rows])
    stage = {"utterances": "ingest", "words": "align", "units": "of another package"}[kind]
    made_of = {"stage": stage, "inputs": {role: fingerprint(source) for role, source in (inputs or {}).items()}}
    contents = {role: manifest.read(str(source)).shards[0].sha256 for role, source in (inputs or {}).items()}
    seconds = sum(row.get("duration") or 0.0 for row in rows)
    words = [word for row in rows for word in row.get("words") or []]
    counters = {"utterances": len(rows), **({"words": len(words)} if kind == "words" else {})}
    shard = manifest.Shard(
        name,
        manifest.shard_key(manifest.digest(made_of), contents),
        writer.sha256,
        writer.size,
        rows=len(rows),
        seconds=seconds,
        counters=counters,
    )
    content = manifest.digest([shard.sha256])
    known = manifest.Manifest(kind, manifest.digest(made_of), content, made_of, [shard], counters, [], {}, extra or {})
    manifest.write(str(folder), known)


def fingerprint(folder: Path) -> str:
    return manifest.read(str(folder)).fingerprint


GRID = {"sample_rate": 16_000, "stride": 160, "window": 400, "padded": False}


@pytest.fixture
def speech(tmp_path) -> Path:
    out = tmp_path / "speech"
    rows = [{"id": id, "offset": 0.0, "duration": 1.0} for id in ("a", "b")]
    dataset(out / "utterances", "utterances", rows, schemas.UTTERANCES)
    return out


def units(out: Path, rows: list[dict]) -> None:
    extra = {"grid": GRID, "k": 10, "codebook": "c"}
    inputs = {"utterances": out / "utterances"}
    dataset(out / "units", "units", [{"codebook": "c", **r} for r in rows], schemas.units_schema(10), inputs, extra)


def words(out: Path, rows: list[dict]) -> None:
    inputs = {"utterances": out / "utterances"}
    dataset(out / "words", "words", rows, schemas.WORDS, inputs)


def test_units_that_fit_their_audio_are_well(speech):
    units(speech, [{"id": "a", "units": [1] * 98}, {"id": "b", "units": [9] * 98}])
    assert problems(speech) == []


@pytest.mark.parametrize(
    ("rows", "text"),
    [
        ([{"id": "a", "units": [1] * 98}], "1 utterances are neither here nor rejected, for example 'b'"),
        ([{"id": "a", "units": [1] * 98}, {"id": "b", "units": [1] * 60}], "another number of units than their audio"),
        ([{"id": "a", "units": [1] * 98}, {"id": "b", "units": [10] * 98}], "1 rows have units beyond 10"),
        ([{"id": "a", "units": [1] * 98}, {"id": "b", "units": [1] * 98, "codebook": "d"}], "name another codebook"),
        (
            [{"id": "a", "units": [1] * 98}, {"id": "b", "units": [1] * 98}, {"id": "z", "units": [1] * 98}],
            "1 ids are not in utterances, for example 'z'",
        ),
    ],
)
def test_units_that_cannot_be_are_found(speech, rows, text):
    units(speech, rows)
    one(speech, text)


def test_an_id_that_stands_twice_is_found(speech):
    units(speech, [{"id": i, "units": [1] * 98} for i in ("a", "b", "b")])
    one(speech, "1 ids stand more than once, for example 'b'")


def word(text: str, start: float, end: float) -> dict:
    return {"text": text, "start": start, "end": end, "timing": "aligned"}


@pytest.mark.parametrize(
    ("bad", "text"),
    [
        (word("x", 0.5, 0.4), "impossible times"),
        (word("x", float("nan"), 0.4), "impossible times"),
        (word("x", 0.5, 1.4), "impossible times"),
        (word(" ", 0.5, 0.6), "words without text"),
    ],
)
def test_words_that_cannot_be_are_found(speech, bad, text):
    words(speech, [{"id": "a", "duration": 1.0, "words": [word("go", 0.1, 0.3), bad]}])
    one(speech, text)


def test_a_shard_of_another_schema_is_found(speech):
    dataset(speech / "words", "words", [{"id": "a"}], schemas.POOLED, {"utterances": speech / "utterances"})
    assert "columns" in problems(speech)[0]
