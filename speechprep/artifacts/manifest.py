"""`_manifest.json`: kind, origin and completeness of a folder. It is written last.

Readers of Parquet folders skip names with a leading `_`. Folders of earlier versions have a `manifest.json`.

It has three hashes. The *fingerprint* identifies the work: stage, version, configuration, fingerprints of the inputs,
identity of the backend. The *content hash* identifies the result: sha256 over the shards. The *digest* covers
all other fields of the file, so an edited or damaged manifest is noticed.
"""

from __future__ import annotations

import hashlib
import json
import shlex
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import Any

from speechprep.artifacts import storage
from speechprep.errors import DamagedManifest, SchemaMismatch, StaleArtifact, first_line

NAME = "_manifest.json"
EARLIER_NAME = "manifest.json"
FORMAT = 2
FORMATS = (1, FORMAT)  # format 1 has no digest
DIGEST = "digest"


def canonical(value: Any) -> str:
    """Canonical JSON text of a value: keys sorted, no spaces, no NaN."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def digest(value: Any) -> str:
    """sha256 of the canonical JSON, in hex."""
    return hashlib.sha256(canonical(value).encode()).hexdigest()


def shard_key(fingerprint: str, contents: Any) -> str:
    """Shard key: digest of the folder's fingerprint and the hashes of the input shards. A shard with an unchanged key
    is not computed again.

    Args:
        fingerprint: fingerprint of the folder.
        contents: role -> sha256 of the input shard, or content hash of the input folder if it is read as a whole.
    """
    return digest([fingerprint, contents])


@dataclass(frozen=True)
class Shard:
    """A committed file of a folder.

    Attributes:
        name: file name in the folder.
        key: shard key.
        sha256: sha256 of the file; `size` in bytes.
        rows, seconds: rows of the file, and seconds of audio behind them.
        rejects: sha256 of `_rejects/<name>`, empty if nothing was rejected.
        counters: sums counted by the stage; `licences` of the records.
    """

    name: str
    key: str
    sha256: str
    size: int
    rows: int = 0
    seconds: float = 0.0
    rejects: str = ""
    counters: dict[str, float] = field(default_factory=dict)
    licences: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Manifest:
    """Content of `_manifest.json`. The fingerprint is the digest of `made_of`."""

    kind: str
    fingerprint: str
    content: str
    made_of: dict[str, Any]
    shards: list[Shard]
    counters: dict[str, float]
    licences: list[str]
    versions: dict[str, str]
    extra: dict[str, Any] = field(default_factory=dict)
    format: int = FORMAT

    @property
    def rows(self) -> int:
        """Rows of all shards."""
        return sum(s.rows for s in self.shards)

    @property
    def seconds(self) -> float:
        """Seconds of audio behind the rows."""
        return sum(s.seconds for s in self.shards)

    def to_json(self) -> str:
        """JSON text, indented, with sorted keys: for reading and comparing. It has the digest of all other fields."""
        body = asdict(self)
        body |= {} if self.format == 1 else {DIGEST: digest(body)}
        return json.dumps(body, indent=1, sort_keys=True, ensure_ascii=False, allow_nan=False) + "\n"

    @classmethod
    def from_json(cls, text: str, where: str, *, check_digest: bool = True) -> Manifest:
        """Inverse of `to_json`. Types of all fields are checked, and names of shards stay below the folder.

        Args:
            text: content of the file.
            where: URI of the file, for messages.
            check_digest: compare the digest of the file with its other fields.

        Raises:
            DamagedManifest: not a manifest, or an edited one.
            SchemaMismatch: a manifest of another format.
        """
        try:
            body = json.loads(text)
            canonical(body).encode()  # refuses NaN, infinity and unpaired surrogates
            present = body.get("format", FORMAT) if isinstance(body, dict) else FORMAT
            if type(present) is int and present > FORMAT and isinstance(body.get("made_of"), dict):
                raise SchemaMismatch(
                    f"{where}: format is {present}, this version reads {FORMATS[0]} to {FORMAT}; update speechprep"
                )
            if present not in FORMATS:
                raise ValueError(f"format is {short(present)}, this version reads {FORMATS[0]} to {FORMAT}")
            _check_fields(body, _MANIFEST if present == 1 else {**_MANIFEST, DIGEST: _TEXT}, "")
            _check_fields(body["made_of"], _MADE_OF, "made_of.", required=False)
            for i, shard in enumerate(body["shards"]):
                _check_fields(shard, _SHARD, f"shards[{i}].")
            stated = body.pop(DIGEST, None)
            if check_digest and stated is not None and stated != digest(body):
                raise ValueError(f"its digest is {short(stated)}, recomputed {short(digest(body))}: it was edited")
            return cls(**{**body, "shards": [Shard(**shard) for shard in body["shards"]]})
        except (ValueError, RecursionError) as error:
            if isinstance(error, SchemaMismatch):
                raise
            folder = where.rpartition("/")[0]
            raise DamagedManifest(
                f"{where} is not a speechprep manifest ({first_line(error)}); restore the file, or run: "
                f"speechprep repair {shlex.quote(folder)}"
            ) from error


Check = tuple[str, Callable[[Any], bool]]  # noun phrase of the type, and its test


def _is_count(value: Any) -> bool:
    return type(value) is int and value >= 0


def _is_number(value: Any) -> bool:
    return type(value) in (int, float)


def _is_seconds(value: Any) -> bool:
    return _is_number(value) and value >= 0


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _is_name(value: Any) -> bool:
    """True for a relative path without "." and "..": it cannot lead out of the folder."""
    if not isinstance(value, str) or "\0" in value or "\\" in value:
        return False
    return all(part not in ("", ".", "..") and len(part.encode()) <= 255 for part in value.split("/"))


def _map_of(test: Callable[[Any], bool]) -> Callable[[Any], bool]:
    return lambda value: isinstance(value, dict) and all(map(test, value.values()))


def _list_of(test: Callable[[Any], bool]) -> Callable[[Any], bool]:
    return lambda value: isinstance(value, list) and all(map(test, value))


_TEXT: Check = ("a text", _is_text)
_COUNT: Check = ("a whole number of at least 0", _is_count)
_OBJECT: Check = ("an object", lambda value: isinstance(value, dict))
_TEXTS: Check = ("a list of texts", _list_of(_is_text))
_TEXT_MAP: Check = ("an object of texts", _map_of(_is_text))
_NUMBER_MAP: Check = ("an object of numbers", _map_of(_is_number))

_MANIFEST: dict[str, Check] = {
    "kind": _TEXT,
    "fingerprint": _TEXT,
    "content": _TEXT,
    "made_of": _OBJECT,
    "shards": ("a list of objects", _list_of(lambda value: isinstance(value, dict))),
    "counters": _NUMBER_MAP,
    "licences": _TEXTS,
    "versions": _TEXT_MAP,
    "extra": _OBJECT,
    "format": _COUNT,
}
_MADE_OF: dict[str, Check] = {
    "stage": _TEXT,
    "version": _COUNT,
    "schema": _COUNT,
    "config": _OBJECT,
    "seed": ("a whole number", lambda value: type(value) is int),
    "backend": ("an object or null", lambda value: value is None or isinstance(value, dict)),
    "inputs": _TEXT_MAP,
    "sources": _TEXTS,
}
_SHARD: dict[str, Check] = {
    "name": ("a path below the folder", _is_name),
    "key": _TEXT,
    "sha256": _TEXT,
    "size": _COUNT,
    "rows": _COUNT,
    "seconds": ("a number of at least 0", _is_seconds),
    "rejects": _TEXT,
    "counters": _NUMBER_MAP,
    "licences": _TEXTS,
}


def _check_fields(body: Any, fields: dict[str, Check], at: str, *, required: bool = True) -> None:
    """Raise a ValueError with the place of the first missing, unknown or wrong field."""
    if not isinstance(body, dict):
        raise ValueError(f"{at or 'the file'} is {short(body)}, not an object")
    for name, (noun, test) in fields.items():
        if name not in body:
            if required:
                raise ValueError(f"{at}{name} is missing")
        elif not test(body[name]):
            raise ValueError(f"{at}{name} is {short(body[name])}, not {noun}")
    unknown = sorted(body.keys() - fields.keys()) if required else []
    if unknown:
        raise ValueError(f"{at}{unknown[0]} is an unknown field")


def read(folder: str, *, check_digest: bool = True) -> Manifest:
    """The manifest of a complete folder.

    Raises:
        StaleArtifact: the folder has no manifest, so it is incomplete or not of speechprep.
        SchemaMismatch: see `Manifest.from_json`.
    """
    manifest = find(folder, check_digest=check_digest)
    if manifest is None:
        raise StaleArtifact(f"{folder} has no {NAME}: it is not complete; finish the run that makes it")
    return manifest


def places(folder: str) -> list[str]:
    """URIs at which the manifest of a folder may be, the present name first."""
    return [storage.join(folder, name) for name in (NAME, EARLIER_NAME)]


def find(folder: str, *, check_digest: bool = True) -> Manifest | None:
    """The manifest of a folder, None without the file.

    Raises:
        SchemaMismatch: see `Manifest.from_json`.
    """
    where = next((uri for uri in places(folder) if storage.exists(uri)), None)
    if where is None:
        return None
    # A byte that is not UTF-8 becomes an unpaired surrogate, refused by `from_json`.
    text = storage.read_bytes(where).decode(errors="surrogateescape")
    return Manifest.from_json(text, where, check_digest=check_digest)


def find_intact(folder: str) -> Manifest | None:
    """The manifest of a folder to write; None without one, and None for a damaged one: the folder is then redone.

    Raises:
        SchemaMismatch: the manifest has the format of a later version.
    """
    try:
        return find(folder)
    except DamagedManifest:
        return None


def digest_problem(folder: str) -> str:
    """The disagreement of a manifest with its digest, empty without one."""
    try:
        find(folder)
    except SchemaMismatch as error:
        return str(error)
    return ""


def write(folder: str, manifest: Manifest) -> None:
    """Declare a folder complete."""
    storage.write_bytes(storage.join(folder, NAME), manifest.to_json().encode())


def differences(old: Any, new: Any, at: str = "") -> list[str]:
    """Differences of two JSON values, as `config.k: 100 -> 200`."""
    if isinstance(old, dict) and isinstance(new, dict):
        changes = []
        for key in sorted(old.keys() | new.keys()):
            changes += differences(old.get(key), new.get(key), f"{at}.{key}" if at else key)
        return changes
    return [] if old == new else [f"{at}: {short(old)} -> {short(new)}"]


def short(value: Any) -> str:
    """JSON of a value for a message, cut at 40 characters."""
    text = canonical(value)
    return text if len(text) <= 40 else text[:37] + "..."
