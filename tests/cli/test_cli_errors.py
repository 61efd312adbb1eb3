"""Whatever goes wrong is one line on stderr and an exit code; a traceback only by --debug."""

from __future__ import annotations

import errno
import json

import pytest

from speechprep.cli import errors, main
from speechprep.errors import ConfigError, MissingBackend, StorageError, TooManyRejects
from speechprep.pipelines.engine.failures import WorkFailed

CASES = [
    (ConfigError("k = 0"), 2, "error: k = 0"),
    (MissingBackend.package("the aligner", "whisperx", "whisperx"), 2, "pip install 'speechprep[whisperx]'"),
    (TooManyRejects("too many"), 3, "error: too many"),
    (StorageError("gone"), 4, "error: gone"),
    (OSError(errno.ENOSPC, "No space left on device", "out/x"), 4, "error: the disk is full (out/x)"),
    (PermissionError(errno.EACCES, "denied", "out/x"), 4, "error: no permission for out/x"),
    (errors.Stopped(130), 130, "stopped: committed shards stay"),
    (KeyboardInterrupt(), 130, "stopped"),
    (KeyError("x"), 1, "internal error: KeyError: 'x' (run with --debug for the traceback)"),
    (WorkFailed("stage align, shard 3: KeyError: 'x'", "Traceback ..."), 1, "internal error: WorkFailed: stage align"),
]


@pytest.mark.parametrize(
    ("error", "code", "text"), CASES, ids=lambda x: type(x).__name__ if isinstance(x, BaseException) else ""
)
def test_each_kind_of_error_has_its_line_and_its_exit_code(error, code, text, capsys):
    assert errors.print_error(error) == code
    told = capsys.readouterr()
    assert told.out == ""
    assert told.err.startswith(text) or text in told.err
    assert told.err.count("\n") == 1


def test_an_error_of_several_lines_is_folded_into_one(capsys):
    errors.print_error(ConfigError("one\n  two\n\nthree"))
    assert capsys.readouterr().err == "error: one two three\n"


def test_debug_shows_the_traceback_of_the_worker(capsys):
    errors.print_error(WorkFailed("stage align, shard 3", "Traceback of the worker\n"), debug=True)
    assert capsys.readouterr().err.startswith("Traceback of the worker\n")


def test_debug_may_stand_anywhere_before_the_double_dash():
    args = ["run", "--debug", "x"]
    assert errors.take_debug(args)
    assert args == ["run", "x"]
    behind = ["run", "--", "--debug"]
    assert not errors.take_debug(behind)
    assert behind == ["run", "--", "--debug"]


def leave(capsys, *args: str) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as left:
        main(list(args))
    told = capsys.readouterr()
    return int(left.value.code or 0), told.out, told.err


MISTAKES = {
    "no such command": (["indx"], "Did you mean 'index'?"),
    "no such option": (["run", "--inptu", "x"], "--inptu"),
    "missing option": (["align"], "--input"),
    "no such recipe": (["run", "nix", "--input", ".", "--out", "o"], "unknown recipe 'nix'"),
    "no recipe": (["run", "--input", ".", "--out", "o"], "demo, dmlm, speech"),
    "recipe given twice": (["run", "demo", "--recipe", "demo", "--input", ".", "--out", "o"], "twice"),
    "no such input": (["demo", "--input", "/nowhere/at/all", "--out", "o"], "--input /nowhere/at/all: no such file"),
    "setting without a step": (["demo", "--set", "k=3"], "STEP.OPTION=VALUE"),
    "setting of no step": (["demo", "--set", "clustre.k=3"], "ingest, align, sample, cluster"),
    "setting of no option": (["demo", "--set", "cluster.kk=3"], "cluster has no option 'kk'; it has: k, iterations"),
    "setting of a wrong value": (["demo", "--set", "cluster.k=many"], "cluster: k = 'many'"),
    "stage setting without a value": (["cluster", "-i", "x", "-o", "o", "--set", "k"], "OPTION=VALUE"),
    "stage setting of no option": (["pool", "-i", "{out}", "-o", "o", "--set", "kk=3"], "utterances"),
    "slice that is none": (["run", "demo", "--input", ".", "--out", "/tmp/o", "--slice", "8/8"], "--slice '8/8'"),
    "beam options without a runner": (["run", "demo", "-i", ".", "-o", "/tmp/o", "--", "--region=x"], "--runner"),
    "stray argument": (["run", "demo", "more", "-i", ".", "-o", "/tmp/o"], "unexpected argument 'more'"),
    "bad number": (["demo", "--workers", "0"], "--workers"),
    "nothing to verify": (["verify", "{out}"], "nothing of speechprep is here"),
    "nothing to inspect": (["inspect", "{out}"], "holds no output of speechprep"),
    "no such backend": (["backends", "check", "nix"], "there are: caption, "),
    "a name in several families": (
        ["backends", "check", "whisper", "--set", "layer=3"],
        "choose one of them with --family",
    ),
    "a name of another family": (
        ["backends", "check", "mfcc", "--family", "aligners"],
        "'mfcc' is one of the extractors",
    ),
}


@pytest.mark.parametrize(
    ("stage", "told"),
    [
        ("nix", "unknown stage 'nix'"),
        ("absent_package:STAGE", "No module named 'absent_package'"),
        ("json:loads", "json has no stage of this name"),
        ("json:absent", "json has no stage of this name"),
        (":x", "stage ':x'"),
        (".x:y", "stage '.x:y'"),
    ],
)
def test_a_stage_that_is_none_is_one_line(tmp_path, stage, told, capsys):
    (tmp_path / "odd.yaml").write_text(f"name: odd\ndescription: d\nsteps: [{{stage: '{stage}'}}]\n")
    (tmp_path / "in").mkdir()
    args = ["run", str(tmp_path / "odd.yaml"), "--input", str(tmp_path / "in"), "--out", str(tmp_path / "o")]
    code, _, err = leave(capsys, *args)
    assert code == 2
    assert told in err
    assert err.count("\n") == 1


@pytest.mark.parametrize("case", MISTAKES)
def test_a_mistake_is_told_in_one_line_that_names_it(case, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    args, text = MISTAKES[case]
    code, out, err = leave(capsys, *(a.replace("{out}", str(tmp_path)) for a in args))
    assert code == 2, err
    assert out == ""
    assert text in err
    assert err.count("\n") == 1
    assert "Traceback" not in err
    assert not list(tmp_path.iterdir()), "a mistake must leave nothing behind"


def test_an_out_folder_within_the_input_is_refused(tmp_path, capsys):
    (tmp_path / "in").mkdir()
    code, _, err = leave(capsys, "demo", "--input", str(tmp_path / "in"), "--out", str(tmp_path / "in" / "out"))
    assert code == 2
    assert "is inside --input" in err


def test_backends_list_is_json_when_asked(capsys):
    code, out, _ = leave(capsys, "backends", "list", "--json")
    assert code == 0
    assert {row["name"] for row in json.loads(out)} >= {"mfcc", "kmeans", "caption", "pocketsphinx"}


def test_an_option_given_twice_is_noted_on_stderr(tmp_path, capsys):
    from speechprep.cli import main

    with pytest.raises(SystemExit):
        main(["pool", "--input", str(tmp_path), "--out", str(tmp_path / "p"), "--set", "a=1", "--set", "a=2"])
    assert "note: --set a is set 2 times; the last value, 2, is used" in capsys.readouterr().err
