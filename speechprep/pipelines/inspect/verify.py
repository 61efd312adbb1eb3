"""Verification of folders against their manifests. Recomputes checksums, schemas and cross-references, and changes
nothing.

files       every file that the manifest names is there with its size and sha256, and no other file is
manifest    fingerprint and content are the digests of what they stand for, counts are those of the files
schemas     declared names and types in every shard; rows as they must be (see `verify_rows`)
inputs      the folders beside it are those it was made from; ids refer to what is there
tokens      every row gives back the exact words, units and times
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa

from speechprep.artifacts import card, manifest, schemas, shards, storage
from speechprep.artifacts.datasets import find_kind
from speechprep.artifacts.manifest import Manifest, Shard
from speechprep.errors import DamagedFile, SchemaMismatch, SpeechprepError, StaleArtifact, first_line
from speechprep.pipelines.engine.stage import find_stage
from speechprep.pipelines.engine.task import REJECT_FOLDER, STATE, WORK
from speechprep.pipelines.inspect.verify_rows import Neighbours, RowChecks

CHUNK = 1 << 22  # bytes hashed at a time
REPAIR = "run the same command again: it makes what is missing or has another size"
RUN_FILES = {"run.json", "run.log", "report.html"}


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
        StaleArtifact: there is nothing of this tool here.
    """
    verdict = Verdict()
    place = folder.rstrip("/") or "/"
    if storage.exists(storage.join(place, manifest.NAME)) or storage.is_dir(storage.join(place, STATE)):
        parent = storage.parent(place)
        _folder(place, _neighbours(parent, Verdict()), verdict)
        return verdict
    around = _neighbours(place, verdict)
    names = [n for n in storage.folders(place) if n in around.known or storage.is_dir(storage.join(place, n, STATE))]
    broken = {p.folder for p in verdict.problems}
    if not names and not broken:
        raise StaleArtifact(f"{folder}: nothing of speechprep is here; give a dataset, an artifact or a run folder")
    for name in sorted(names, key=lambda n: _depth(around.known, n)):
        _folder(storage.join(place, name), around, verdict)
    strays = {n for n in storage.folders(place) if n not in names and storage.join(place, n) not in broken}
    strays |= set(storage.sizes(place)) - RUN_FILES
    verdict.problems += [Problem(place, f"{name!r} is not of speechprep") for name in sorted(strays)]
    return verdict


def _neighbours(place: str, verdict: Verdict) -> Neighbours:
    known = {}
    for name in storage.folders(place):
        where = storage.join(place, name)
        try:
            found = manifest.find(where)
        except (SpeechprepError, UnicodeDecodeError) as error:
            verdict.problems.append(Problem(where, str(error)))
            continue
        if found is not None:
            known[name] = found
    return Neighbours(place, known)


def _depth(known: dict[str, Manifest], name: str) -> tuple[int, str]:
    """Number of folders upstream, for the order of the report."""
    by_print = {found.fingerprint: other for other, found in known.items()}

    def up(at: str, seen: frozenset[str]) -> int:
        if at not in known or at in seen:
            return 0
        inputs = known[at].made_of.get("inputs", {}).values()
        return 1 + max((up(by_print[i], seen | {at}) for i in inputs if i in by_print), default=0)

    return up(name, frozenset()), name


def _folder(folder: str, around: Neighbours, verdict: Verdict) -> None:
    verdict.folders.append(folder)
    try:
        made = manifest.read(folder)
    except (SpeechprepError, UnicodeDecodeError) as error:
        verdict.problems.append(Problem(folder, str(error)))
        return
    found = list(_manifest(made))
    good, files = _files(folder, made, verdict)
    found += files
    found += _inputs(made, around)
    if not files:  # rows of a damaged file would be told wrong twice
        found += _rows(folder, made, good, around, verdict)
    verdict.problems += [Problem(folder, what) for what in found]


def _manifest(made: Manifest) -> Iterator[str]:
    if manifest.digest(made.made_of) != made.fingerprint:
        yield "the manifest's fingerprint is not that of what it says the folder was made of; it was edited"
    if manifest.digest([s.sha256 for s in made.shards]) != made.content:
        yield "the manifest's content hash is not that of its shards; it was edited"
    rejected = sum(s.counters.get("rejected", 0) for s in made.shards)
    if rejected != made.counters.get("rejected", 0):
        yield f"the manifest counts {made.counters.get('rejected', 0):.0f} rejects, its shards {rejected:.0f}"


def _files(folder: str, made: Manifest, verdict: Verdict) -> tuple[list[Shard], list[str]]:
    """Check of presence, size and hash of the named files, and of other files; returns the intact shards."""
    good, wrong = [], []
    there = storage.sizes(folder)
    rejects = storage.sizes(storage.join(folder, REJECT_FOLDER))
    for shard in made.shards:
        problem = _file(storage.join(folder, shard.name), shard.name, shard.sha256, shard.size, verdict)
        if problem:
            wrong.append(problem)
        else:
            good.append(shard)
        if shard.rejects:
            name = _reject_name(shard, rejects)
            problem = _file(
                storage.join(folder, REJECT_FOLDER, name), f"{REJECT_FOLDER}/{name}", shard.rejects, None, verdict
            )
            wrong += [problem] if problem else []
    named = {s.name for s in made.shards} | {manifest.NAME, card.NAME}
    wrong += [f"{name} is there but not in the manifest" for name in sorted(set(there) - named)]
    wanted = {_reject_name(s, rejects) for s in made.shards if s.rejects}
    wrong += [f"{REJECT_FOLDER}/{name} is there but not in the manifest" for name in sorted(set(rejects) - wanted)]
    inner = {s.name.split("/")[0] for s in made.shards if "/" in s.name}
    for name in sorted(set(storage.folders(folder)) - inner - {REJECT_FOLDER}):
        left = name in (STATE, WORK)
        wrong.append(f"{name}/ was left by a run that did not end" if left else f"{name}/ is not of speechprep")
    return good, wrong


def _reject_name(shard: Shard, there: dict[str, int]) -> str:
    """Rejects have the name of their task: the name of the shard, unless the task wrote several shards."""
    return shard.name if shard.name in there or len(there) != 1 else next(iter(there))


def _file(uri: str, name: str, sha256: str, size: int | None, verdict: Verdict) -> str | None:
    if not storage.exists(uri):
        return f"{name} is missing; {REPAIR}"
    digest, length = hashlib.sha256(), 0
    with storage.open(uri) as f:
        while block := f.read(CHUNK):
            digest.update(block)
            length += len(block)
    verdict.files += 1
    verdict.bytes += length
    if size is not None and length != size:
        return f"{name} has {length} bytes, the manifest says {size}; {REPAIR}"
    if digest.hexdigest() != sha256:
        return f"{name} was changed: its sha256 is not the manifest's; delete this file, then {REPAIR}"
    return None


def _inputs(made: Manifest, around: Neighbours) -> Iterator[str]:
    """Each recorded input lies unchanged beside this folder; an input in another place cannot be checked."""
    try:
        stage = find_stage(made.made_of.get("stage", ""))
    except (SpeechprepError, ImportError):
        return  # a stage of an absent package
    for read in stage.reads:
        wanted = made.made_of.get("inputs", {}).get(read.role)
        same_kind = [name for name, found in around.known.items() if found.kind == read.kind]
        if wanted is None or not same_kind or around.input(made, read.role):
            continue
        yield (
            f"was made from another {read.kind} ({wanted[:8]}) than the one beside it "
            f"({around.known[same_kind[0]].fingerprint[:8]}); run the stage {stage.name} again"
        )


def _rows(folder: str, made: Manifest, good: list[Shard], around: Neighbours, verdict: Verdict) -> Iterator[str]:
    wanted = find_kind(made.kind).schema_of(made.extra)
    checks = RowChecks(folder, made, around)
    for shard in good:
        if not shard.name.endswith(".parquet") or "/" in shard.name or not shards.shard_names([shard.name]):
            continue
        uri = storage.join(folder, shard.name)
        try:
            found = shards.read_schema(uri)
            if wanted is not None:
                schemas.check_schema(found, wanted, shard.name)
            rows = sum(batch.num_rows for batch in shards.read_batches(uri, [found.names[0]], 65536))
        except SpeechprepError as error:
            yield str(error)
            continue
        verdict.rows += rows
        if rows != shard.rows and made.rows:  # an artifact counts no rows
            yield f"{shard.name} has {rows} rows, the manifest says {shard.rows}"
        yield from _readable(shard.name, checks.shard(shard))
    yield from _readable("the folder", checks.whole())
    for shard in made.shards:
        if shard.rejects:
            yield from _readable(f"{REJECT_FOLDER} of {shard.name}", _reject_rows(folder, shard))


def _readable(name: str, problems: Iterator[str]) -> Iterator[str]:
    """The problems, and one more if the values of a file cannot be read: here, or in a folder beside it."""
    try:
        yield from problems
    except (DamagedFile, SchemaMismatch) as error:
        yield str(error)
    except (pa.ArrowException, ValueError, TypeError, LookupError, OverflowError) as error:
        yield f"{name} has values that cannot be checked: {first_line(error)}"


def _reject_rows(folder: str, shard: Shard) -> Iterator[str]:
    there = storage.sizes(storage.join(folder, REJECT_FOLDER))
    name = f"{REJECT_FOLDER}/{_reject_name(shard, there)}"
    uri = storage.join(folder, name)
    schemas.check_schema(shards.read_schema(uri), schemas.REJECTS, name)
    rows = sum(batch.num_rows for batch in shards.read_batches(uri, ["id"], 65536))
    if rows != shard.counters.get("rejected", 0):
        yield f"{name} has {rows} rows, the manifest counts {shard.counters.get('rejected', 0):.0f}"


def as_dict(verdict: Verdict) -> dict[str, Any]:
    """For `--json`."""
    return {
        "ok": not verdict.problems,
        "folders": verdict.folders,
        "files": verdict.files,
        "bytes": verdict.bytes,
        "rows": verdict.rows,
        "problems": [{"folder": p.folder, "what": p.what} for p in verdict.problems],
    }
