"""Planning of a step: its fingerprint, its tasks with their keys, and the committed tasks."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from speechprep.artifacts import manifest, storage
from speechprep.artifacts.manifest import Manifest, Shard, digest
from speechprep.artifacts.schemas import SCHEMA_VERSION
from speechprep.artifacts.shards import shard_name
from speechprep.errors import StaleArtifact
from speechprep.pipelines.engine.recovery.folder import check_folder
from speechprep.pipelines.engine.recovery.hashes import damaged_commits
from speechprep.pipelines.engine.recovery.time_limit import TIME_LIMIT
from speechprep.pipelines.engine.retry import MAX_REJECT_FRACTION, retry_command, with_reject_limit
from speechprep.pipelines.engine.stage import Stage, StageConfig
from speechprep.pipelines.engine.task import FolderSizes, Task, commit_of, intact, read_record


@dataclass(frozen=True)
class Step:
    """A stage with its options, inputs and output folder.

    Attributes:
        name: name of the step in its recipe.
        stage: the stage.
        config: options of the stage.
        seed: seed of the run.
        inputs: role -> folder.
        folder: output folder.
        sources: files and folders to read, for a stage with its own plan (`ingest`, `images`).
    """

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
        step: the step.
        made_of: body of the fingerprint, as in the manifest.
        inputs: role -> manifest.
        work: local folder for temporary files.
        tasks: all tasks.
        committed: task number -> committed shards.
        finished: the manifest if the folder is complete and up to date, else None.
        facts: entries of the manifest about the sources, from the plan of the stage.
    """

    step: Step
    made_of: dict[str, Any]
    inputs: dict[str, Manifest]
    work: str
    tasks: list[Task]
    committed: dict[int, list[Shard]]
    finished: Manifest | None
    facts: dict[str, Any] = field(default_factory=dict)

    @property
    def fingerprint(self) -> str:
        """Fingerprint of the folder."""
        return digest(self.made_of)

    @property
    def todo(self) -> list[Task]:
        """Tasks without a commit."""
        return [task for task in self.tasks if task.shard not in self.committed]


def prepare(
    step: Step,
    *,
    work: str,
    rebuild: bool = False,
    shares_disk: bool = True,
    max_reject_fraction: float = MAX_REJECT_FRACTION,
    time_limit: float = TIME_LIMIT,
    check_hashes: bool = False,
) -> Prepared:
    """Compare a step with its folder. The folder is changed by `rebuild` only.

    Args:
        step: the step.
        work: local folder for temporary files.
        rebuild: delete the output files of another fingerprint.
        shares_disk: True if the workers use this machine's disk.
        max_reject_fraction: limit of the run, for the retry commands.
        time_limit: time limit in seconds for the reading of one input, besides its duration.
        check_hashes: in an unfinished folder, count a commit only if its files have their recorded sha256.

    Raises:
        StaleArtifact: an incomplete input, one of another kind, inputs of different runs, or a folder of another
            fingerprint (naming the differences).
        ConfigError: the folder holds files of another tool.
    """
    inputs = {role: manifest.read(folder) for role, folder in step.inputs.items()}
    _check_kinds(step, inputs)
    made_of = _made_of(step, inputs)
    check_folder(step.folder, made_of, rebuild=rebuild)
    work = storage.absolute(work)

    base = replace(_base_task(step, work if shares_disk else None), time_limit=time_limit)
    facts: dict[str, Any] = {}
    if step.stage.plan is not None:
        tasks, facts = _planned_tasks(step, base, digest(made_of), Path(work), max_reject_fraction)
    else:
        base = replace(base, retry=with_reject_limit(base.retry, max_reject_fraction))
        tasks = _tasks(step, base, digest(made_of), inputs)
    prepared = Prepared(step, made_of, inputs, work, tasks, {}, None, facts)
    return _compare_with_folder(prepared, check_hashes=check_hashes)


def _check_kinds(step: Step, inputs: dict[str, Manifest]) -> None:
    for read in step.stage.reads:
        if read.role in inputs and inputs[read.role].kind != read.kind:
            raise StaleArtifact(
                f"{step.name}: {step.inputs[read.role]} is of kind {inputs[read.role].kind!r}; choose a folder of kind "
                f"{read.kind!r}"
            )


def _made_of(step: Step, inputs: dict[str, Manifest]) -> dict[str, Any]:
    backend, version = None, step.stage.version
    if step.stage.backend is not None:
        unloaded = step.stage.backend(step.config, {role: source.extra for role, source in inputs.items()})
        backend = unloaded.identity() if unloaded is not None else None
        version = step.stage.version_of(unloaded) if step.stage.version_of is not None else version
    return {
        "stage": step.stage.name,
        "version": version,
        "schema": SCHEMA_VERSION,
        "config": step.config.stored(),
        "seed": step.seed,
        "backend": backend,
        "inputs": {role: source.fingerprint for role, source in inputs.items()},
        "sources": sorted(map(storage.absolute, step.sources)) if step.stage.plan else [],
    }


def _base_task(step: Step, work: str | None) -> Task:
    """The fields shared by all tasks of a step."""
    inputs = step.inputs.values() or sorted(step.sources, key=storage.absolute)
    return Task(
        stage=step.stage.name,
        config=step.config.stored(),
        seed=step.seed,
        shard=0,
        shards=1,
        key="",
        folder=storage.absolute(step.folder),
        inputs={},
        work=work,
        retry=retry_command(step.stage.name, step.config, step.seed, inputs, step.folder),
    )


def _tasks(step: Step, base: Task, fingerprint: str, inputs: dict[str, Manifest]) -> list[Task]:
    """One task for each shard of the sharded inputs, or one task for a stage that reads whole folders."""
    shards = _aligned_shards(step, inputs)
    whole = max((source.rows for source in inputs.values()), default=0)
    tasks = []
    for i in range(len(shards) or 1):
        files: dict[str, tuple[str, str | None]] = {}
        contents: dict[str, str] = {}
        hashes: dict[str, str] = {}
        for read in step.stage.reads:
            if read.role not in inputs:
                continue
            folder = storage.absolute(step.inputs[read.role])
            shard = inputs[read.role].shards[i] if read.sharded else None
            files[read.role] = (folder, shard.name if shard else None)
            contents[read.role] = shard.sha256 if shard else inputs[read.role].content
            hashes |= {read.role: shard.sha256} if shard else {}
        seconds, records = shards[i] if shards else (0.0, whole)
        key = manifest.shard_key(fingerprint, contents)
        task = replace(base, shard=i, shards=len(shards) or 1, key=key, inputs=files, hashes=hashes)
        tasks.append(replace(task, seconds=seconds, records=records))
    return tasks


def _planned_tasks(
    step: Step, base: Task, fingerprint: str, scratch: Path, max_reject_fraction: float
) -> tuple[list[Task], dict[str, Any]]:
    """Tasks and facts of a stage with its own plan of the sources. The first task commits the rejects of the
    planning."""
    scratch.mkdir(parents=True, exist_ok=True)
    assert step.stage.plan is not None  # noqa: S101 - checked by the caller
    planned = step.stage.plan(step.config, [storage.absolute(s) for s in step.sources], scratch)
    rejects = [
        {"id": id, "stage": step.stage.name, "code": e.code, "message": str(e), "audio": audio, "retry": base.retry}
        for id, e, audio in planned.rejects
    ]
    # The keys are computed from the rejects without the limit: another limit must not run the first task again.
    keys = [digest([fingerprint, key, rejects if i == 0 else []]) for i, key in enumerate(planned.keys)]
    retry = with_reject_limit(base.retry, max_reject_fraction)
    tasks = [
        replace(
            base,
            shard=i,
            shards=len(planned.payloads),
            key=key,
            payload=str(payload),
            retry=retry,
            rejects=[{**row, "retry": retry} for row in rejects] if i == 0 else [],
            records=planned.records[i] if planned.records else 0,
        )
        for i, (payload, key) in enumerate(zip(planned.payloads, keys, strict=True))
    ]
    return tasks, planned.facts


def _aligned_shards(step: Step, inputs: dict[str, Manifest]) -> list[tuple[float, int]]:
    """Seconds of audio and number of records of each shard of the sharded inputs.

    Raises:
        StaleArtifact: two inputs have different shards.
    """
    sharded = {read.role: inputs[read.role].shards for read in step.stage.reads if read.sharded and read.role in inputs}
    if not sharded:
        return []
    (first, shards), *others = sharded.items()
    for role, other in others:
        if [s.name for s in other] != [s.name for s in shards]:
            raise StaleArtifact(
                f"{step.name}: {step.inputs[first]} has {len(shards)} shards, {step.inputs[role]} has {len(other)}; "
                "choose inputs from the same ingest"
            )
    rows = [max(s.rows for s in aligned) for aligned in zip(*sharded.values(), strict=True)]
    return [(shard.seconds, records) for shard, records in zip(shards, rows, strict=True)]


def _compare_with_folder(prepared: Prepared, *, check_hashes: bool) -> Prepared:
    """Find the committed tasks, and the manifest if the folder is complete and up to date."""
    step = prepared.step
    complete = manifest.find_intact(step.folder)
    size_of = FolderSizes(step.folder)
    by_key: dict[tuple[str, str], list[Shard]] = {}
    for shard in complete.shards if complete else []:
        by_key.setdefault((shard.key, shard.name if step.stage.sharded else ""), []).append(shard)
    for task in prepared.tasks:
        # Shards of equal content have equal keys: a key alone does not identify the task of a shard.
        listed = by_key.get((task.key, shard_name(task.shard, task.shards) if step.stage.sharded else ""))
        committed = listed if listed and intact(task, listed, size_of) else read_record(task, size_of)
        if committed:
            prepared.committed[task.shard] = committed
    if check_hashes and complete is None:  # the run before may have ended by a power loss
        by_number = {task.shard: task for task in prepared.tasks}
        commits = [commit_of(by_number[number], committed) for number, committed in prepared.committed.items()]
        for number in damaged_commits(commits):
            del prepared.committed[number]
    if complete and not prepared.todo and len(complete.shards) == sum(map(len, prepared.committed.values())):
        # A manifest of an earlier version has no facts about the sources; it stays.
        stated = {name: complete.extra.get(name, value) for name, value in prepared.facts.items()}
        prepared.finished = complete if stated == prepared.facts else None
    return prepared
