"""Folders under verification: the folder with its stage and its tasks, and the complete folders beside it."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from speechprep.artifacts import storage
from speechprep.artifacts.manifest import Manifest, Shard, short
from speechprep.artifacts.run import Dataset, rejects_folder
from speechprep.errors import SpeechprepError
from speechprep.pipelines.engine.stage import Stage, find_stage

REPAIR = "run speechprep repair on the run folder"
RESTORE = f"restore the manifest, or {REPAIR}"


@dataclass(frozen=True)
class Neighbours:
    """The complete folders of a run: the inputs of a folder are among them.

    Attributes:
        place: URI of the run folder.
        datasets: name -> folder.
        unreadable: name -> error, for folders with an unreadable manifest.
        damaged: URIs of folders with a problem; nothing is recomputed from them.
    """

    place: str
    datasets: dict[str, Dataset]
    unreadable: dict[str, str] = field(default_factory=dict)
    damaged: set[str] = field(default_factory=set)

    def input(self, manifest: Manifest, role: str) -> Dataset | None:
        """The input folder for a role, by its fingerprint; None if it is not beside the folder."""
        fingerprint = manifest.made_of.get("inputs", {}).get(role)
        matches = (d for d in self.datasets.values() if d.manifest.fingerprint == fingerprint)
        return next(matches, None) if fingerprint is not None else None


@dataclass(frozen=True)
class CheckedFolder:
    """One folder under verification.

    Attributes:
        dataset: the folder.
        around: the folders beside it.
        stage: the stage in its manifest; None if its package is absent.
    """

    dataset: Dataset
    around: Neighbours
    stage: Stage | None

    @property
    def manifest(self) -> Manifest:
        """The manifest of the folder."""
        return self.dataset.manifest

    @property
    def config(self) -> dict[str, Any]:
        """The options of the stage, as stored."""
        config: dict[str, Any] = self.manifest.made_of.get("config", {})
        return config

    @property
    def is_artifact(self) -> bool:
        """True for a folder of model files. Its manifest counts no rows."""
        return len(self.dataset.shards) != len(self.manifest.shards)

    @cached_property
    def reject_files(self) -> list[str]:
        """Names of the files of rejects, Parquet or not."""
        return sorted(storage.sizes(rejects_folder(self.dataset.uri)))

    @property
    def rejects(self) -> str:
        """Name of the folder of rejects."""
        return rejects_folder(self.dataset.uri).rsplit("/", 1)[-1]

    def rejects_name(self, shard: Shard) -> str:
        """Name of the file of rejects of a task: that of its shard, unless the task wrote several shards."""
        files = self.reject_files
        if len(files) == 1 and (self.is_artifact or files[0] not in self.dataset.shard_set):
            return files[0]
        return shard.name

    def input(self, role: str) -> Dataset | None:
        """The input folder for a role; None if it is damaged, or not beside this folder."""
        dataset = self.around.input(self.manifest, role)
        return dataset if dataset is not None and dataset.uri not in self.around.damaged else None

    def absent(self, *roles: str) -> bool:
        """True if the folder has an input for one of the roles, and the input cannot be read."""
        recorded = self.manifest.made_of.get("inputs", {})
        return any(role in recorded and self.input(role) is None for role in roles)

    def tasks(self) -> Iterator[list[Shard]]:
        """Shards by task: the first shard of a task has its counters, licences and rejects."""
        shards = self.manifest.shards
        if self.stage is not None and self.stage.sharded:
            yield from ([shard] for shard in shards)
        elif shards:
            yield shards


def stage_of(manifest: Manifest) -> Stage | None:
    """The stage in a manifest; None if its package is absent. A manifest does not cause the import of a module."""
    name = manifest.made_of.get("stage", "")
    if ":" in name and name.partition(":")[0] not in sys.modules:
        return None
    try:
        stage = find_stage(name)
    except (SpeechprepError, ImportError, AttributeError):
        return None
    return stage if isinstance(stage, Stage) else None


def disagreement(place: str, stored: Any, recomputed: Any) -> str:
    """One line for a value of the manifest that differs from its recomputation."""
    value = "no value" if recomputed is None else short(recomputed)
    return f"{place} is {short(stored)} in the manifest, recomputed {value}; {RESTORE}"
