"""`speechprep inspect`: content of a dataset, an artifact or a run folder."""

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
ITEMS = 8  # items shown of a list
WIDTH = 100  # characters shown of a value
REJECTS_SHOWN = 5


@app.command(epilog=EXAMPLES)
def inspect(
    folder: opt.Folder,
    *,
    rows: Annotated[int, typer.Option("--rows", metavar="N", min=0, help="Rows of a dataset to show.")] = 1,
    json: opt.Json = False,
) -> None:
    """Show the content of a folder: origin, size, rejects, columns and first rows."""
    from speechprep.artifacts import manifest, storage
    from speechprep.errors import StaleArtifact

    body = manifest.find(folder)
    if body is not None:
        _one(folder, body, rows, as_json=json)
        return
    inside = {name: manifest.find(storage.join(folder, name)) for name in storage.folders(folder)}
    unfinished = [n for n, m in inside.items() if m is None and storage.is_dir(storage.join(folder, n, "_state"))]
    complete = {name: m for name, m in inside.items() if m is not None}
    if not complete and not unfinished:
        raise StaleArtifact(f"{folder} holds no output of speechprep; choose a dataset, an artifact or a run folder")
    _run(folder, complete, unfinished, as_json=json)


def _run(folder: str, complete: dict[str, Manifest], unfinished: list[str], *, as_json: bool) -> None:
    from speechprep.artifacts.datasets import kinds
    from speechprep.pipelines.driver.record import read_record

    record = read_record(folder)
    chain = list(kinds())
    place = {name: chain.index(m.kind) if m.kind in chain else len(chain) for name, m in complete.items()}
    ordered = sorted(complete.items(), key=lambda item: (place[item[0]], _depth(item[1], complete), item[0]))
    unfinished = sorted(unfinished, key=lambda name: (chain.index(name) if name in chain else len(chain), name))
    if as_json:
        datasets = {name: describe(body) for name, body in ordered}
        print_json({"folder": folder, "run": record, "datasets": datasets, "unfinished": unfinished})
        return
    from rich.markup import escape
    from rich.tree import Tree

    title = f"[bold]{escape(folder)}[/]"
    if record:
        times = f"{record.get('started', '')}, {record.get('wall_seconds', 0):.1f} s"
        title += f"  recipe {escape(str(record.get('recipe')))}, {record.get('status')}, {times}"
    tree = Tree(title, guide_style="dim")
    for name, body in ordered:
        inputs = ", ".join(dict.fromkeys(_names(body, complete))) or "input"
        tree.add(f"[bold cyan]{escape(name):<11}[/] [dim]<- {escape(inputs)}[/]  {escape(_amount(body))}")
    for name in unfinished:
        tree.add(f"[bold yellow]{escape(name):<11}[/] incomplete; run the same command again to resume")
    console().print(tree)


def _names(body: Manifest, complete: dict[str, Manifest]) -> list[str]:
    """Names of the folders of the inputs."""
    by_fingerprint = {m.fingerprint: name for name, m in complete.items()}
    return [by_fingerprint.get(p, f"{role} elsewhere") for role, p in body.made_of.get("inputs", {}).items()]


def _depth(body: Manifest, complete: dict[str, Manifest]) -> int:
    """Number of steps from the input to this folder, for the order of the folders."""
    by_fingerprint = {m.fingerprint: m for m in complete.values()}
    inputs = [by_fingerprint[p] for p in body.made_of.get("inputs", {}).values() if p in by_fingerprint]
    return 1 + max((_depth(m, complete) for m in inputs), default=0)


def _amount(body: Manifest) -> str:
    size = sum(s.size for s in body.shards)
    rejected = int(body.counters.get("rejected", 0))
    parts = [
        plural(body.rows, "row") if body.rows else "",
        hours(body.seconds),
        plural(len(body.shards), "shard") if body.rows else plural(len(body.shards), "file"),
        _bytes(size),
        plural(rejected, "reject") if rejected else "",
    ]
    return ", ".join(p for p in parts if p)


def describe(body: Manifest) -> dict[str, Any]:
    """Summary of a manifest for `--json`."""
    return {
        "kind": body.kind,
        "fingerprint": body.fingerprint,
        "content": body.content,
        "rows": body.rows,
        "audio_seconds": body.seconds,
        "shards": len(body.shards),
        "bytes": sum(s.size for s in body.shards),
        "rejects": _reasons(body),
        "counters": body.counters,
        "licences": body.licences,
        "made_of": body.made_of,
        "versions": body.versions,
        "extra": body.extra,
    }


def _reasons(body: Manifest) -> dict[str, int]:
    prefix = "rejected."
    return {n.removeprefix(prefix): int(v) for n, v in body.counters.items() if n.startswith(prefix)}


def _one(folder: str, body: Manifest, rows: int, *, as_json: bool) -> None:
    shown = _first_rows(folder, body, rows)
    schema = _schema(folder, body)
    if as_json:
        summary = {"folder": folder, **describe(body), "rows_shown": [_plain(r, ITEMS) for r in shown]}
        print_json({**summary, "schema": {f.name: str(f.type) for f in schema} if schema is not None else None})
        return
    screen = console()
    screen.print(_summary(folder, body))
    _print_rejects(screen, folder, body)
    if schema is not None:
        columns = table("column", "type")
        for field in schema:
            columns.add_row(field.name, _text(str(field.type)))
        screen.print(columns)
    else:
        files = table("file", "size", right=("size",))
        for shard in body.shards:
            files.add_row(_text(shard.name), _bytes(shard.size))
        screen.print(files)
    for i, row in enumerate(shown):
        values = table(f"row {i}", "")
        for name, value in row.items():
            values.add_row(name, _text(_brief(value)))
        screen.print(values)


def _summary(folder: str, body: Manifest) -> Any:
    from rich.table import Table

    origin = body.made_of
    stage = f"{origin.get('stage')} (version {origin.get('version')})"
    grid = Table.grid(padding=(0, 2))
    backend = origin.get("backend") or {}
    lines = {
        "folder": folder,
        "kind": f"{body.kind}, written by {stage}, seed {origin.get('seed')}",
        "holds": _amount(body),
        "licences": ", ".join(body.licences),
        "fingerprint": body.fingerprint,
        "inputs": ", ".join(f"{role} {p[:8]}" for role, p in origin.get("inputs", {}).items())
        or ", ".join(origin.get("sources", [])),
        "backend": ", ".join(f"{k}={v}" for k, v in backend.items()),
        "options": ", ".join(f"{k}={v}" for k, v in origin.get("config", {}).items()),
        "counters": ", ".join(f"{k} {number(v)}" for k, v in body.counters.items() if not k.startswith("rejected")),
        "facts": ", ".join(f"{k}={_brief(v, 60)}" for k, v in body.extra.items()),
    }
    for name, text in lines.items():
        if text:
            grid.add_row(f"[bold]{name}[/]", _text(text))
    return grid


def _print_rejects(screen: Any, folder: str, body: Manifest) -> None:
    reasons = _reasons(body)
    if not reasons:
        return
    from speechprep.artifacts import shards, storage
    from speechprep.artifacts.run import rejects_folder

    where = rejects_folder(folder)
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


def _parquet(body: Manifest) -> list[str]:
    from speechprep.artifacts import shards

    return shards.shard_names([s.name for s in body.shards])


def _schema(folder: str, body: Manifest) -> Any:
    from speechprep.artifacts import shards, storage

    names = _parquet(body)
    return shards.read_schema(storage.join(folder, names[0])) if names else None


def _first_rows(folder: str, body: Manifest, n: int) -> list[dict[str, Any]]:
    from speechprep.artifacts import shards, storage

    first: list[dict[str, Any]] = []
    for name in _parquet(body):
        if len(first) >= n:
            break
        for batch in shards.read_batches(storage.join(folder, name), rows=max(n, 1)):
            first += batch.to_pylist()
            if len(first) >= n:
                break
    return first[:n]


def _plain(value: Any, items: int) -> Any:
    """JSON values of a row: the length of bytes, and the beginning of lists."""
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
