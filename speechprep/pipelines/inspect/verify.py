"""Verification of folders against their manifests. It trusts no value of a manifest that it can recompute, and changes
nothing.

files       size and sha256 of every file of the manifest; no other file is in the folder
manifest    fingerprint, content hash, shard keys, counters, seconds, licences and facts are recomputed
schemas     declared names and types in every shard; rows as they must be (see `verify_rows`)
inputs      the folders beside it are its inputs; ids refer to rows of the inputs
tokens      every row gives back the exact words, units and times

`unverified` lists the values that cannot be recomputed.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa

from speechprep.artifacts import manifest, schemas, shards, storage
from speechprep.artifacts.cards import run as run_card
from speechprep.artifacts.datasets import find_kind
from speechprep.artifacts.run import EARLIER_FILES, RECORD, Dataset
from speechprep.artifacts.shards import shard_names
from speechprep.errors import DamagedFile, SchemaMismatch, SpeechprepError, StaleArtifact, first_line
from speechprep.pipelines.engine.recovery.folder import is_output
from speechprep.pipelines.engine.recovery.lock import holder, is_lock
from speechprep.pipelines.engine.task import STATE, WORK
from speechprep.pipelines.inspect.folders import REPAIR, CheckedFolder, Neighbours, stage_of
from speechprep.pipelines.inspect.verify_manifest import input_problems, manifest_problems, recomputed_problems
from speechprep.pipelines.inspect.verify_rows import RowChecks

CHUNK = 1 << 22  # bytes hashed at a time
RUN_FILES = {RECORD, "run.log", "report.html", run_card.NAME}


@dataclass(frozen=True)
class Problem:
    """A problem: its folder, and a description with the remedy if it is known."""

    folder: str
    what: str


@dataclass
class Verdict:
    """Counts of the check, and its problems. `folders` are in the order of the check."""

    folders: list[str] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    files: int = 0
    bytes: int = 0
    rows: int = 0


def verify(folder: str) -> Verdict:
    """Check a dataset or artifact folder, or all folders of a run.

    Raises:
        StaleArtifact: the folder holds nothing of speechprep.
    """
    verdict = Verdict()
    place = folder.rstrip("/") or "/"
    if any(map(storage.exists, manifest.places(place))) or storage.is_dir(storage.join(place, STATE)):
        _folder(place, _neighbours(storage.parent(place)), verdict)
        return verdict
    around = _neighbours(place)
    folders = storage.folders(place)
    names = [n for n in folders if n in around.datasets or storage.is_dir(storage.join(place, n, STATE))]
    if not names and not around.unreadable:
        raise StaleArtifact(f"{folder}: nothing of speechprep is here; give a dataset, an artifact or a run folder")
    verdict.problems += [Problem(storage.join(place, name), error) for name, error in around.unreadable.items()]
    for name in sorted(set(names) - around.unreadable.keys(), key=lambda n: _depth(around, n)):
        _folder(storage.join(place, name), around, verdict)
    lost = {n for n in set(folders) - set(names) if shard_names(list(storage.sizes(storage.join(place, n))))}
    lost -= around.unreadable.keys()
    missing = f"it has no {manifest.NAME}; {REPAIR}"
    verdict.problems += [Problem(storage.join(place, name), missing) for name in sorted(lost)]
    files = {name for name in storage.sizes(place) if not is_lock(name)}
    strays = set(folders) - set(names) - lost - around.unreadable.keys() | files - RUN_FILES
    verdict.problems += [Problem(place, f"{name!r} is not of speechprep; move it away") for name in sorted(strays)]
    return verdict


def _neighbours(place: str) -> Neighbours:
    around = Neighbours(place, {})
    for name in storage.folders(place):
        uri = storage.join(place, name)
        try:
            stored = manifest.find(uri, check_digest=False)
        except (SpeechprepError, OSError) as error:
            around.unreadable[name] = str(error)
            continue
        if stored is not None:
            around.datasets[name] = Dataset(stored.kind, uri, stored)
    return around


def _depth(around: Neighbours, name: str) -> tuple[int, str]:
    """Number of folders upstream, for the order of the report."""
    names = {dataset.manifest.fingerprint: other for other, dataset in around.datasets.items()}

    def up(at: str, path: frozenset[str]) -> int:
        if at not in around.datasets or at in path:
            return 0
        inputs = around.datasets[at].manifest.made_of.get("inputs", {}).values()
        return 1 + max((up(names[i], path | {at}) for i in inputs if i in names), default=0)

    return up(name, frozenset()), name


def _folder(uri: str, around: Neighbours, verdict: Verdict) -> None:
    verdict.folders.append(uri)
    try:
        stored = manifest.read(uri, check_digest=False)
    except (SpeechprepError, OSError) as error:
        verdict.problems.append(Problem(uri, str(error)))
        return
    folder = CheckedFolder(Dataset(stored.kind, uri, stored), around, stage_of(stored))
    problems = list(manifest_problems(folder))
    damages = list(_files(folder, verdict))
    problems += damages
    problems += input_problems(folder)
    if not damages:  # one damage would be reported again for each value recomputed from the file
        problems += _rows(folder, verdict)
        problems += recomputed_problems(folder, _readable)
    edited = manifest.digest_problem(uri)
    problems += [edited] if edited else []
    if problems:
        around.damaged.add(uri)
    verdict.problems += [Problem(uri, what) for what in problems]


def _files(folder: CheckedFolder, verdict: Verdict) -> Iterator[str]:
    """Check of presence, size and sha256 of the files in the manifest, and of other files."""
    uri, stored = folder.dataset.uri, folder.manifest
    for name, count in Counter(shard.name for shard in stored.shards).items():
        if count > 1:
            yield f"{name} is {count} times in the manifest; {REPAIR}"
    for shard in stored.shards:
        yield from _file(uri, shard.name, shard.sha256, shard.size, verdict)
        if shard.rejects:
            yield from _file(uri, f"{folder.rejects}/{folder.rejects_name(shard)}", shard.rejects, None, verdict)
    named = {s.name for s in stored.shards} | {manifest.NAME, *EARLIER_FILES}
    rejects = {folder.rejects_name(s) for s in stored.shards if s.rejects}
    strays = sorted(name for name in storage.sizes(uri).keys() - named if not is_lock(name))
    strays += [f"{folder.rejects}/{name}" for name in folder.reject_files if name not in rejects]
    for name in strays:
        advice = REPAIR if is_output(name) else "move it away"
        yield f"{name} is there but not in the manifest; {advice}"
    inner = {s.name.split("/")[0] for s in stored.shards if "/" in s.name}
    for name in sorted(set(storage.folders(uri)) - inner - {folder.rejects}):
        leftover = name in (STATE, WORK)
        if leftover:
            yield f"{name}/ was left by a run that did not end; {holder(uri) or REPAIR}"
        else:
            yield f"{name}/ is not of speechprep; move it away"


def _file(folder: str, name: str, sha256: str, size: int | None, verdict: Verdict) -> Iterator[str]:
    uri = storage.join(folder, name)
    if storage.size(uri) is None:
        yield f"{name} is missing; {REPAIR}"
        return
    digest, length = hashlib.sha256(), 0
    with storage.open(uri) as f:
        while block := f.read(CHUNK):
            digest.update(block)
            length += len(block)
    verdict.files += 1
    verdict.bytes += length
    if size is not None and length != size:
        yield f"{name}: size is {size} in the manifest, the file has {length} bytes; {REPAIR}"
    elif digest.hexdigest() != sha256:
        stored = sha256[:12] if len(sha256) == len(digest.hexdigest()) else repr(sha256)
        yield (
            f"{name} was changed: sha256 is {stored} in the manifest, {digest.hexdigest()[:12]} in the file; {REPAIR}"
        )


def _rows(folder: CheckedFolder, verdict: Verdict) -> Iterator[str]:
    dataset, stored = folder.dataset, folder.manifest
    try:
        declared = find_kind(stored.kind).schema_of(stored.extra)
    except (ValueError, TypeError) as error:
        yield f"{manifest.NAME}: extra gives no schema ({first_line(error)}); {REPAIR}"
        return
    checks = RowChecks(folder)
    for shard in stored.shards:
        rows = 0
        if shard.name in dataset.shard_set:
            uri = storage.join(dataset.uri, shard.name)
            try:
                schema = shards.read_schema(uri)
                if declared is not None:
                    schemas.check_schema(schema, declared, shard.name)
                rows = sum(batch.num_rows for batch in shards.read_batches(uri, schema.names[:1], 65536))
            except SpeechprepError as error:
                yield str(error)
                continue
            verdict.rows += rows
            yield from _readable(shard.name, checks.shard(shard))
        counted = 0 if folder.is_artifact else rows  # an artifact counts no rows
        if shard.rows != counted:
            yield f"{shard.name}: rows is {shard.rows} in the manifest, recomputed {counted}; {REPAIR}"
    yield from _readable("the folder", checks.whole())
    for shard in stored.shards:
        if shard.rejects:
            name = folder.rejects_name(shard)
            yield from _readable(f"{folder.rejects}/{name}", _reject_schema(dataset.uri, f"{folder.rejects}/{name}"))


def _reject_schema(folder: str, name: str) -> Iterator[str]:
    schemas.check_schema(shards.read_schema(storage.join(folder, name)), schemas.REJECTS, name)
    yield from ()


def _readable(name: str, problems: Iterator[str]) -> Iterator[str]:
    """The problems, and one more if the values of a file cannot be read, in this folder or in an input."""
    try:
        yield from problems
    except (DamagedFile, SchemaMismatch, StaleArtifact) as error:
        yield str(error)
    except (pa.ArrowException, ValueError, TypeError, LookupError, OverflowError, AttributeError, OSError) as error:
        yield f"{name} has values that cannot be checked ({first_line(error)}); {REPAIR}"


def as_dict(verdict: Verdict) -> dict[str, Any]:
    """The verdict as JSON values, for `--json`."""
    return {
        "ok": not verdict.problems,
        "folders": verdict.folders,
        "files": verdict.files,
        "bytes": verdict.bytes,
        "rows": verdict.rows,
        "problems": [{"folder": p.folder, "what": p.what} for p in verdict.problems],
    }
