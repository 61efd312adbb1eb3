"""The stage `wordpiece`: transcripts and text files, in any shards and order."""

from __future__ import annotations

import gzip
import hashlib
import json
from pathlib import Path

import pytest

from speechprep.artifacts import manifest
from speechprep.artifacts.schemas import UTTERANCES, WORDS
from speechprep.artifacts.text_files import read_texts
from speechprep.errors import BadInput, ConfigError
from speechprep.pipelines.inspect.verify import verify
from speechprep.pipelines.stages.wordpiece import STAGE
from speechprep.tokenizers.wordpiece.tokenizer import WordPiece

from .test_subword import TEXTS, dataset

OPTIONS = {"vocab_size": 60, "min_count": 1}


def utterances(folder: Path, n: int, texts: list[str | None] = TEXTS) -> Path:
    rows = [{"id": f"u{i}", "text": text} for i, text in enumerate(texts)]
    return dataset(folder, "utterances", UTTERANCES, rows, n)


def hashes(folder: Path) -> dict[str, str]:
    return {p.name: hashlib.sha256(p.read_bytes()).hexdigest() for p in folder.iterdir() if p.name != "_manifest.json"}


def test_the_bytes_do_not_depend_on_the_shards(run_stage, tmp_path):
    made = [
        run_stage(STAGE, OPTIONS, {"utterances": utterances(tmp_path / f"u{n}", n)}, tmp_path / f"o{n}") for n in (1, 3)
    ]
    assert hashes(made[0]) == hashes(made[1])
    assert len(hashes(made[0])) == 5


def test_words_without_kept_are_left_out(run_stage, tmp_path):
    rows = [{"id": str(i), "text": text, "words": [], "duration": 1.0, "kept": i != 1} for i, text in enumerate(TEXTS)]
    out = run_stage(STAGE, OPTIONS, {"words": dataset(tmp_path / "w", "words", WORDS, rows, 2)})
    coverage = json.loads((out / "coverage.json").read_text())
    assert (coverage["seen"], coverage["texts"]) == (3, 3)
    facts = manifest.read(str(out)).extra
    assert facts["size"] == WordPiece.load(out).size == coverage["size"]
    assert facts["tokenizer"] == WordPiece.load(out).fingerprint


def test_the_limit_of_characters_keeps_the_same_texts_in_any_shards(run_stage, tmp_path):
    texts = [f"{a}{b} {b}{a}" for a in "abcdef" for b in "uvwxyz"]
    options = {**OPTIONS, "max_characters": 60}
    made = [
        run_stage(STAGE, options, {"utterances": utterances(tmp_path / f"u{n}", n, texts)}, tmp_path / f"o{n}")
        for n in (1, 4)
    ]
    assert hashes(made[0]) == hashes(made[1])
    assert json.loads((made[0] / "coverage.json").read_text())["used"] == 12


def test_a_text_only_corpus_needs_no_input(tmp_path, monkeypatch):
    from speechprep.cli import main

    monkeypatch.chdir(tmp_path)
    lines = "".join(f"{text}\n" for text in TEXTS)
    (tmp_path / "a.txt").write_text(lines)
    (tmp_path / "b.jsonl.gz").write_bytes(
        gzip.compress("".join(json.dumps({"text": t}) + "\n" for t in TEXTS).encode())
    )
    for name, file in (("one", "a.txt"), ("two", "b.jsonl.gz")):
        call = ["wordpiece", "--out", name, "-q", "--set", f"texts=[{file}]", "--set", "vocab_size=60"]
        with pytest.raises(SystemExit) as done:
            main(call)
        assert done.value.code == 0
        assert not verify(name).problems
    assert (tmp_path / "one/vocab.txt").read_bytes() == (tmp_path / "two/vocab.txt").read_bytes()
    assert WordPiece.load(tmp_path / "one").encode(["quick dog"]).ids.tolist()


def test_a_changed_text_file_is_another_training(run_stage, tmp_path):
    file = tmp_path / "a.txt"
    file.write_text("the cat\n")
    prints = []
    for content in ("the cat\n", "the dog\n"):
        file.write_text(content)
        prints.append(STAGE.backend(STAGE.configure({"texts": [str(file)]}), {}).identity())
    assert prints[0] != prints[1]


@pytest.mark.parametrize(
    ("name", "content", "error", "message"),
    [
        ("a.csv", b"text\n", ConfigError, "unknown suffix"),
        ("missing.txt", None, ConfigError, "no such file"),
        ("a.jsonl", b'{"text": "x"}\n{"words": 3}\n', BadInput, "a.jsonl:2: 'text' is None"),
        ("a.jsonl", b"[1]\n", BadInput, "not a JSON object"),
        ("a.jsonl", b"{\n", BadInput, "not JSON"),
        ("a.txt", b"good\n\xff\xfe\n", BadInput, "a.txt: after line"),
        ("a.txt.gz", gzip.compress(b"good\n" * 2000, mtime=0)[:-12], BadInput, "a.txt.gz: after line"),
        ("a.txt.gz", b"plain", BadInput, "a.txt.gz: after line 0"),
    ],
)
def test_bad_text_files_are_named(tmp_path, name, content, error, message):
    path = tmp_path / name
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(error, match=message):
        list(read_texts(str(path)))
