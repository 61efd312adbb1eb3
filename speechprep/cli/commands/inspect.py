"""`speechprep inspect`: what a dataset, an artifact or a run folder holds."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from speechprep.cli import options as opt
from speechprep.cli.output import console, hours, number, plural, print_json, table

if TYPE_CHECKING:
    from speechprep.artifacts.manifest import Manifest

app = typer.Typer(rich_markup_mode=None, add_completion=False)

EXAMPLES = """\b
Examples:
  speechprep inspect out
  speechprep inspect out/words --rows 2
  speechprep inspect out/codebook --json"""
ITEMS = 8  # members of a list shown
WIDTH = 100  # characters of a value shown
REJECTS_SHOWN = 5


@app.command(epilog=EXAMPLES)
def inspect(
    folder: opt.Folder,
    *,
    rows: Annotated[int, typer.Option("--rows", metavar="N", min=0, help="Rows of a dataset to show.")] = 1,
    json: opt.Json = False,
) -> None:
    """Say what a folder holds: where it comes from, how much, what was rejected, its columns and first rows."""
    from speechprep.artifacts import manifest, storage
    from speechprep.errors import StaleArtifact

    known = manifest.find(folder)
    if known is not None:
        _one(folder, known, rows, as_json=json)
        return
    inside = {name: manifest.find(storage.join(folder, name)) for name in storage.folders(folder)}
    unfinished = [n for n, m in inside.items() if m is None and storage.is_dir(storage.join(folder, n, "_state"))]
    found = {name: m for name, m in inside.items() if m is not None}
    if not found and not unfinished:
        raise StaleArtifact(f"{folder}: nothing of speechprep is here; give a dataset, an artifact or a run folder")
    _run(folder, found, unfinished, as_json=json)


def _run(folder: str, found: dict[str, Manifest], unfinished: list[str], *, as_json: bool) -> None:
    from speechprep.artifacts.datasets import kinds
    from speechprep.pipelines.driver.record import read_record

    record = read_record(folder)
    chain = list(kinds())
    place = {name: chain.index(m.kind) if m.kind in chain else len(chain) for name, m in found.items()}
    ordered = sorted(found.items(), key=lambda item: (place[item[0]], _depth(item[1], found), item[0]))
    unfinished = sorted(unfinished, key=lambda name: (chain.index(name) if name in chain else len(chain), name))
    if as_json:
        datasets = {name: describe(known) for name, known in ordered}
        print_json({"folder": folder, "run": record, "datasets": datasets, "unfinished": unfinished})
        return
    from rich.markup import escape
    from rich.tree import Tree

    title = f"[bold]{escape(folder)}[/]"
    if record:
        times = f"{record.get('started', '')}, {record.get('wall_seconds', 0):.1f} s"
        title += f"  recipe {escape(str(record.get('recipe')))}, {record.get('status')}, {times}"
    tree = Tree(title, guide_style="dim")
    for name, known in ordered:
        inputs = ", ".join(dict.fromkeys(_names(known, found))) or "input"
        tree.add(f"[bold cyan]{escape(name):<11}[/] [dim]<- {escape(inputs)}[/]  {escape(_amount(known))}")
    for name in unfinished:
        tree.add(f"[bold yellow]{escape(name):<11}[/] not finished: the same run again goes on")
    console().print(tree)


def _names(known: Manifest, found: dict[str, Manifest]) -> list[str]:
    by_print = {m.fingerprint: name for name, m in found.items()}
    return [by_print.get(p, f"{role} elsewhere") for role, p in known.made_of.get("inputs", {}).items()]


def _depth(known: Manifest, found: dict[str, Manifest]) -> int:
    by_print = {m.fingerprint: m for m in found.values()}
    above = [by_print[p] for p in known.made_of.get("inputs", {}).values() if p in by_print]
    return 1 + max((_depth(m, found) for m in above), default=0)


def _amount(known: Manifest) -> str:
    size = sum(s.size for s in known.shards)
    rejected = int(known.counters.get("rejected", 0))
    parts = [
        plural(known.rows, "row") if known.rows else "",
        hours(known.seconds),
        plural(len(known.shards), "shard") if known.rows else plural(len(known.shards), "file"),
        _bytes(size),
        plural(rejected, "reject") if rejected else "",
    ]
    return ", ".join(p for p in parts if p)


def describe(known: Manifest) -> dict[str, Any]:
    """A manifest's summary for `--json`."""
    return {
        "kind": known.kind,
        "fingerprint": known.fingerprint,
        "content": known.content,
        "rows": known.rows,
        "audio_seconds": known.seconds,
        "shards": len(known.shards),
        "bytes": sum(s.size for s in known.shards),
        "rejects": _reasons(known),
        "counters": known.counters,
        "licences": known.licences,
        "made_of": known.made_of,
        "versions": known.versions,
        "extra": known.extra,
    }


def _reasons(known: Manifest) -> dict[str, int]:
    prefix = "rejected."
    return {n.removeprefix(prefix): int(v) for n, v in known.counters.items() if n.startswith(prefix)}


def _one(folder: str, known: Manifest, rows: int, *, as_json: bool) -> None:
    shown = _first_rows(folder, known, rows)
    schema = _schema(folder, known)
    if as_json:
        body = {"folder": folder, **describe(known), "rows_shown": [_plain(r, ITEMS) for r in shown]}
        print_json({**body, "schema": {f.name: str(f.type) for f in schema} if schema is not None else None})
        return
    screen = console()
    screen.print(_summary(folder, known))
    _print_rejects(screen, folder, known)
    if schema is not None:
        columns = table("column", "type")
        for field in schema:
            columns.add_row(field.name, _text(str(field.type)))
        screen.print(columns)
    else:
        files = table("file", "size", right=("size",))
        for shard in known.shards:
            files.add_row(_text(shard.name), _bytes(shard.size))
        screen.print(files)
    for i, row in enumerate(shown):
        values = table(f"row {i}", "")
        for name, value in row.items():
            values.add_row(name, _text(_brief(value)))
        screen.print(values)


def _summary(folder: str, known: Manifest) -> Any:
    from rich.table import Table

    made = known.made_of
    grid = Table.grid(padding=(0, 2))
    backend = made.get("backend") or {}
    lines = {
        "folder": folder,
        "kind": f"{known.kind}, made by {made.get('stage')} (version {made.get('version')}), seed {made.get('seed')}",
        "holds": _amount(known),
        "licences": ", ".join(known.licences),
        "fingerprint": known.fingerprint,
        "inputs": ", ".join(f"{role} {p[:8]}" for role, p in made.get("inputs", {}).items())
        or ", ".join(made.get("sources", [])),
        "backend": ", ".join(f"{k}={v}" for k, v in backend.items()),
        "options": ", ".join(f"{k}={v}" for k, v in made.get("config", {}).items()),
        "counters": ", ".join(f"{k} {number(v)}" for k, v in known.counters.items() if not k.startswith("rejected")),
        "facts": ", ".join(f"{k}={_brief(v, 60)}" for k, v in known.extra.items()),
    }
    for name, text in lines.items():
        if text:
            grid.add_row(f"[bold]{name}[/]", _text(text))
    return grid


def _print_rejects(screen: Any, folder: str, known: Manifest) -> None:
    reasons = _reasons(known)
    if not reasons:
        return
    from speechprep.artifacts import shards, storage

    where = storage.join(folder, "rejects")
    examples = table("rejected", "code", "id", "message", right=("rejected",))
    first: dict[str, tuple[str, str]] = {}
    for name in shards.shard_names(list(storage.sizes(where))):
        for batch in shards.read_batches(storage.join(where, name), ["id", "code", "message"]):
            for row in batch.to_pylist():
                first.setdefault(row["code"], (row["id"], row["message"]))
        if len(first) == len(reasons):
            break
    for code, count in sorted(reasons.items(), key=lambda item: (-item[1], item[0])):
        id, message = first.get(code, ("", ""))
        examples.add_row(number(count), code, _text(id), _text(message))
    screen.print(examples)


def _parquet(known: Manifest) -> list[str]:
    from speechprep.artifacts import shards

    return shards.shard_names([s.name for s in known.shards])


def _schema(folder: str, known: Manifest) -> Any:
    from speechprep.artifacts import shards, storage

    names = _parquet(known)
    return shards.read_schema(storage.join(folder, names[0])) if names else None


def _first_rows(folder: str, known: Manifest, n: int) -> list[dict[str, Any]]:
    from speechprep.artifacts import shards, storage

    found: list[dict[str, Any]] = []
    for name in _parquet(known):
        if len(found) >= n:
            break
        for batch in shards.read_batches(storage.join(folder, name), rows=max(n, 1)):
            found += batch.to_pylist()
            if len(found) >= n:
                break
    return found[:n]


def _plain(value: Any, items: int) -> Any:
    """JSON values of a row: bytes become their length, lists their beginning."""
    if isinstance(value, bytes):
        return f"<{_bytes(len(value))}>"
    if isinstance(value, dict):
        return {k: _plain(v, items) for k, v in value.items()}
    if isinstance(value, list):
        return [_plain(v, items) for v in value[:items]] + ([f"... {len(value)} in all"] if len(value) > items else [])
    if isinstance(value, float) and value != value:
        return None
    return value


def _brief(value: Any, width: int = WIDTH) -> str:
    if isinstance(value, list | tuple):
        inner = ", ".join(_brief(v, width) for v in value[:ITEMS])
        return f"[{inner}{', ...' if len(value) > ITEMS else ''}]" + (
            f" {len(value)} in all" if len(value) > ITEMS else ""
        )
    if isinstance(value, dict):
        return "{" + ", ".join(f"{k} {_brief(v, 30)}" for k, v in value.items()) + "}"
    if isinstance(value, bytes):
        return f"<{_bytes(len(value))}>"
    if isinstance(value, float):
        return f"{value:.6g}"
    text = "" if value is None else str(value)
    return text if len(text) <= width else text[: width - 3] + "..."


def _text(value: str) -> Any:
    from rich.text import Text

    return Text(value)


def _bytes(n: int) -> str:
    value = float(n)
    for unit in ("bytes", "kB", "MB", "GB"):
        if value < 1000:
            return f"{value:.0f} {unit}" if unit == "bytes" or value >= 100 else f"{value:.1f} {unit}"
        value /= 1000
    return f"{value:.1f} TB"
