"""Declarations of scorers: a `Benchmark` record with the command, the options and the input of each scorer.

A scorer is one file with a `Benchmark` and one line in `registry.py`; another package adds one through the entry-point
group `speechprep.scorers`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from pydantic import Field

from speechprep import registry
from speechprep.models.evaluation.files import Table
from speechprep.models.evaluation.score import Score
from speechprep.options import Options

Reading = Callable[[Table, str], Any]


def texts(table: Table, column: str) -> dict[str, str]:
    """One text for each id."""
    return table.texts(column)


def lists(table: Table, column: str) -> dict[str, list[str]]:
    """Several texts for each id."""
    return table.lists(column)


class NoOptions(Options):
    """Options of a scorer without options."""


class NormaliseOptions(Options):
    """Options of the scorers of transcripts."""

    normalise: str = Field(
        "librispeech",
        description="Normalisation of both sides: none, librispeech (folded case), unicode (also without "
        "punctuation, for every script), whisper (Whisper's EnglishTextNormalizer) or whisper-basic (its "
        "BasicTextNormalizer for other languages).",
    )
    spellings: str | None = Field(
        None,
        description="Spelling table for whisper without the package openai-whisper: normalizer.json of a Whisper model "
        "folder.",
        json_schema_extra={"metavar": "FILE"},
    )


@dataclass(frozen=True)
class Benchmark:
    """Declaration of a scorer, for `speechprep eval` and Python.

    Attributes:
        name: name of the command.
        help: help text of the command.
        score: (references, hypotheses, *, bootstrap, ...options) -> Score.
        options: class of its options.
        column: default column of references and hypotheses.
        references: (table, column) -> references.
        by_speaker: True if the interval can be over speakers.
        examples: further arguments of example commands.
    """

    name: str
    help: str
    score: Callable[..., Score]
    options: type[Options] = NoOptions
    column: str = "text"
    references: Reading = texts
    by_speaker: bool = True
    examples: tuple[str, ...] = ()


def benchmarks() -> dict[str, Benchmark]:
    """All benchmarks by name; benchmarks of other packages come last."""

    return {name: registry.resolve("scorers", name) for name in registry.names("scorers")}


def scorer(name: str) -> Callable[..., Score]:
    """The function of a benchmark: (references, hypotheses, *, bootstrap, ...) -> Score.

    Raises:
        ConfigError: unknown name; the message lists the benchmarks.
    """
    benchmark: Benchmark = registry.resolve("scorers", name)
    return benchmark.score
