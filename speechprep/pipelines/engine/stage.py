"""Declaration of a stage: options, function over one shard, inputs and output.

A stage is independent of Beam. The engine passes a `ShardContext` to its function, commits the output, and skips tasks
with a committed key.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Iterator, Mapping
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import pyarrow as pa

from speechprep.artifacts import manifest, shards, storage
from speechprep.errors import BadInput, ConfigError
from speechprep.options import Options, checked
from speechprep.registry import resolve

if TYPE_CHECKING:
    from speechprep.pipelines.backends import Backend
    from speechprep.pipelines.engine.context import ShardContext


class StageConfig(Options):
    """Base of every stage's options."""


@dataclass(frozen=True)
class Read:
    """One input of a stage.

    Attributes:
        role: name of the input in the stage.
        kind: required kind of the dataset or artifact.
        sharded: True if output shard i reads input shard i; False if each task reads the whole folder.
        optional: True if the stage also runs without it.
    """

    role: str
    kind: str
    sharded: bool = True
    optional: bool = False


@dataclass(frozen=True)
class ShardPlan:
    """Division of the sources into shards, by a stage without input datasets (`ingest`, `images`).

    Attributes:
        payloads: a local file for each shard, `ctx.payload` on the worker.
        keys: for each shard, a digest of everything with an influence on its rows.
        rejects: records rejected by the planning, (id, error, audio).
        records: number of records of each shard; empty if unknown.
        facts: entries of the manifest about the sources. A change of these alone renews the manifest only.
    """

    payloads: list[Path]
    keys: list[str]
    rejects: list[tuple[str, BadInput, str | None]] = field(default_factory=list)
    records: list[int] = field(default_factory=list)
    facts: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Finished:
    """Shards and inputs of a finished step, for `Stage.facts`."""

    folder: str
    config: Any
    shards: list[manifest.Shard]
    inputs: dict[str, manifest.Manifest]

    def batches(self, columns: list[str] | None = None, rows: int = 1024) -> Iterator[pa.RecordBatch]:
        """All rows of the output, in the order of the shards."""
        for shard in self.shards:
            if shard.name.endswith(".parquet"):
                yield from shards.read_batches(storage.join(self.folder, shard.name), columns, rows)


@dataclass(frozen=True)
class Stage:
    """Declaration of a stage.

    Attributes:
        name: name of the stage and of its command.
        version: number in the fingerprint; raise it if the same input gives other bytes.
        reads: inputs.
        choose_reads: inputs for the options as given and the kinds at hand, for a stage with a choice among `reads`.
        writes: kind of the output, also the default name of its folder.
        config: class of the options.
        run: function over one shard.
        schema: schema of the output, or a function from the context to the schema; None for an artifact folder.
        backend: function from the options and role -> `extra` of the inputs to the unloaded backend.
        local: "process" if most of the work holds the GIL, else "thread".
        plan: division of the sources into shards, for a stage without input datasets.
        version_of: version for a backend, if it is not the same for all backends; None: `version`.
        facts: further entries of the manifest, computed once after the last shard.
        note: the result in words from the entries `extra` of the manifest, printed after the step.
        warning: a problem in words from the same entries, printed before the next step begins; empty without one.
        help: text of `speechprep NAME --help`; lists of stages show the first sentence.
        examples: command lines for the help.
    """

    name: str
    version: int
    reads: tuple[Read, ...]
    writes: str
    config: type[StageConfig]
    run: Callable[[ShardContext], None]
    schema: pa.Schema | Callable[[ShardContext], pa.Schema] | None
    backend: Callable[[Any, dict[str, dict[str, Any]]], Backend | None] | None = None
    local: Literal["thread", "process"] = "thread"
    plan: Callable[[Any, list[str], Path], ShardPlan] | None = None
    choose_reads: Callable[[Mapping[str, Any], Container[str]], tuple[Read, ...]] | None = None
    facts: Callable[[Finished], dict[str, Any]] | None = None
    note: Callable[[dict[str, Any]], str] | None = None
    warning: Callable[[dict[str, Any]], str] | None = None
    version_of: Callable[[Any], int] | None = None
    help: str = ""
    examples: tuple[str, ...] = ()

    @property
    def sharded(self) -> bool:
        """True if the stage has one task for each shard of its inputs or of its plan."""
        return self.plan is not None or any(read.sharded for read in self.reads)

    def reads_for(self, options: Mapping[str, Any], kinds: Container[str]) -> tuple[Read, ...]:
        """The inputs for the options as given, if folders of these kinds are at hand."""
        return self.reads if self.choose_reads is None else self.choose_reads(options, kinds)

    def configure(self, options: dict[str, Any]) -> StageConfig:
        """Validated options.

        Raises:
            ConfigError: naming each bad option, its value and the allowed values.
        """
        config: StageConfig = checked(self.config, options, self.name)
        return config


def find_stage(name: str) -> Stage:
    """The stage of a registered name, or of "module:attribute".

    Raises:
        ConfigError: unknown stage; the message lists all stages. No such module, or an attribute of another kind.
    """
    if ":" not in name:
        stage: Stage = resolve("stages", name)
        return stage
    module, _, attribute = name.partition(":")
    try:
        unregistered = getattr(import_module(module), attribute, None)
    except (ImportError, ValueError, TypeError) as error:  # of an empty or a relative name, the last two
        raise ConfigError(f"stage {name!r}: {error}; install its package, or correct the name") from None
    if not isinstance(unregistered, Stage):
        raise ConfigError(f"stage {name!r}: {module} has no stage of this name; correct the name")
    return unregistered
