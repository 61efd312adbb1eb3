"""`manifest.json`: what a folder is, how it was made and that it is complete. It is written last.

Two hashes with two meanings: the *fingerprint* says what a folder is meant to be (stage, version, configuration,
fingerprints of the inputs, identity of the backend); the *content* says what came out (sha256 over its shards).
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, field
from typing import Any

from speechprep.artifacts import storage
from speechprep.errors import SchemaMismatch, StaleArtifact

NAME = "manifest.json"
FORMAT = 1


def canonical(value: Any) -> str:
    """The one JSON text of a value: keys sorted, no spaces, no NaN."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def digest(value: Any) -> str:
    """sha256 of the canonical JSON, in hex."""
    return hashlib.sha256(canonical(value).encode()).hexdigest()


@dataclass(frozen=True)
class Shard:
    """A committed file of a folder.

    Attributes:
        name: file name in the folder.
        key: sha256 of all that decides its bytes; a shard whose key is unchanged is never computed again.
        sha256: of the file; `size` in bytes.
        rows, seconds: rows in it and seconds of audio behind them.
        rejects: sha256 of `rejects/<name>`, empty where nothing was rejected.
        counters: sums the stage counted; `licences` of the records.
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
    """See the module's text. `made_of` is the body whose digest is the fingerprint."""

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
        """Indented, keys sorted: made to be read and compared."""
        return json.dumps(asdict(self), indent=1, sort_keys=True, ensure_ascii=False, allow_nan=False) + "\n"

    @classmethod
    def from_json(cls, text: str, where: str) -> Manifest:
        """Inverse of `to_json`.

        Raises:
            SchemaMismatch: not a manifest, or one of another format.
        """
        try:
            body = json.loads(text)
            if body["format"] != FORMAT:
                raise SchemaMismatch(f"{where}: manifest of format {body['format']}, this version reads {FORMAT}")
            return cls(**{**body, "shards": [Shard(**s) for s in body["shards"]]})
        except (ValueError, KeyError, TypeError) as error:
            if isinstance(error, SchemaMismatch):
                raise
            raise SchemaMismatch(
                f"{where} is not a speechprep manifest ({error}); delete the folder, or choose another one"
            ) from error


def read(folder: str) -> Manifest:
    """The manifest of a complete folder.

    Raises:
        StaleArtifact: there is none, so the folder is not complete or not of this tool.
    """
    found = find(folder)
    if found is None:
        raise StaleArtifact(f"{folder} has no {NAME}: it is not complete; finish the run that makes it")
    return found


def find(folder: str) -> Manifest | None:
    """The manifest of a folder, None where there is none."""
    where = storage.join(folder, NAME)
    if not storage.exists(where):
        return None
    return Manifest.from_json(storage.read_bytes(where).decode(), where)


def write(folder: str, manifest: Manifest) -> None:
    """Declare a folder complete."""
    storage.write_bytes(storage.join(folder, NAME), manifest.to_json().encode())


def differences(old: Any, new: Any, at: str = "") -> list[str]:
    """Where two JSON values differ, as `config.k: 100 -> 200`."""
    if isinstance(old, dict) and isinstance(new, dict):
        found = []
        for key in sorted(old.keys() | new.keys()):
            found += differences(old.get(key), new.get(key), f"{at}.{key}" if at else key)
        return found
    return [] if old == new else [f"{at}: {_short(old)} -> {_short(new)}"]


def _short(value: Any) -> str:
    text = canonical(value)
    return text if len(text) <= 40 else text[:37] + "..."
