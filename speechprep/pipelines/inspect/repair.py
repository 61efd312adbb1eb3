"""Repair of folders with damage found by `verify`: the damaged files are removed, and the same stages make them again.

The stage, options, seed, inputs and sources of a folder are in its manifest. If the manifest is damaged, they are taken
from `run.json` of the run folder. Files of the user are never removed.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any

from speechprep.artifacts import manifest, shards, storage
from speechprep.artifacts.manifest import Manifest
from speechprep.artifacts.run import Dataset, rejects_folder, run_record
from speechprep.errors import ConfigError, SpeechprepError, StaleArtifact, TooManyRejects
from speechprep.options import checked
from speechprep.pipelines.engine.plan import Step
from speechprep.pipelines.engine.progress import Listener
from speechprep.pipelines.engine.recipe import Recipe, build
from speechprep.pipelines.engine.recovery.folder import is_output
from speechprep.pipelines.engine.recovery.hashes import sha256_of
from speechprep.pipelines.engine.recovery.lock import DriverLock
from speechprep.pipelines.engine.retry import MAX_REJECT_FRACTION
from speechprep.pipelines.engine.run import Options, run_steps
from speechprep.pipelines.engine.task import STATE
from speechprep.pipelines.inspect.folders import CheckedFolder, Neighbours, stage_of
from speechprep.pipelines.inspect.verify import CHUNK, Problem, verify


@dataclass
class Repair:
    """Result of a repair.

    Attributes:
        folders: folders with a problem.
        removed: URIs of the removed files.
        problems: problems that remain, from `verify` after the repair.
    """

    folders: list[str] = field(default_factory=list)
    removed: list[str] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)


def repair(place: str, options: Options, listener: Listener | None = None) -> Repair:
    """Repair a run folder, or one dataset or artifact folder in it.

    Args:
        place: the folder.
        options: workers and runner.
        listener: receives the progress.

    Raises:
        FolderInUse: another run works in a folder.
        StaleArtifact: the folder holds nothing of speechprep, or the options of a damaged folder are unknown.
        SpeechprepError: a stage failed.
    """
    place = place.rstrip("/") or "/"
    single = any(map(storage.exists, manifest.places(place))) or storage.is_dir(storage.join(place, STATE))
    run_folder = storage.parent(place) if single else place
    result = Repair()
    # A repaired folder can be the input of the next one, so its readers are checked again.
    for _ in range(1 + len(storage.folders(run_folder))):
        result.problems = verify(place).problems
        broken = sorted({p.folder for p in result.problems if p.folder != place or single} - set(result.folders))
        if not broken:
            break
        steps = _steps(run_folder, broken)
        limits = {folder: _reject_limit(run_folder, folder) for folder in broken}
        for folder in broken:
            result.removed += _remove_damage(folder, steps[folder])
        for step in _in_order(list(steps.values())):
            with suppress(TooManyRejects):  # the first run has ended with this error already
                limit = limits[step.folder]
                run_steps([step], replace(options, rebuild=True, max_reject_fraction=limit), listener)
        result.folders += broken
    return result


def _steps(run_folder: str, broken: list[str]) -> dict[str, Step]:
    """The steps of folders, before anything is removed.

    Raises:
        StaleArtifact: neither the manifest of a folder nor `run.json` has its stage and options.
    """
    from_recipe = _recipe_steps(run_folder)
    around = _neighbours(run_folder)
    steps = {}
    for folder in broken:
        name = folder.rpartition("/")[2]
        step = from_recipe.get(name)
        dataset = around.datasets.get(name)
        if dataset is not None and _is_trusted(dataset.manifest, around):
            step = _manifest_step(dataset, around) or step
        if step is None:
            raise StaleArtifact(
                f"{folder}: its manifest is damaged, and {storage.join(run_folder, 'run.json')} does not have its "
                "options; run its stage again with the same options and --rebuild"
            )
        steps[folder] = step
    return steps


def _reject_limit(run_folder: str, folder: str) -> float:
    """The limit of rejects of the first run: it is in the retry commands of the rejects, and in `run.json`."""
    rejects = rejects_folder(folder)
    for name in shards.shard_names(list(storage.sizes(rejects))):
        with suppress(SpeechprepError):
            for batch in shards.read_batches(storage.join(rejects, name), ["retry"]):
                stated = re.search(r" --max-reject-fraction (\S+)$", batch.column("retry")[0].as_py() or "")
                return float(stated[1]) if stated else MAX_REJECT_FRACTION
    limit = run_record(run_folder).get("max_reject_fraction", MAX_REJECT_FRACTION)
    return float(limit) if isinstance(limit, int | float) else MAX_REJECT_FRACTION


def _neighbours(run_folder: str) -> Neighbours:
    """The folders of a run with a manifest that has the form of one, also an edited one."""
    around = Neighbours(run_folder, {})
    for name in storage.folders(run_folder):
        uri = storage.join(run_folder, name)
        try:
            stored = manifest.find(uri, check_digest=False)
        except SpeechprepError:
            continue
        if stored is not None:
            around.datasets[name] = Dataset(stored.kind, uri, stored)
    return around


def _is_trusted(stored: Manifest, around: Neighbours) -> bool:
    """True if the stage and the options of a manifest are those of the folder: intact, or confirmed elsewhere."""
    if manifest.digest(stored.made_of) != stored.fingerprint:
        return False
    others = {fingerprint for d in around.datasets.values() for fingerprint in d.manifest.made_of["inputs"].values()}
    entries = run_record(around.place).get("stages", [])
    others |= {entry.get("fingerprint") for entry in entries if isinstance(entry, dict)}
    return stored.fingerprint in others or not manifest.digest_problem(_uri(stored, around))


def _uri(stored: Manifest, around: Neighbours) -> str:
    return next(d.uri for d in around.datasets.values() if d.manifest is stored)


def _manifest_step(dataset: Dataset, around: Neighbours) -> Step | None:
    """The step that makes a folder again; None if its stage or an input is absent."""
    stored = dataset.manifest
    stage = stage_of(stored)
    if stage is None:
        return None
    inputs: dict[str, str] = {}
    by_kind = {d.kind: d.uri for d in around.datasets.values()}
    for read in stage.reads:
        if read.role in stored.made_of["inputs"]:
            source = around.input(stored, read.role)
            uri = source.uri if source is not None else by_kind.get(read.kind)
            if uri is None:
                return None
            inputs[read.role] = uri
    try:
        config = stage.configure(stored.made_of["config"])
    except ConfigError:
        return None
    sources: list[str] = list(stored.made_of.get("sources", []))
    return Step(stage.name, stage, config, stored.made_of["seed"], inputs, dataset.uri, sources)


def _recipe_steps(run_folder: str) -> dict[str, Step]:
    """Name of the folder -> step of the recipe in `run.json`; empty without one."""
    record: dict[str, Any] = run_record(run_folder)
    try:
        recipe: Recipe = checked(Recipe, record["steps"], "run.json")
        steps = build(recipe, list(record["sources"]), run_folder)
    except (SpeechprepError, LookupError, TypeError):
        return {}
    return {step.folder.rpartition("/")[2]: step for step in steps}


def _remove_damage(folder: str, step: Step) -> list[str]:
    """Remove the damaged files of a folder; its manifest too if it is not consistent with itself and its inputs.

    Raises:
        FolderInUse: see `repair`; a folder in use is not changed.
    """
    lock = DriverLock(folder).acquire()
    try:
        removed = [uri for uri in _damaged_files(folder, step) if storage.exists(uri)]
        if not removed or manifest.digest_problem(folder):
            # The values of the manifest are wrong, or its files disagree with the inputs: all shards are made again.
            storage.write_bytes(storage.join(folder, STATE, "repair"), b"")  # the folder stays one of speechprep
            storage.flush_folders(folder)
            removed += [uri for uri in manifest.places(folder) if storage.exists(uri)]
        for uri in removed:
            storage.remove(uri)
    finally:
        lock.release()
    return removed


def _damaged_files(folder: str, step: Step) -> Iterator[str]:
    """Files with another content than in the manifest, and output files of no manifest."""
    try:
        stored = manifest.read(folder)
    except SpeechprepError:
        return
    checked_folder = CheckedFolder(Dataset(stored.kind, folder, stored), Neighbours("", {}), step.stage)
    rejects = rejects_folder(folder)
    expected = {storage.join(folder, shard.name): shard.sha256 for shard in stored.shards}
    for shard in stored.shards:
        if shard.rejects:
            expected[storage.join(rejects, checked_folder.rejects_name(shard))] = shard.rejects
    for uri, sha256 in expected.items():
        if storage.size(uri) is not None and _sha256(uri) != sha256:
            yield uri
    for place in (folder, rejects):
        for name in storage.sizes(place):
            uri = storage.join(place, name)
            if is_output(name) and uri not in expected:
                yield uri


def _sha256(uri: str) -> str:
    if storage.is_local(uri):
        return sha256_of(storage.local_path(uri))
    digest = hashlib.sha256()
    with storage.open(uri) as file:
        while block := file.read(CHUNK):
            digest.update(block)
    return digest.hexdigest()


def _in_order(steps: list[Step]) -> list[Step]:
    """Each step after the steps that write its inputs."""
    ordered: list[Step] = []
    waiting = {step.folder: step for step in steps}

    def add(step: Step) -> None:
        if waiting.pop(step.folder, None) is not None:
            for source in step.inputs.values():
                if source in waiting:
                    add(waiting[source])
            ordered.append(step)

    for step in steps:
        add(step)
    return ordered
