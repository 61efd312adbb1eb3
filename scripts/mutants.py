"""Candidate mutations of the package: small changes of one syntax node each, found with exact source positions.

A room is a folder of the package with Python files. Rooms are read from the tree, so no list has to follow a move.
Excluded are docstrings, annotations, imports, decorators, messages (raise, assert, f-strings, help texts),
type aliases, `__slots__` and `__all__`, and sizes of work units (BLOCK, CHUNK, ...): by rule they change no result.
"""

from __future__ import annotations

import ast
import random
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from mutation_operators import LOGGING, OPERATORS, PACKAGE, Mutation, Source, name_of

EXCLUDED_ROOMS = ("demo", "recipes")
PER_ROOM = 4  # mutations in each room, or all of its candidates if there are fewer

UNTESTED_OPTIONS = {"help", "description", "show_default", "hidden", "metavar", "rich_help_panel", "title", "strict"}
UNTESTED_OPTIONS |= {"maxsize", "frozen", "slots", "stacklevel", "encoding", "daemon", "indent", "sort_keys"}
WORK_UNIT = re.compile(r"BLOCK|CHUNK|BATCH|CACHE|POOL|BUFFER|BYTES")
TYPING_CALLS = {"TypeVar", "ParamSpec", "NewType", "NamedTuple", "TypedDict"}


def is_type_checking(node: ast.AST) -> bool:
    """True for `if TYPE_CHECKING:`."""
    return isinstance(node, ast.If) and name_of(node.test) == "TYPE_CHECKING"


def is_untested_statement(node: ast.AST) -> bool:
    """True for statements without a testable value: see the module's text."""
    if isinstance(node, ast.Import | ast.ImportFrom | ast.Raise | ast.Assert | ast.Global | ast.Nonlocal):
        return True
    if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
        return True
    if isinstance(node, ast.Expr) and isinstance(node.value, ast.Call) and name_of(node.value.func) in LOGGING:
        return True
    if isinstance(node, ast.FunctionDef) and node.name in ("__repr__", "__str__"):
        return True
    if isinstance(node, ast.Assign | ast.AnnAssign):
        targets = node.targets if isinstance(node, ast.Assign) else [node.target]
        names = [getattr(target, "id", "") for target in targets]
        if any(name.startswith("__") or (name.isupper() and WORK_UNIT.search(name)) for name in names):
            return True
        return isinstance(node.value, ast.Call) and name_of(node.value.func) in TYPING_CALLS
    return is_type_checking(node)


def testable_children(node: ast.AST, *, top: bool) -> Iterator[ast.AST]:
    """Children of a node that may be changed."""
    for field, value in ast.iter_fields(node):
        if field in ("annotation", "returns", "decorator_list", "bases", "type_params"):
            continue
        if top and isinstance(node, ast.Assign) and isinstance(value, ast.Subscript | ast.BinOp) and is_alias(value):
            continue
        for child in value if isinstance(value, list) else [value]:
            if isinstance(child, ast.keyword) and child.arg in UNTESTED_OPTIONS:
                continue
            if isinstance(child, ast.AST) and not isinstance(child, ast.JoinedStr):
                yield child


def is_alias(value: ast.expr) -> bool:
    """True for the value of a type alias: a subscript of a type, or a union."""
    if isinstance(value, ast.Subscript):
        return True
    return isinstance(value, ast.BinOp) and isinstance(value.op, ast.BitOr)


def candidates(source: Source) -> list[Mutation]:
    """All mutations of a module, in the order of the source."""
    mutations: list[Mutation] = []

    def visit(node: ast.AST, *, top: bool) -> None:
        if is_untested_statement(node):
            return
        for operator in OPERATORS:
            mutations.extend(operator(source, node))
        inside = isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)
        for child in testable_children(node, top=top):
            visit(child, top=top and not inside)

    visit(source.tree, top=True)
    return sorted(set(mutations))


@cache
def rooms(root: Path) -> dict[str, list[Mutation]]:
    """Candidates by room; rooms without any are left out. The files are read once."""
    by_room: dict[str, list[Mutation]] = {}
    for path in sorted((root / PACKAGE).rglob("*.py")):
        relative = path.relative_to(root)
        if not set(relative.parts[1:-1]) & set(EXCLUDED_ROOMS):
            for mutation in candidates(Source(relative.as_posix(), path.read_bytes())):
                by_room.setdefault(mutation.room, []).append(mutation)
    return dict(sorted(by_room.items()))


def changes_the_program(root: Path, mutation: Mutation) -> bool:
    """True if the changed module compiles to another syntax tree."""
    data = (root / mutation.path).read_bytes()
    try:
        return ast.dump(ast.parse(mutation.applied(data))) != ast.dump(ast.parse(data))
    except SyntaxError:
        return False


def draw(root: Path, n: int, seed: int, only: tuple[str, ...] = ()) -> list[Mutation]:
    """`n` mutations by a seed: `PER_ROOM` in each room, then from all rooms by their size; more if the rooms need it.

    Within a room the operator is drawn first, so that rare operators have their share.
    """
    left = {room: list(sites) for room, sites in rooms(root).items() if not only or room in only}
    order = random.Random(seed)
    drawn: list[Mutation] = []

    def take(room: str) -> None:
        while left[room]:
            kinds = sorted({site.operator for site in left[room]})
            kind = order.choice(kinds)
            site = order.choice([site for site in left[room] if site.operator == kind])
            left[room].remove(site)
            if changes_the_program(root, site):
                drawn.append(site)
                return

    for room in left:
        for _ in range(PER_ROOM):
            take(room)
    while len(drawn) < n and any(left.values()):
        names = list(left)
        take(order.choices(names, [len(left[name]) for name in names])[0])
    return sorted(drawn)
