"""The surface of the command line is a contract: every option of every command, in one file.

A change shows here first. After a wanted one: SPEECHPREP_UPDATE_SURFACE=1 pytest tests/cli/test_cli_surface.py
"""

from __future__ import annotations

import os
from functools import cache
from pathlib import Path

import pytest
import typer.main  # noqa: F401 - the parser must be there before the program is built

from speechprep.cli import app

GOLDEN = Path(__file__).with_name("surface.txt")
SHARED_NAMES = {"--input", "--out", "--set", "--seed", "--json"}


@cache
def commands() -> dict:
    program = app.build()
    found = {"": program}
    for name in program.list_commands(None):
        command = program.get_command(None, name)
        found[name] = command
        for inner, child in getattr(command, "commands", {}).items():
            found[f"{name} {inner}"] = child
    return found


def describe(parameter) -> str:
    names = "/".join(parameter.opts)
    parts = [names]
    if parameter.param_type_name == "argument":
        parts[0] = f"<{parameter.metavar or parameter.name}>"
    if parameter.required:
        parts.append("required")
    if getattr(parameter, "multiple", False) or parameter.nargs == -1:
        parts.append("repeatable")
    default = parameter.default
    if isinstance(default, str | int | float) and not isinstance(default, bool):
        parts.append(f"default={default}")
    return " ".join(parts)


def surface() -> str:
    lines = []
    for name, command in commands().items():
        lines.append(f"speechprep {name}".rstrip())
        lines += [f"    {line}" for line in sorted(describe(p) for p in command.params)]
    return "\n".join(lines) + "\n"


def test_no_option_appears_changes_or_goes_unnoticed():
    found = surface()
    if os.environ.get("SPEECHPREP_UPDATE_SURFACE"):
        GOLDEN.write_text(found)
    assert found == GOLDEN.read_text(), "see the text of this file for how to accept a wanted change"


@pytest.mark.parametrize("name", ["run", "demo", "ingest", "align", "cluster", "units", "subword", "interleave"])
def test_commands_that_do_work_share_the_names_of_their_options(name):
    options = {opt for p in commands()[name].params for opt in p.opts}
    wanted = SHARED_NAMES | {"--recipe", "--workers", "--rebuild", "--max-reject-fraction", "--quiet"}
    assert wanted <= options


def test_the_table_of_commands_and_the_commands_agree():
    for name, command in commands().items():
        if name and " " not in name:
            assert command.name == name
            assert command.help, f"{name} has no help"


def test_every_command_shows_an_example():
    for name, command in commands().items():
        if name != "backends":
            assert f"  speechprep {name}".rstrip() in (command.epilog or ""), f"{name} has no example"
