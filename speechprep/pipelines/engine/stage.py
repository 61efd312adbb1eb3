"""Declaration of a stage: its options, its work over one shard, its inputs and its output.

A stage never sees Beam. The engine (`execute.py` beneath, `runner.py` above) gives it a `ShardContext`, commits its
output, and skips tasks with a committed key.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import pyarrow as pa

from speechprep.artifacts import manifest, shards, storage
from speechprep.errors import BadInput
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
        role: its name in the stage.
        kind: required kind of the input's manifest.
        sharded: True where output shard i reads shard i; False where the work needs the whole folder.
        optional: the stage works without it.
    """

    role: str
    kind: str
    sharded: bool = True
    optional: bool = False


@dataclass(frozen=True)
class ShardPlan:
    """How a stage without inputs (`ingest`) divides its work.

    Attributes:
        payloads: a local file for each shard, handed to the worker as `ctx.payload`.
        keys: for each shard, a digest of everything with an influence on its rows.
        rejects: records rejected by the planning, (id, error, audio).
    """

    payloads: list[Path]
    keys: list[str]
    rejects: list[tuple[str, BadInput, str | None]] = field(default_factory=list)


@dataclass(frozen=True)
class Finished:
    """The shards of a finished stage, for `facts`."""

    folder: str
    config: Any
    shards: list[manifest.Shard]
    inputs: dict[str, manifest.Manifest]

    def batches(self, columns: list[str] | None = None, rows: int = 1024) -> Iterator[pa.RecordBatch]:
        """All rows written, in shard order."""
        for shard in self.shards:
            if shard.name.endswith(".parquet"):
                yield from shards.read_batches(storage.join(self.folder, shard.name), columns, rows)


@dataclass(frozen=True)
class Stage:
    """A stage as the engine knows it.

    Attributes:
        name: also the name of its command.
        version: number in the fingerprint; raise it when the same input gives other bytes.
        reads, writes: roles and kinds; `writes` is also the default folder name.
        config: the options.
        run: the work of one shard.
        schema: of the output; a function of the context where it depends on inputs; None for an artifact folder.
        backend: makes the unloaded backend of a configuration (and of the inputs, by their manifests' `extra`).
        local: "process" for work under the GIL.
        plan: division of the inputs into shards, for a stage without input datasets.
        version_of: version for a backend, where it is not the same for all backends; None: `version`.
        facts: further entries of the manifest, computed once after the last shard.
        help: text of `speechprep NAME --help`: the first sentence is the summary in lists.
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
    facts: Callable[[Finished], dict[str, Any]] | None = None
    version_of: Callable[[Any], int] | None = None
    help: str = ""
    examples: tuple[str, ...] = ()

    @property
    def sharded(self) -> bool:
        """True where there is one piece of work for each input shard."""
        return self.plan is not None or any(read.sharded for read in self.reads)

    def configure(self, options: dict[str, Any]) -> StageConfig:
        """Validated options.

        Raises:
            ConfigError: naming each bad option, its value and the allowed values.
        """
        config: StageConfig = checked(self.config, options, self.name)
        return config


def find_stage(name: str) -> Stage:
    """The stage behind a registered name, or behind a "module:attribute".

    Raises:
        ConfigError: unknown stage; the message lists the stages.
    """
    if ":" not in name:
        stage: Stage = resolve("stages", name)
        return stage
    module, _, attribute = name.partition(":")
    unregistered: Stage = getattr(import_module(module), attribute)
    return unregistered
