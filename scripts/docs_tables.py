"""Keeps the tables of options (docs/stages.md) and columns (docs/data-model.md) true, from the code.

python scripts/docs_tables.py          # rewrite the tables
python scripts/docs_tables.py --check  # exit 1 where one is out of date
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

import pyarrow as pa

from speechprep.artifacts.datasets import KINDS
from speechprep.artifacts.schemas import REJECTS
from speechprep.pipelines.engine.stage import find_stage
from speechprep.registry import FAMILIES

DOCS = Path(__file__).resolve().parents[1] / "docs"


def schemas_of_datasets() -> dict[str, pa.Schema]:
    """Dataset -> its schema, and the schema of rejects."""
    tables = {kind.name: kind.schema_of(kind.example or {}) for kind in KINDS}
    return {**{name: schema for name, schema in tables.items() if schema is not None}, "rejects": REJECTS}


def options(name: str) -> str:
    """Table of a stage's options with defaults and meanings."""
    rows = ["| option | default | meaning |", "|---|---|---|"]
    for option, field in find_stage(name).config.model_fields.items():
        value = field.get_default(call_default_factory=True)
        default = f"`{json.dumps(value, default=str, ensure_ascii=False)}`" if not field.is_required() else "required"
        meaning = (field.description or "").replace("\n", " ").replace("|", "\\|")
        rows.append(f"| `{option}` | {default} | {meaning} |")
    return "\n".join(rows)


def flow(name: str) -> str:
    """What a stage reads and writes."""
    stage = find_stage(name)
    reads = [f"`{read.kind}`" + (" (optional)" if read.optional else "") for read in stage.reads]
    return f"reads {', '.join(reads) or 'your files'}; writes `{stage.writes}`"


def columns() -> str:
    """One line for each dataset."""
    rows = ["| dataset | columns |", "|---|---|"]
    for name, schema in schemas_of_datasets().items():
        rows.append(f"| {name} | {', '.join(f'`{field.name}` {kind(field.type)}' for field in schema)} |")
    return "\n".join(rows)


def kind(type_: pa.DataType) -> str:
    """A column's type, short."""
    if pa.types.is_struct(type_):
        return "{" + ", ".join(type_.field(i).name for i in range(type_.num_fields)) + "}"
    if pa.types.is_list(type_) or pa.types.is_fixed_size_list(type_):
        return f"list of {kind(type_.value_type)}"
    return str(type_)


def fill(text: str) -> str:
    """Replace what stands between `<!-- table: X -->` and `<!-- end -->`."""

    def table(match: re.Match[str]) -> str:
        what = match[1]
        body = columns() if what == "columns" else f"{flow(what)}\n\n{options(what)}"
        return f"<!-- table: {what} -->\n{body}\n<!-- end -->"

    return re.sub(r"<!-- table: (\w+) -->.*?<!-- end -->", table, text, flags=re.DOTALL)


def main() -> int:
    """Rewrite or check."""
    stale = 0
    for page in (DOCS / "stages.md", DOCS / "data-model.md"):
        text = page.read_text()
        stale += fill(text) != text
        if "--check" not in sys.argv:
            page.write_text(fill(text))
    missing = [name for name in FAMILIES["stages"] if f"<!-- table: {name} -->" not in (DOCS / "stages.md").read_text()]
    if missing:
        print(f"docs/stages.md has no table for: {', '.join(missing)}")
    return int("--check" in sys.argv and bool(stale)) or int(bool(missing))


if __name__ == "__main__":
    sys.exit(main())
