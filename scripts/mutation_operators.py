"""Operators of mutation tests: each yields the changes of one syntax node, with exact positions in the source."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

PACKAGE = "speechprep"

COMPARISONS: dict[type[ast.cmpop], tuple[str, str]] = {
    ast.Lt: ("<", "<="),
    ast.LtE: ("<=", "<"),
    ast.Gt: (">", ">="),
    ast.GtE: (">=", ">"),
    ast.Eq: ("==", "!="),
    ast.NotEq: ("!=", "=="),
    ast.Is: ("is", "is not"),
    ast.IsNot: ("is not", "is"),
    ast.In: ("in", "not in"),
    ast.NotIn: ("not in", "in"),
}
ARITHMETIC: dict[type[ast.operator], tuple[str, str]] = {
    ast.Add: ("+", "-"),
    ast.Sub: ("-", "+"),
    ast.Mult: ("*", "/"),
    ast.Div: ("/", "*"),
    ast.FloorDiv: ("//", "/"),
    ast.LShift: ("<<", ">>"),
    ast.RShift: (">>", "<<"),
    ast.BitAnd: ("&", "|"),
}
COUNTERPARTS = {"min": "max", "max": "min", "any": "all", "all": "any", "floor": "ceil", "ceil": "floor"}
COUNTERPARTS |= {"minimum": "maximum", "maximum": "minimum", "argmin": "argmax", "argmax": "argmin"}
SYMMETRIC = {*COUNTERPARTS, "gcd", "lcm", "array_equal", "isclose", "allclose", "logical_and", "logical_or"}
SYMMETRIC |= {"isinstance"}
# Without these a value is often as good for what follows.
CONVERSIONS = {"int", "float", "bool", "str", "list", "tuple", "dict", "set", "iter", "cast", "asarray", "Path", "repr"}
CONVERSIONS |= {"ascontiguousarray", "frozenset", "len", "type", "super", "vars", "memoryview", "bytes", "copy"}
CONVERSIONS |= {"tolist", "astype", "item", "as_py", "to_pylist", "items", "keys", "values", "encode", "resolve"}
CONVERSIONS |= {"flush", "close", "uint8", "uint16", "uint32", "uint64", "int8", "int16", "int32", "int64", "float32"}
LOGGING = {"print", "echo", "warn", "warning", "info", "debug", "log", "secho"}


@dataclass(frozen=True, order=True)
class Mutation:
    """A change of bytes [start, stop) of a file.

    Attributes:
        path: of the file, relative to the root of the repository.
        line, column: where the node starts; lines count from 1, columns from 0 in bytes, as in `ast`.
        operator: kind of the change.
        before, after: the text of the node.
    """

    path: str
    start: int
    stop: int
    operator: str
    after: str
    before: str
    line: int
    column: int

    @property
    def room(self) -> str:
        """Folder of the module within the package; "." is the package's own folder."""
        parent = Path(self.path).parent.relative_to(PACKAGE)
        return parent.as_posix()

    def applied(self, source: bytes) -> bytes:
        """The source with this change."""
        return source[: self.start] + self.after.encode() + source[self.stop :]

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {**asdict(self), "room": self.room}


class Source:
    """A module's bytes and the positions of its nodes."""

    def __init__(self, path: str, data: bytes) -> None:
        self.path, self.data = path, data
        self.tree = ast.parse(data)
        imports = [node for node in ast.walk(self.tree) if isinstance(node, ast.Import | ast.ImportFrom)]
        self.imported = {alias.asname or alias.name for node in imports for alias in node.names}
        self.statements: set[ast.Call] = set()  # calls whose value is not used
        self._lines = [0]
        for line in data.splitlines(keepends=True):
            self._lines.append(self._lines[-1] + len(line))

    def start(self, node: Any) -> int:
        """Offset of the first byte of a node."""
        return self._lines[node.lineno - 1] + int(node.col_offset)

    def stop(self, node: Any) -> int:
        """Offset after the last byte of a node."""
        return self._lines[node.end_lineno - 1] + int(node.end_col_offset)

    def text(self, node: Any) -> str:
        """Source of a node."""
        return self.data[self.start(node) : self.stop(node)].decode()

    def change(self, operator: str, node: Any, after: str) -> Mutation:
        """A node replaced by another text."""
        span = self.start(node), self.stop(node)
        return Mutation(self.path, *span, operator, after, self.text(node), node.lineno, node.col_offset)

    def between(self, operator: str, node: Any, left: Any, right: Any, token: str, other: str) -> Iterator[Mutation]:
        """The token between two children of a node replaced; nothing if the text between them holds more than it."""
        first, last = self.stop(left), self.start(right)
        gap = self.data[first:last].decode()
        if re.sub(r"[\s()\\]", "", gap) == token.replace(" ", ""):
            gap = re.sub(re.escape(token).replace(r"\ ", r"\s+"), lambda _: other, gap, count=1)
            head, tail = self.data[self.start(node) : first].decode(), self.data[last : self.stop(node)].decode()
            yield self.change(operator, node, head + gap + tail)


def name_of(function: ast.expr) -> str:
    """Last part of the name of a function that is called."""
    return function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")


def compare(source: Source, node: ast.AST) -> Iterator[Mutation]:
    """`<` for `<=`, `==` for `!=`, `in` for `not in`, ..."""
    if isinstance(node, ast.Compare):
        for left, op, right in zip([node.left, *node.comparators], node.ops, node.comparators, strict=False):
            yield from source.between("comparison", node, left, right, *COMPARISONS[type(op)])


def is_text(node: ast.expr) -> bool:
    """True for literals that `+` joins."""
    literal = isinstance(node, ast.Constant) and isinstance(node.value, str | bytes)
    return literal or isinstance(node, ast.JoinedStr | ast.List | ast.Tuple)


def arithmetic(source: Source, node: ast.AST) -> Iterator[Mutation]:
    """`+` for `-`, `*` for `/`, ...; joins of texts and lists are left out."""
    if isinstance(node, ast.BinOp) and type(node.op) in ARITHMETIC and not is_text(node.left) | is_text(node.right):
        yield from source.between("arithmetic", node, node.left, node.right, *ARITHMETIC[type(node.op)])


def constant(source: Source, node: ast.AST) -> Iterator[Mutation]:
    """Another number, or the other boolean."""
    if isinstance(node, ast.Constant) and isinstance(node.value, bool | int | float):
        if isinstance(node.value, bool):
            after = str(not node.value)
        elif isinstance(node.value, int):
            after = str(node.value + 1)
        else:
            after = repr(node.value * 2 if node.value else 1.0)
        yield source.change("constant", node, after)


def negate(source: Source, node: ast.AST) -> Iterator[Mutation]:
    """A condition negated, `and` for `or`, a `not` removed."""
    if isinstance(node, ast.If | ast.While | ast.IfExp):
        yield source.change("condition negated", node.test, f"(not ({source.text(node.test)}))")
    if isinstance(node, ast.comprehension):
        for test in node.ifs:
            yield source.change("condition negated", test, f"(not ({source.text(test)}))")
    if isinstance(node, ast.BoolOp) and len(node.values) == 2:
        words = ("and", "or") if isinstance(node.op, ast.And) else ("or", "and")
        yield from source.between("boolean operator", node, *node.values, *words)
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
        yield source.change("not removed", node, f"({source.text(node.operand)})")


def root_of(node: ast.expr) -> str:
    """First name of `a.b.c`; empty for other expressions."""
    while isinstance(node, ast.Attribute):
        node = node.value
    return node.id if isinstance(node, ast.Name) else ""


def passed_through(source: Source, node: ast.Call) -> ast.expr | None:
    """The object of a method, or the only argument of a function: what is left if the call is dropped."""
    receiver = node.func.value if isinstance(node.func, ast.Attribute) else None
    if receiver is not None and root_of(receiver) not in {*source.imported, "self", "cls"}:
        return receiver
    return node.args[0] if len(node.args) == 1 and not node.keywords else None


def call(source: Source, node: ast.AST) -> Iterator[Mutation]:
    """A call dropped, its first two arguments swapped, or `min` for `max`."""
    if isinstance(node, ast.Expr) and isinstance(node.value, ast.Call) and name_of(node.value.func) not in LOGGING:
        source.statements.add(node.value)
        yield source.change("call dropped", node, "pass")
    if not isinstance(node, ast.Call):
        return
    name, args = name_of(node.func), node.args
    plain = not any(isinstance(arg, ast.Starred | ast.GeneratorExp) for arg in args)
    kept = None if node in source.statements else passed_through(source, node)
    if plain and kept is not None and name not in CONVERSIONS | LOGGING and name[:1].islower():
        yield source.change("call dropped", node, f"({source.text(kept)})")
    if len(args) >= 2 and plain and name not in SYMMETRIC and ast.dump(args[0]) != ast.dump(args[1]):
        gap = source.data[source.stop(args[0]) : source.start(args[1])].decode()
        head = source.data[source.start(node) : source.start(args[0])].decode()
        tail = source.data[source.stop(args[1]) : source.stop(node)].decode()
        swapped = head + source.text(args[1]) + gap + source.text(args[0]) + tail
        yield source.change("arguments swapped", node, swapped)
    if name in COUNTERPARTS:
        old = source.text(node.func)
        yield source.change("function swapped", node.func, old[: len(old) - len(name)] + COUNTERPARTS[name])


def off_by_one(source: Source, node: ast.AST) -> Iterator[Mutation]:
    """A bound of a slice or of `range` moved by one."""
    bounds: list[ast.expr | None] = []
    if isinstance(node, ast.Slice):
        bounds = [node.lower, node.upper]
    if isinstance(node, ast.Call) and name_of(node.func) in ("range", "arange", "islice"):
        bounds = list(node.args)
    for bound in bounds:
        if bound is not None and not isinstance(bound, ast.Constant | ast.Starred):
            yield source.change("off by one", bound, f"({source.text(bound)} + 1)")


def returned(source: Source, node: ast.AST) -> Iterator[Mutation]:
    """None instead of the value; a value with a message is left alone."""
    if isinstance(node, ast.Return) and node.value is not None and ast.unparse(node.value) != "None":
        if any(isinstance(part, ast.JoinedStr) for part in ast.walk(node.value)):
            return
        yield source.change("returns None", node.value, "None")


OPERATORS = (compare, arithmetic, constant, negate, call, off_by_one, returned)
