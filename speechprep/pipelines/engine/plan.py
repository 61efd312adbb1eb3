"""From a step to its tasks: fingerprints, keys, and committed work."""

from __future__ import annotations

import json
import tempfile
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from speechprep.artifacts import manifest, storage
from speechprep.artifacts.manifest import Manifest, Shard, differences, digest
from speechprep.artifacts.schemas import SCHEMA_VERSION
from speechprep.artifacts.shards import shard_name, shard_names
from speechprep.errors import ConfigError, StaleArtifact
from speechprep.pipelines.engine.command import stage_command
from speechprep.pipelines.engine.execute import REJECT_FOLDER, STATE, WORK, FolderSizes, Task, intact, read_record
from speechprep.pipelines.engine.stage import Stage, StageConfig

PLAN = "plan.json"  # in STATE: body of the fingerprint of an unfinished folder


@dataclass(frozen=True)
class Step:
    """A stage with its options, its inputs (role -> folder) and its folder. `sources`: files for `ingest`."""

    name: str
    stage: Stage
    config: StageConfig
    seed: int
    inputs: dict[str, str]
    folder: str
    sources: list[str] = field(default_factory=list)


@dataclass
class Prepared:
    """A step with complete inputs, compared with its folder.

    Attributes:
        made_of: the body of the fingerprint.
        work: local folder for temporary files.
        tasks: all of them; `committed`: task number -> committed shards.
        finished: the manifest, where the folder is complete and nothing has changed.
    """

    step: Step
    made_of: dict[str, Any]
    inputs: dict[str, Manifest]
    work: str
    tasks: list[Task]
    committed: dict[int, list[Shard]]
    finished: Manifest | None

    @property
    def fingerprint(self) -> str:
        """Fingerprint of the folder."""
        return digest(self.made_of)

    @property
    def todo(self) -> list[Task]:
        """Tasks without a commit."""
        return [task for task in self.tasks if task.shard not in self.committed]


def prepare(step: Step, *, work: str, rebuild: bool = False, shares_disk: bool = True) -> Prepared:
    """Compare a step with its folder. Only `rebuild` changes anything: it empties a folder of another fingerprint.

    Args:
        step: the step.
        work: local folder for temporary files.
        rebuild: see above.
        shares_disk: the workers see this machine's disk.

    Raises:
        StaleArtifact: an incomplete input, one of another kind, inputs of different runs, or a folder of another
            fingerprint (naming the differences).
        ConfigError: the folder holds files of another tool.
    """
    inputs = {role: manifest.read(folder) for role, folder in step.inputs.items()}
    _check_kinds(step, inputs)
    made_of = _made_of(step, inputs)
    _check_folder(step, made_of, rebuild=rebuild)
    work = storage.absolute(work)

    def planned(scratch: str) -> Prepared:
        tasks = _tasks(step, made_of, inputs, scratch, shares_disk=shares_disk)
        return _against_folder(Prepared(step, made_of, inputs, work, tasks, {}, None))

    if step.stage.plan is not None and manifest.find(step.folder) is not None:
        # A finished folder may lie on a read-only disk: its plan is compared elsewhere, and nothing is written.
        with tempfile.TemporaryDirectory(prefix="speechprep-") as elsewhere:
            prepared = planned(elsewhere)
        if prepared.finished is not None:
            return prepared
    return planned(work)


def _check_kinds(step: Step, inputs: dict[str, Manifest]) -> None:
    for read in step.stage.reads:
        if read.role in inputs and inputs[read.role].kind != read.kind:
            raise StaleArtifact(
                f"{step.name}: {step.inputs[read.role]} holds {inputs[read.role].kind!r}, {read.kind!r} is needed"
            )


def _made_of(step: Step, inputs: dict[str, Manifest]) -> dict[str, Any]:
    backend, version = None, step.stage.version
    if step.stage.backend is not None:
        made = step.stage.backend(step.config, {role: found.extra for role, found in inputs.items()})
        backend = made.identity() if made is not None else None
        version = step.stage.version_of(made) if step.stage.version_of is not None else version
    return {
        "stage": step.stage.name,
        "version": version,
        "schema": SCHEMA_VERSION,
        "config": step.config.stored(),
        "seed": step.seed,
        "backend": backend,
        "inputs": {role: found.fingerprint for role, found in inputs.items()},
        "sources": [storage.absolute(source) for source in step.sources] if step.stage.plan else [],
    }


def _check_folder(step: Step, made_of: dict[str, Any], *, rebuild: bool) -> None:
    state = storage.join(step.folder, STATE, PLAN)
    known = manifest.find(step.folder)
    old = known.made_of if known else json.loads(storage.read_bytes(state)) if storage.exists(state) else None
    if old is None:
        if storage.sizes(step.folder) or set(storage.folders(step.folder)) - {STATE, WORK, REJECT_FOLDER}:
            raise ConfigError(
                f"{step.folder} holds files that speechprep did not make: it has no {manifest.NAME}; choose another "
                "--out, or delete the folder if an earlier run made it"
            )
    elif digest(old) != digest(made_of):
        if not rebuild:
            changed = "; ".join(differences(old, made_of)[:4])
            raise StaleArtifact(
                f"{step.folder} was made otherwise ({changed}); --rebuild replaces it, or choose another --out"
            )
        _remove_ours(step.folder, known)


def _remove_ours(folder: str, known: Manifest | None) -> None:
    """Remove the files of this tool from a folder; other files stay."""
    ours = [s.name for s in known.shards] if known else shard_names(list(storage.sizes(folder)))
    for name in [manifest.NAME, *ours, REJECT_FOLDER, STATE, WORK]:
        storage.remove(storage.join(folder, name))


def _tasks(
    step: Step, made_of: dict[str, Any], inputs: dict[str, Manifest], work: str, *, shares_disk: bool
) -> list[Task]:
    fingerprint = digest(made_of)
    base = Task(
        stage=step.stage.name,
        config=step.config.stored(),
        seed=step.seed,
        shard=0,
        shards=1,
        key="",
        folder=storage.absolute(step.folder),
        inputs={},
        work=work if shares_disk else None,
        retry=stage_command(step.stage.name, step.config, step.seed, step.inputs.values() or step.sources, step.folder),
    )
    if step.stage.plan is not None:
        return _planned(step, base, fingerprint, Path(work))
    shards = _aligned_shards(step, inputs)
    tasks = []
    for i in range(len(shards) or 1):
        files: dict[str, tuple[str, str | None]] = {}
        contents = {}
        for read in step.stage.reads:
            if read.role not in inputs:
                continue
            folder = storage.absolute(step.inputs[read.role])
            shard = inputs[read.role].shards[i] if read.sharded else None
            files[read.role] = (folder, shard.name if shard else None)
            contents[read.role] = shard.sha256 if shard else inputs[read.role].content
        tasks.append(
            replace(
                base,
                shard=i,
                shards=len(shards) or 1,
                key=digest([fingerprint, contents]),
                inputs=files,
                seconds=shards[i] if shards else 0.0,
            )
        )
    return tasks


def _planned(step: Step, base: Task, fingerprint: str, scratch: Path) -> list[Task]:
    """Tasks of a stage with its own plan of the sources; its rejects are committed with the first shard."""
    scratch.mkdir(parents=True, exist_ok=True)
    assert step.stage.plan is not None  # noqa: S101 - the caller looked
    planned = step.stage.plan(step.config, [storage.absolute(s) for s in step.sources], scratch)
    rejects = [
        {"id": id, "stage": step.stage.name, "code": e.code, "message": str(e), "audio": audio, "retry": base.retry}
        for id, e, audio in planned.rejects
    ]
    return [
        replace(
            base,
            shard=i,
            shards=len(planned.payloads),
            key=digest([fingerprint, key, rejects if i == 0 else []]),
            payload=str(payload),
            rejects=rejects if i == 0 else [],
        )
        for i, (payload, key) in enumerate(zip(planned.payloads, planned.keys, strict=True))
    ]


def _aligned_shards(step: Step, inputs: dict[str, Manifest]) -> list[float]:
    """Cost in seconds of each shard of the sharded inputs. All of them must have the same shards."""
    cuts = {
        read.role: [s.name for s in inputs[read.role].shards]
        for read in step.stage.reads
        if read.sharded and read.role in inputs
    }
    if not cuts:
        return []
    (first, names), *others = cuts.items()
    for role, other in others:
        if other != names:
            raise StaleArtifact(
                f"{step.name}: {step.inputs[first]} has {len(names)} shards, {step.inputs[role]} {len(other)}; "
                "they must come from the same ingest"
            )
    found = inputs[first].shards
    return [s.seconds or float(s.rows) for s in found]


def _against_folder(prepared: Prepared) -> Prepared:
    step = prepared.step
    known = manifest.find(step.folder)
    size_of = FolderSizes(step.folder)
    by_key: dict[tuple[str, str], list[Shard]] = {}
    for shard in known.shards if known else []:
        by_key.setdefault((shard.key, shard.name if step.stage.sharded else ""), []).append(shard)
    for task in prepared.tasks:
        # Shards of equal content have equal keys: a key alone does not identify the task of a shard.
        found = by_key.get((task.key, shard_name(task.shard, task.shards) if step.stage.sharded else ""))
        found = found if found and intact(task, found, size_of) else read_record(task, size_of)
        if found:
            prepared.committed[task.shard] = found
    if known and not prepared.todo and len(known.shards) == sum(map(len, prepared.committed.values())):
        prepared.finished = known
    return prepared


def stale_files(prepared: Prepared, shards: list[Shard]) -> list[str]:
    """Files of an earlier state of the folder, absent from its manifest: shards, rejects, temporary files."""
    folder = prepared.step.folder
    names = {s.name for s in shards}
    with_rejects = {
        task.rejects_name for task in prepared.tasks if any(s.rejects for s in prepared.committed.get(task.shard, []))
    }
    found = [f for f in shard_names(list(storage.sizes(folder))) if f not in names]
    found += [f for f in storage.sizes(folder) if storage.TEMPORARY in f]
    rejects = [f"{REJECT_FOLDER}/{f}" for f in storage.sizes(storage.join(folder, REJECT_FOLDER))]
    return found + [f for f in rejects if f not in with_rejects]
