"""Recomputation of the values of a manifest: hashes, keys, sums, licences, facts, and the inputs of the folder."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from speechprep.artifacts import manifest
from speechprep.pipelines.inspect.amounts import task_problems
from speechprep.pipelines.inspect.facts import fact_problems
from speechprep.pipelines.inspect.folders import REPAIR, RESTORE, CheckedFolder, disagreement

Guard = Callable[[str, Iterator[str]], Iterator[str]]  # turns errors of reading into a problem


def manifest_problems(folder: CheckedFolder) -> Iterator[str]:
    """Disagreements within the manifest: digests, sums over the shards, the kind of the stage."""
    stored = folder.manifest
    if folder.stage is not None and stored.kind != folder.stage.writes:
        yield disagreement("kind", stored.kind, folder.stage.writes)
    fingerprint = manifest.digest(stored.made_of)
    if fingerprint != stored.fingerprint:
        yield (
            f"fingerprint is {stored.fingerprint[:12]} in the manifest, recomputed {fingerprint[:12]} from made_of: "
            f"one of them was edited; {RESTORE}"
        )
    content = manifest.digest([s.sha256 for s in stored.shards])
    if content != stored.content:
        yield (
            f"content is {stored.content[:12]} in the manifest, recomputed {content[:12]} from the shards: one of "
            f"them was edited; {RESTORE}"
        )
    sums: dict[str, float] = {}
    for shard in stored.shards:
        for name, value in shard.counters.items():
            sums[name] = sums.get(name, 0) + value
    for name in sorted(sums.keys() | stored.counters.keys()):
        if stored.counters.get(name) != sums.get(name):
            yield disagreement(f"counters.{name}", stored.counters.get(name), sums.get(name))
    yield from _licences(folder)


def _licences(folder: CheckedFolder) -> Iterator[str]:
    """The licences of a folder are those of its shards and of its inputs."""
    stored = set(folder.manifest.licences)
    licences = {licence for shard in folder.manifest.shards for licence in shard.licences}
    roles = folder.manifest.made_of.get("inputs", {})
    for role in roles:
        dataset = folder.input(role)
        licences |= set(dataset.manifest.licences) if dataset is not None else set()
    if folder.absent(*roles):
        licences |= stored  # an absent input may have further licences
    if folder.manifest.licences != sorted(licences):
        yield disagreement("licences", folder.manifest.licences, sorted(licences))


def input_problems(folder: CheckedFolder) -> Iterator[str]:
    """Inputs with another fingerprint than the folder beside it; an input in another place cannot be checked."""
    stage, around = folder.stage, folder.around
    for read in stage.reads if stage is not None else ():
        fingerprint = folder.manifest.made_of.get("inputs", {}).get(read.role)
        if stage is None or fingerprint is None or around.input(folder.manifest, read.role) is not None:
            continue
        beside = [d.manifest.fingerprint for d in around.datasets.values() if d.kind == read.kind]
        if beside:
            yield (
                f"was made from another {read.kind} ({fingerprint[:8]}) than the one beside it ({beside[0][:8]}); "
                f"{REPAIR}"
            )
        elif read.kind in around.unreadable:
            yield f"its input {read.role} cannot be read: {around.unreadable[read.kind]}"


def recomputed_problems(folder: CheckedFolder, guard: Guard) -> Iterator[str]:
    """Disagreements of keys, amounts and facts with the rows and the inputs."""
    yield from guard("the manifest", _keys(folder))
    for task in folder.tasks():
        yield from guard(task[0].name, task_problems(folder, task))
    yield from guard("the folder", fact_problems(folder))


def _keys(folder: CheckedFolder) -> Iterator[str]:
    """Shard keys; a stage with a plan of its source files is left out (see `unverified`)."""
    stage, stored = folder.stage, folder.manifest
    if stage is None or stage.plan is not None:
        return
    inputs = {read.role: (folder.input(read.role), read.sharded) for read in stage.reads}
    recorded = stored.made_of.get("inputs", {})
    if any(inputs[role][0] is None for role in recorded if role in inputs):
        return
    for i, shard in enumerate(stored.shards):
        contents: dict[str, str] = {}
        for role, (dataset, sharded) in inputs.items():
            if role in recorded and dataset is not None:
                source = dataset.manifest
                contents[role] = source.shards[i].sha256 if sharded else source.content
        key = manifest.shard_key(stored.fingerprint, contents)
        if shard.key != key:
            yield f"{shard.name}: key is {shard.key[:12]} in the manifest, recomputed {key[:12]}; {RESTORE}"
