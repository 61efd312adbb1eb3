"""Dataset card, the `README.md` of a dataset folder, with the list of data files for `datasets.load_dataset(folder)`.

It depends on manifest and schema alone, so the same folder has the same card. It contains no paths of a machine.
"""

from __future__ import annotations

import json
from collections.abc import Callable
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


def write(folder: str, manifest: Manifest) -> None:
    """Write the card of a folder; a folder without Parquet shards gets none."""
    names = shards.shard_names([s.name for s in manifest.shards])
    if names:
        schema = shards.read_schema(storage.join(folder, names[0]))
        storage.write_bytes(storage.join(folder, NAME), text(manifest, schema).encode())


def text(manifest: Manifest, schema: pa.Schema) -> str:
    """The card: front matter of the Hugging Face Hub, then schema, counts, licences and origin."""
    stage = manifest.made_of.get("stage", manifest.kind)
    data = [s for s in manifest.shards if shards.shard_names([s.name])]
    counts = {"rows": manifest.rows, "shards": len(data), "bytes": sum(s.size for s in data)}
    if manifest.seconds:
        counts["seconds of audio"] = round(manifest.seconds, 3)  # type: ignore[assignment]
    return "\n".join(
        [
            _FRONT.format(kind=manifest.kind) + f"\n# {manifest.kind}\n",
            f"Made by the stage `{stage}` of speechprep. `manifest.json` has every "
            "option, the hashes of all shards and of what they were made from; `rejects/` has what could not be used, "
            "and is no part of the data.\n",
            "```python",
            'rows = datasets.load_dataset("path/to/this/folder", split="train")',
            "```\n",
            _table("## Columns", ("column", "type"), [(f"`{f.name}`", kind(f.type)) for f in schema]),
            _table("## Counts", ("what", "how many"), list((manifest.counters | counts).items())),
            _table("## Licences", ("of the recordings and texts behind the rows",), [(x,) for x in manifest.licences]),
            _table("## How it was made", ("", ""), _origin(manifest)),
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


def _origin(manifest: Manifest) -> list[tuple[str, Any]]:
    of = manifest.made_of
    backend = of.get("backend") or {}
    rows = [("stage", of.get("stage")), ("version", of.get("version")), ("seed", of.get("seed"))]
    rows += [("backend", backend.get("name")), ("made from", ", ".join(sorted(of.get("inputs", {}))) or None)]
    for name, value in sorted((of.get("config") or {}).items()):
        shown = json.dumps(value, sort_keys=True, ensure_ascii=False)
        if value not in (None, {}, []) and "/" not in shown:  # paths of this machine are left out
            rows.append((f"`{name}`", f"`{shown}`"))
    return [(name, value) for name, value in rows if value is not None]


def _table(title: str, head: tuple[str, ...], rows: list[Any]) -> str:
    return table(title, head, rows, cell) if rows else f"{title}\n\nNone.\n"


def table(title: str, head: tuple[str, ...], rows: list[Any], cell: Callable[[Any], str]) -> str:
    """A title and a Markdown table; `cell`: text of a value."""
    lines = [tuple(map(cell, head)), ("---",) * len(head), *(tuple(map(cell, row)) for row in rows)]
    return f"{title}\n\n" + "\n".join("| " + " | ".join(line) + " |" for line in lines) + "\n"


def cell(value: Any) -> str:
    """Text of a cell: numbers with up to three decimals, texts on one line."""
    if isinstance(value, float):
        value = f"{value:.3f}".rstrip("0").rstrip(".")
    return " ".join(str(value).replace("|", "\\|").split())
