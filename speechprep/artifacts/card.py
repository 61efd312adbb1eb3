"""`README.md` of a dataset folder: a card for people, with the list of data files for
`datasets.load_dataset(folder)`.

It follows from manifest and schema alone, so the same folder has the same card, and it names no place of any machine.
"""

from __future__ import annotations

import json
from typing import Any

import pyarrow as pa

from speechprep.artifacts import shards, storage
from speechprep.artifacts.manifest import Manifest

NAME = "README.md"

_FRONT = """---
pretty_name: {kind}
license: other
tags:
- speechprep
configs:
- config_name: default
  data_files:
  - split: train
    path: part-*.parquet
---
"""


def write(folder: str, made: Manifest) -> None:
    """Write the card of a folder; nothing happens where there are no Parquet shards."""
    names = shards.shard_names([s.name for s in made.shards])
    if names:
        schema = shards.read_schema(storage.join(folder, names[0]))
        storage.write_bytes(storage.join(folder, NAME), text(made, schema).encode())


def text(made: Manifest, schema: pa.Schema) -> str:
    """The card: front matter of the Hugging Face Hub, then schema, counts, licences and how it was made."""
    data = [s for s in made.shards if shards.shard_names([s.name])]
    counts = {"rows": made.rows, "shards": len(data), "bytes": sum(s.size for s in data)}
    if made.seconds:
        counts["seconds of audio"] = round(made.seconds, 3)  # type: ignore[assignment]
    return "\n".join(
        [
            _FRONT.format(kind=made.kind) + f"\n# {made.kind}\n",
            f"Made by the stage `{made.made_of.get('stage', made.kind)}` of speechprep. `manifest.json` has every "
            "option, the hashes of all shards and of what they were made from; `rejects/` has what could not be used, "
            "and is no part of the data.\n",
            "```python",
            'rows = datasets.load_dataset("path/to/this/folder", split="train")',
            "```\n",
            _table("## Columns", ("column", "type"), [(f"`{f.name}`", kind(f.type)) for f in schema]),
            _table("## Counts", ("what", "how many"), list((made.counters | counts).items())),
            _table("## Licences", ("of the recordings and texts behind the rows",), [(x,) for x in made.licences]),
            _table("## How it was made", ("", ""), _made(made)),
        ]
    )


def kind(of: pa.DataType) -> str:
    """A column's type in words."""
    if pa.types.is_struct(of):
        return "{" + ", ".join(f"{of.field(i).name}: {kind(of.field(i).type)}" for i in range(of.num_fields)) + "}"
    if pa.types.is_fixed_size_list(of):
        return f"list of {of.list_size} {kind(of.value_type)}"
    if pa.types.is_list(of):
        return f"list of {kind(of.value_type)}"
    return str(of)


def _made(made: Manifest) -> list[tuple[str, Any]]:
    of = made.made_of
    backend = of.get("backend") or {}
    found = [("stage", of.get("stage")), ("version", of.get("version")), ("seed", of.get("seed"))]
    found += [("backend", backend.get("name")), ("made from", ", ".join(sorted(of.get("inputs", {}))) or None)]
    for name, value in sorted((of.get("config") or {}).items()):
        told = json.dumps(value, sort_keys=True, ensure_ascii=False)
        if value not in (None, {}, []) and "/" not in told:  # a place on a machine is nobody else's
            found.append((f"`{name}`", f"`{told}`"))
    return [(name, value) for name, value in found if value is not None]


def _table(title: str, head: tuple[str, ...], rows: list[Any]) -> str:
    if not rows:
        return f"{title}\n\nNone.\n"
    lines = [head, ("---",) * len(head), *rows]
    return f"{title}\n\n" + "\n".join("| " + " | ".join(_cell(x) for x in line) + " |" for line in lines) + "\n"


def _cell(value: Any) -> str:
    """A number as it is read, a text on one line."""
    if isinstance(value, float):
        value = f"{value:.3f}".rstrip("0").rstrip(".")
    return " ".join(str(value).replace("|", "\\|").split())
