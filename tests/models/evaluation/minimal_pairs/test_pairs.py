"""Readers of minimal pairs: BLiMP, the BabyLM supplement, and files that are neither."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest

from speechprep.errors import BadInput, ConfigError
from speechprep.models.evaluation.minimal_pairs.pairs import read_pairs

BLIMP = {
    "sentence_good": "Katherine can't help herself.", "sentence_bad": "Katherine can't help himself.",
    "field": "morphology", "linguistics_term": "anaphor_agreement", "UID": "anaphor_gender_agreement", "pairID": "7",
}  # fmt: skip
SUPPLEMENT = {
    "row": 0,
    "fragment": False,
    "contrast": "x",
    "sentence_good": "A: Who left?\nB: I did.",
    "sentence_bad": "b",
}


def lines(rows: list[dict]) -> bytes:
    return "".join(json.dumps(row) + "\n" for row in rows).encode()


def write(folder: Path, files: dict[str, bytes]) -> str:
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    return str(folder)


def test_blimp_and_the_supplement_are_read(tmp_path):
    folder = write(
        tmp_path,
        {"a.jsonl.gz": gzip.compress(lines([BLIMP])), "qa_congruence_easy.jsonl": lines([SUPPLEMENT, SUPPLEMENT]),
         "index.jsonl": lines([{"file": "a.jsonl.gz"}]), "notes.txt": b"x", "deeper/b.jsonl": lines([BLIMP])},
    )  # fmt: skip
    pairs, skipped = read_pairs(folder)
    assert [pair.id for pair in pairs] == ["anaphor_gender_agreement/7", "qa_congruence_easy/1", "qa_congruence_easy/2"]
    assert (pairs[0].phenomenon, pairs[0].field) == ("anaphor_agreement", "morphology")
    assert (pairs[1].phenomenon, pairs[1].field) == ("qa_congruence_easy", "supplement")
    assert pairs[1].good == "A: Who left?\nB: I did."
    assert [Path(path).name for path in skipped] == ["index.jsonl"]


def test_a_folder_of_folders_is_read_one_level_deep(tmp_path):
    second = {**BLIMP, "UID": "other"}
    folder = write(tmp_path, {"blimp/a.json": lines([BLIMP]), "supplement/b.json": lines([second])})
    assert len(read_pairs(folder)[0]) == 2


def test_the_fraction_is_fixed(tmp_path):
    rows = [{**BLIMP, "pairID": str(i)} for i in range(1000)]
    folder = write(tmp_path, {"a.jsonl": lines(rows)})
    tenth = [pair.id for pair in read_pairs(folder, 0.1)[0]]
    assert 60 < len(tenth) < 140
    write(tmp_path, {"a.jsonl": lines(rows[::-1])})
    assert sorted(pair.id for pair in read_pairs(folder, 0.1)[0]) == sorted(tenth)
    assert set(tenth) < {pair.id for pair in read_pairs(folder, 0.3)[0]}


@pytest.mark.parametrize(
    ("files", "error", "message"),
    [
        (
            {"a.jsonl": lines([{"sentence_good": "x", "UID": "y"}])},
            BadInput,
            r"a\.jsonl:1 has no column 'sentence_bad'",
        ),
        ({"a.jsonl": lines([BLIMP, {"UID": "y"}])}, BadInput, r"a\.jsonl:2 has no column 'sentence_good'; it has UID"),
        ({"a.jsonl": lines([{**BLIMP, "sentence_bad": 3}])}, BadInput, "write two sentences"),
        ({"a.jsonl": lines([{**BLIMP, "sentence_bad": " "}])}, BadInput, "write two sentences"),
        ({"a.jsonl": b"{"}, BadInput, "not JSON"),
        ({"a.jsonl": b"[1]\n"}, BadInput, "not a JSON object"),
        ({"a.jsonl": b"\xff"}, BadInput, "restore the file"),
        ({"a.jsonl.gz": b"plain"}, BadInput, "restore the file"),
        ({"a.jsonl": lines([BLIMP]), "b.jsonl": lines([BLIMP])}, ConfigError, "is in .*a.jsonl and .*b.jsonl"),
        ({"index.jsonl": lines([{"file": "a"}])}, ConfigError, "has no minimal pairs"),
        ({"readme.md": b""}, ConfigError, "has no minimal pairs"),
    ],
)
def test_files_that_do_not_fit_are_refused(tmp_path, files, error, message):
    with pytest.raises(error, match=message):
        read_pairs(write(tmp_path, files))


def test_a_missing_folder_is_named(tmp_path):
    with pytest.raises(ConfigError, match="no such file or folder"):
        read_pairs(str(tmp_path / "absent"))


def test_the_real_paradigms_are_read():
    folder = Path(__file__).resolve().parents[4] / "shared/data/blimp"
    if not folder.is_dir():
        folder = folder.parents[3] / "shared/data/blimp"
    if not folder.is_dir():
        pytest.skip("no BLiMP beside the checkout")
    pairs, skipped = read_pairs(str(folder))
    assert len(pairs) == 34_000
    assert len({pair.paradigm for pair in pairs}) == 34
    assert [Path(path).name for path in skipped] == ["index.jsonl"]
