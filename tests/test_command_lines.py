"""The command lines of README, docs, CONTRIBUTING.md and the help pages work on a run of the demo corpus.

Every line is parsed by the real program, and its `--set` options are read by the real classes. A line that needs no
model and no other machine also runs, in a folder as its reader has it: a corpus, a finished run, and no output yet.
"""

from __future__ import annotations

import json
import re
import shutil
import tarfile
from pathlib import Path
from typing import Any

import pytest
import typer
from helpers.command_lines import ROOT, CommandLine, in_help, in_pages

from speechprep.cli import app
from speechprep.demo import corpus_path
from speechprep.errors import ConfigError, MissingBackend

USAGE_ERROR = typer.BadParameter.__mro__[1]  # typer has a copy of click, and no public name for it
LINES = list({line.words: line for line in (*in_pages(), *in_help())}.values())

# EDIT HERE for a line that cannot run in this test: a pattern of the line -> the reason.
NOT_RUN = {
    r"aligner_options\.boundaries=": "needs the artifact of the command before it",
    r"^train |^grid |^generate ": "needs torch; tests/models runs these commands",
    r"^eval (cra|pelm|asr|s2tt|i2t|slue-transfer) ": "needs torch; tests/models runs these commands",
    r"options\.model=|model: |--extractor hubert|--preset|--model ": "needs a model folder",
    r"--audio ": "needs a CLAP model folder",
    r"duplicates=": "needs the dataset of the command before it",
    r"transcripts=required": "is an error for the demo corpus, which has sounds without a transcript",
    r"center=position": "needs a sample of Whisper frames",
    r"^images ": "needs a model folder",
    r"^eval alignment run --reference run\b": "needs a corpus with word times",
    r"gs://": "needs cloud storage",
    r"^push (?!.*--dry-run)": "uploads to the Hub",
    r"/shared/|/data": "needs a disk shared by several machines",
    r"docs/experiments/|\bruns/|ljspeech-aligned": "needs corpora outside of the package",
}

TEXT = ("ingest", "--input", "books", "--out", "text/utterances", "--set", "format=text")
NEEDED_BEFORE: dict[str, tuple[tuple[str, ...], ...]] = {  # pattern of a line -> lines before it
    r"^pool ": (("clips", "--input", "run", "--out", "run/clips"),),
    r"^interleave .*out/filtered": (("filter", "out", "--set", "min_trust=0.5", "--out", "out/filtered"),),
    r"^filter .*min_snr_db": (("quality", "--input", "run", "--out", "run/quality"),),
    r"--input text\b": (TEXT,),
    r"--input text/subword": (("subword", "--input", "text/utterances", "--out", "text/subword"),),
}

ROW = {
    "id": "a", "text": "one two", "pred_text": "one too", "references": ["one two"], "speaker": "s", "speaker_id": "s",
    "label": "Neutral", "sentiment": "Neutral", "normalized_text": "one two", "normalized_combined_ner": [],
}  # fmt: skip
TABLES = {
    "references": ("dev", "captions", "dev.de", "slue-voxceleb_dev", "slue-voxpopuli_dev"),
    "hypotheses": ("decoded", "generated", "translated", "predicted", "tagged"),
}


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run of the demo."""
    folder = tmp_path_factory.mktemp("finished") / "run"
    assert app.run(["demo", "--out", str(folder), "--workers", "2", "--quiet"]) == 0
    return folder


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a corpus and the small files that lines name."""
    shutil.copytree(corpus_path(), tmp_path / "corpus")
    shutil.copytree(corpus_path() / "speech", tmp_path / "my-recordings")
    shutil.copytree(corpus_path(), tmp_path / "corpora" / "one")
    with tarfile.open(tmp_path / "cv-corpus-17.0.tar.gz", "w:gz") as archive:
        archive.add(corpus_path(), "cv-corpus")
    (tmp_path / "books").mkdir()
    (tmp_path / "books" / "one.txt").write_text("the cat sat on the mat\nthe dog ran to the house\n" * 20)
    (tmp_path / "wiki.jsonl").write_text(json.dumps({"body": "the cat sat on the mat"}) + "\n")
    with tarfile.open(tmp_path / "wiki.tar.gz", "w:gz") as archive:
        archive.add(tmp_path / "wiki.jsonl", "wiki.jsonl")
    (tmp_path / "corpus.txt").write_text("the cat sat on the mat\nthe dog ran\n" * 20)
    first, second = sorted((tmp_path / "my-recordings").iterdir())[:2]
    (tmp_path / "a.jsonl").write_text(json.dumps({"id": "one", "audio": str(first), "text": "one"}) + "\n")
    (tmp_path / "textgrids").mkdir()
    (tmp_path / "textgrids" / f"{first.stem}.ctm").write_text(f"{first.stem} 1 0.176 0.175 the\n")
    for folder in ("more", "shards"):
        (tmp_path / folder).mkdir()
        with tarfile.open(tmp_path / folder / "b.tar", "w") as archive:
            archive.add(second, "two.opus")
    (tmp_path / "my.yaml").write_text((ROOT / "speechprep/recipes/speech.yaml").read_text())
    (tmp_path / "sutlm.yaml").write_text("size: mini\n")
    for stem in (*TABLES["references"], *TABLES["hypotheses"]):
        (tmp_path / f"{stem}.jsonl").write_text(json.dumps(ROW) + "\n")
        for ending, delimiter in (("tsv", "\t"), ("csv", ",")):
            cells = [str(value) if isinstance(value, list) else value for value in ROW.values()]
            lines = (delimiter.join(line) for line in (ROW, cells))
            (tmp_path / f"{stem}.{ending}").write_text("\n".join(lines) + "\n")
    (tmp_path / "phones.csv").write_text(phone_table())
    (tmp_path / "words.csv").write_text(word_table())
    (tmp_path / "docs").symlink_to(ROOT / "docs")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def phone_table() -> str:
    """Labels of 0.1 s, a, b, a and c in turn, over the first 2 s of each utterance of the demo corpus."""
    ids = [json.loads(line)["id"] for line in (corpus_path() / "manifest.jsonl").read_text().splitlines()]
    rows = [f"{id},{n / 10},{(n + 1) / 10},{'abac'[n % 4]}" for id in ids for n in range(20)]
    return "\n".join(["id,start,end,label", *rows]) + "\n"


def word_table() -> str:
    """The true word times of the demo corpus."""
    rows = map(json.loads, (corpus_path() / "manifest.jsonl").read_text().splitlines())
    lines = [f'{r["id"]},{w["start"]},{w["end"]},"{w["w"]}"' for r in rows for w in r.get("true_words", [])]
    return "\n".join(["id,start,end,label", *lines]) + "\n"


@pytest.fixture
def workspace(files: Path, finished: Path) -> Path:
    """The same, with copies of a finished run of the corpus: `run`, `out` and `speech`."""
    for name in ("run", "out", "speech"):
        shutil.copytree(finished, files / name)
    return files


def reason_not_to_run(line: CommandLine) -> str | None:
    text = " ".join(line.words)
    return next((reason for pattern, reason in NOT_RUN.items() if re.search(pattern, text)), None)


def test_the_texts_hold_command_lines_and_most_of_them_run():
    assert len(LINES) > 100
    assert {line.place for line in LINES} >= {"README.md", "docs/filter.md", "speechprep align --help"}
    assert sum(reason_not_to_run(line) is None for line in LINES) > 50
    for pattern in NOT_RUN:
        assert any(re.search(pattern, " ".join(line.words)) for line in LINES), f"{pattern}: no line has it"


def parse(line: CommandLine) -> tuple[str, dict[str, Any]]:
    """Name of the command and its parameters, by the real parser."""
    command, name, words = app.build(), "speechprep", list(line.words)
    context = command.make_context(name, words) if not words[0].startswith("-") else None
    names = []
    while hasattr(command, "get_command"):
        name, command, words = command.resolve_command(context, words)
        names.append(name)
        if hasattr(command, "get_command"):
            context = command.make_context(name, words, parent=context)
            words = [*context._protected_args, *context.args]
    return " ".join(names), command.make_context(name, words, parent=context).params


def check_settings(command: str, values: dict[str, Any]) -> None:
    """Read `--set` and `--config` by the classes of the options."""
    from speechprep.cli.commands.run import which_recipe
    from speechprep.cli.commands.stages import stage_settings
    from speechprep.cli.zoo.train import read_options
    from speechprep.models.zoo import find_model
    from speechprep.pipelines.engine import recipe as recipes
    from speechprep.pipelines.engine.stage import find_stage

    settings = values.get("settings") or []
    group, _, name = command.partition(" ")
    if group in ("run", "plan", "demo"):
        recipe = which_recipe(values["recipe"], values.get("recipe_option"))
        recipes.build(recipes.load(recipe).with_options(settings), ["corpus"], "empty")
    elif group == "train":
        find_model(name).options.of(read_options(values["config"], settings, find_model(name).options))
    elif group in app.stage_commands():
        find_stage(group).configure(stage_settings(group, values["recipe"], settings)[0])


@pytest.mark.parametrize("line", LINES, ids=str)
def test_a_line_is_parsed_with_its_options(line: CommandLine, files: Path) -> None:
    if line.words[-1] == "--help":
        line = CommandLine(line.place, (*line.words[:-1], "--data", "run", "--out", "models"))
    check_settings(*parse(line))


@pytest.mark.parametrize(
    "words",
    [
        "run speech --input corpus --out run --set cluster.max_frames=5",
        "align --input run --out run/words --set min_scores=-6",
        "align --inputs run --out run/words",
        "train sutlm --data run --out m --set size=minimal",
        "aline --input run --out run/words",
    ],
)
def test_a_wrong_line_is_noticed(words: str, files: Path) -> None:
    with pytest.raises((ConfigError, USAGE_ERROR)):
        check_settings(*parse(CommandLine("here", tuple(words.split()))))


def output(line: CommandLine) -> str | None:
    """The value of `--out`."""
    return line.words[line.words.index("--out") + 1] if "--out" in line.words else None


def to_run() -> list[CommandLine]:
    """The lines that run here; of lines that differ in `--out` alone, the first one."""
    lines: dict[tuple[str, ...], CommandLine] = {}
    for line in LINES:
        if reason_not_to_run(line) is None:
            before = ("", *line.words)  # the word before each word
            lines.setdefault(tuple("" if b == "--out" else w for b, w in zip(before, line.words, strict=False)), line)
    return list(lines.values())


def marked(line: CommandLine) -> Any:
    return pytest.param(line, id=str(line), marks=[pytest.mark.slow] if line.words[0] in ("run", "demo") else [])


@pytest.mark.parametrize("line", [marked(line) for line in to_run()])
def test_a_line_runs(line: CommandLine, workspace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = output(line)
    if out is not None and line.words[0] != "plan":
        shutil.rmtree(workspace / out, ignore_errors=True)
    for pattern, lines in NEEDED_BEFORE.items():
        for needed in lines if re.search(pattern, " ".join(line.words)) else ():
            assert app.run(list(needed)) == 0
    try:
        assert app.run(list(line.words)) == 0
    except MissingBackend as error:
        pytest.skip(str(error))
    if line.words[:2] != ("rejects", "run"):  # the demo has none
        assert capsys.readouterr().out.strip()
    if out is not None and line.words[0] != "plan":
        assert (workspace / out).is_file() or any((workspace / out).iterdir())
