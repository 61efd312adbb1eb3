"""Every `speechprep` command line of README, docs, CONTRIBUTING.md, examples and the help pages."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import typer.main  # noqa: F401 - the parser must be there before the program is built

from speechprep.cli import app

ROOT = Path(__file__).resolve().parents[2]
PROGRAM = re.compile(r"^(?:\$ )?(?:torchrun (?:--\S+ \S+ )*-m )?speechprep(?= +[a-z])")
ASIDE = re.compile(r"\s{3,}(?!#|-).*$")  # help pages explain an example to the right of it


@dataclass(frozen=True)
class CommandLine:
    """A command line of a text.

    Attributes:
        place: file or help page.
        words: arguments after `speechprep`, up to a pipe or a redirection.
    """

    place: str
    words: tuple[str, ...]

    def __str__(self) -> str:
        return shlex.join(["speechprep", *self.words])


def in_pages() -> Iterator[CommandLine]:
    """Command lines of the code blocks of all pages, continuation lines joined."""
    pages = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "examples").rglob("*.md")]
    for page in sorted(pages):
        for block in re.findall(r"^ *```[^\n]*\n(.*?)^ *```", page.read_text(), re.DOTALL | re.MULTILINE):
            for line in re.sub(r"\\\n\s*", "", block).splitlines():
                if PROGRAM.match(line.strip()):
                    yield _read(page.relative_to(ROOT).as_posix(), line.strip())


def in_help() -> Iterator[CommandLine]:
    """Command lines under "Examples:" of every help page."""
    for name, command in commands().items():
        for line in (command.epilog or "").splitlines():
            if PROGRAM.match(line.strip()):
                yield _read(f"speechprep {name} --help".replace("  ", " "), ASIDE.sub("", line.strip()))


def commands() -> dict[str, Any]:
    """Name -> command of the real program; the program itself has the name ""."""
    program = app.build()
    by_name = {"": program}
    for name in program.list_commands(None):
        command = program.get_command(None, name)
        by_name[name] = command
        for inner, child in getattr(command, "commands", {}).items():
            by_name[f"{name} {inner}"] = child
    return by_name


def _read(place: str, line: str) -> CommandLine:
    words = shlex.split(PROGRAM.sub("", line), comments=True)
    shell = [at for at, word in enumerate(words) if word in ("|", ">")]
    return CommandLine(place, tuple(words[: shell[0] if shell else None]))
