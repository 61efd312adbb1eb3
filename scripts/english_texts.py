"""Blocks of English text in the project's pages and Python files, with file and line: the input of `english.py`."""

from __future__ import annotations

import ast
import fnmatch
import io
import re
import tokenize
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PYTHON_FOLDERS = ("speechprep", "scripts", "benchmarks", "examples", "tests")
WORD = re.compile(r"[A-Za-z]+(?:['-][A-Za-z]+)*")
# A full stop followed by a space and no lower-case letter (except in the name speechprep); "e.g." and initials do not match.
SENTENCE_END = re.compile(r"(?<![ (.][A-Z])(?<!e\.g)(?<!i\.e)(?<!vs)(?<!Dr)(?<!Mr)[.!?][\"')\]*]*\s+(?=speechprep\b|[^a-z\s])")
INLINE_CODE = re.compile(r"``.+?``|`[^`]+`", re.DOTALL)
IMAGE = re.compile(r"!\[[^\]]*\]\([^)]*\)")
LINK = re.compile(r"\[([^\]]*)\]\([^)\s]*\)")
URL = re.compile(r"https?://\S+")


@dataclass(frozen=True)
class Block:
    """A paragraph, list item, table cell, docstring section or message, with its place."""

    kind: str
    path: str
    line: int
    text: str


def plain(text: str) -> str:
    """Text without markup: inline code is the word CODE, a link is its label; line breaks stay."""
    text = INLINE_CODE.sub(lambda match: "CODE" + "\n" * match[0].count("\n"), text)
    text = LINK.sub(r"\1", IMAGE.sub("", text))
    return URL.sub("", text).replace("**", "").replace("\\|", "|")


def markdown_blocks(kind: str, path: str, source: str) -> Iterator[Block]:
    """Paragraphs, list items, headings and table cells of a page.

    Fenced and indented code, HTML comments and tables between generator marks are left out.
    """
    source = re.sub(
        r"<!-- (?:table|tree):.*?<!-- end -->", lambda match: "\n" * match[0].count("\n"), source, flags=re.S
    )
    fence, in_list, paragraph, start = "", False, [], 0

    def flush() -> Iterator[Block]:
        if paragraph:
            yield Block(kind, path, start, plain("\n".join(paragraph)))
            paragraph.clear()

    for number, line in enumerate(source.splitlines(), 1):
        stripped = line.strip()
        if fence or stripped.startswith(("```", "~~~")):
            yield from flush()
            fence = "" if fence and stripped.startswith(fence) else fence or stripped[:3]
        elif not stripped or stripped.startswith("<!--"):
            yield from flush()
        elif stripped.startswith("|"):
            yield from flush()
            for cell in table_cells(stripped):
                yield Block(kind, path, number, plain(cell))
        elif line.startswith("    ") and not in_list and not paragraph:
            continue
        else:
            item = re.match(r"(?:[-*+]|\d+\.)\s+", stripped)
            if item or stripped.startswith("#"):
                yield from flush()
                stripped = stripped[item.end() :] if item else stripped.lstrip("# ")
                paragraph.append(stripped)
                in_list, start = bool(item), number
                if not item:
                    yield from flush()
                continue
            if not paragraph:
                start = number
                in_list = in_list and line.startswith(" ")
            paragraph.append(stripped)
    yield from flush()


def table_cells(line: str) -> list[str]:
    """Cells of a table row with two words or more outside of code; rules (`---`) have none."""
    cells = re.split(r"(?<!\\)\|", line.strip().strip("|"))
    return [cell.strip() for cell in cells if len(WORD.findall(INLINE_CODE.sub("", cell))) >= 2]


def docstring_blocks(kind: str, path: str, line: int, text: str) -> Iterator[Block]:
    """Paragraphs and items of a docstring or help text; commands, doctests and indented code are left out."""
    paragraph: list[str] = []
    start, code_indent = line, 0
    for number, raw in enumerate([*text.splitlines(), ""], line):
        stripped = raw.strip()
        indent = len(raw) - len(raw.lstrip())
        code_indent = code_indent if not stripped or indent >= code_indent else 0
        example = code_indent or stripped.startswith((">>>", "speechprep ", "python ", "|--", "```", "$ "))
        section = stripped in {"Args:", "Returns:", "Raises:", "Yields:", "Attributes:", "Example:", "Examples:"}
        item = (
            re.match(r"(?:[-*+]|\d+[.)])\s+|\w[\w., ]{0,40}: ", stripped) if indent or stripped[:1] in "-*+" else None
        )
        if (not stripped or example or section or item) and paragraph:
            yield Block(kind, path, start, plain("\n".join(paragraph)))
            paragraph = []
        if stripped.endswith("::"):
            code_indent = indent + 1
        if stripped and not example and not section:
            start = start if paragraph else number
            paragraph.append(stripped)


def message_text(node: ast.expr) -> str | None:
    """Text of a string literal or f-string with X for each value; None for other expressions."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    if isinstance(node, ast.JoinedStr):
        parts = (part.value if isinstance(part, ast.Constant) else "X" for part in node.values)
        return "".join(str(part) for part in parts)
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        left, right = message_text(node.left), message_text(node.right)
        return None if left is None and right is None else (left or "X") + (right or "X")
    return None


def call_name(node: ast.expr) -> str:
    """Last part of a called name: `errors.BadInput.package(...)` gives `BadInput`."""
    names = []
    while isinstance(node, ast.Attribute):
        names.append(node.attr)
        node = node.value
    names.append(node.id if isinstance(node, ast.Name) else "")
    return next((name for name in names if name[:1].isupper()), names[0])


def error_names(root: Path) -> set[str]:
    """Names of the exception classes of `speechprep.errors` and of typer."""
    tree = ast.parse((root / "speechprep/errors.py").read_text())
    classes = {node.name for node in tree.body if isinstance(node, ast.ClassDef)}
    return classes | {
        "BadParameter",
        "UsageError",
        "ClickException",
        "ValueError",
        "TypeError",
        "KeyError",
        "RuntimeError",
    }


class PythonTexts(ast.NodeVisitor):
    """Docstrings, help texts and error messages of one Python file."""

    def __init__(self, path: str, errors: set[str]) -> None:
        self.path = path
        self.errors = errors
        self.blocks: list[Block] = []
        self.is_package = path.startswith("speechprep/")
        self.is_cli = path.startswith("speechprep/cli/")

    def add(self, kind: str, node: ast.expr, text: str | None) -> None:
        """Append the paragraphs of a text."""
        if text:
            self.blocks += docstring_blocks(kind, self.path, node.lineno, text)

    def docstring(self, node: ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) -> None:
        """Append a docstring; the docstring of a typer command is its help."""
        text = ast.get_docstring(node, clean=True)
        if text:
            decorators = {call_name(d.func) for d in getattr(node, "decorator_list", []) if isinstance(d, ast.Call)}
            first = node.body[0]
            assert isinstance(first, ast.Expr)
            self.add("help" if decorators & {"command", "callback"} else "docstrings", first.value, text)
        self.generic_visit(node)

    visit_Module = visit_ClassDef = visit_FunctionDef = visit_AsyncFunctionDef = docstring  # noqa: N815

    def visit_Call(self, node: ast.Call) -> None:
        """Descriptions of options, help of commands, and messages of exceptions."""
        name = call_name(node.func)
        if self.is_package:
            for keyword in node.keywords:
                if keyword.arg in {"help", "description", "epilog", "short_help"}:
                    self.add("help", keyword.value, message_text(keyword.value))
            if name in self.errors:
                for argument in node.args:
                    text = message_text(argument)
                    if text and " " in text:
                        self.add("errors", argument, text)
        self.generic_visit(node)

    def visit_Assign(self, node: ast.Assign | ast.AnnAssign) -> None:
        """Tables of help texts of the command line: upper-case names with text of three words or more."""
        targets = node.targets if isinstance(node, ast.Assign) else [node.target]
        if self.is_cli and node.value and all(isinstance(t, ast.Name) and t.id.strip("_").isupper() for t in targets):
            for part in ast.walk(node.value):
                if isinstance(part, ast.Constant) and len(str(part.value).split()) >= 3:
                    self.add("help", part, message_text(part))
        self.generic_visit(node)

    visit_AnnAssign = visit_Assign  # noqa: N815


DIRECTIVE = re.compile(r"#\s*(?:noqa|type:|fmt:|pragma|ruff:|mypy:|!|-+$|=+$)|#\s*-\*-")


def comment_blocks(path: str, source: str) -> Iterator[Block]:
    """Comments of a Python or YAML file; lines of one comment that follow each other are one block."""
    if path.endswith(".py"):
        tokens = tokenize.generate_tokens(io.StringIO(source).readline)
        comments = [(t.start[0], t.string, t.line.strip() == t.string) for t in tokens if t.type == tokenize.COMMENT]
    else:
        matches = ((n, re.search(r"(?:^|\s)(#.*)$", line)) for n, line in enumerate(source.splitlines(), 1))
        comments = [(n, match[1], match.string.strip() == match[1]) for n, match in matches if match]
    block: list[str] = []
    start, last, last_alone = 0, -1, False
    for line, text, alone in comments:
        if DIRECTIVE.match(text):
            continue
        if block and not (alone and last_alone and line == last + 1):
            yield Block("comments", path, start, plain("\n".join(block)))
            block = []
        start = start if block else line
        block.append(text.lstrip("# "))
        last, last_alone = line, alone
    if block:
        yield Block("comments", path, start, plain("\n".join(block)))


def selected(path: str, only: Iterable[str]) -> bool:
    """True if the path lies in one of the folders, is one of the files, or matches one of the globs."""
    patterns = [pattern.rstrip("/").removeprefix("./") for pattern in only]
    return not patterns or any(path == p or path.startswith(p + "/") or fnmatch.fnmatch(path, p) for p in patterns)


def scan(only: Iterable[str] = (), root: Path = ROOT) -> list[Block]:
    """All blocks of text of the project, or of the selected paths (relative to the project's root)."""
    only = list(only)
    errors = error_names(root)
    pages = [("readme", root / "README.md"), ("changelog", root / "CHANGELOG.md"), ("docs", root / "CONTRIBUTING.md")]
    pages += [("docs", path) for path in sorted((root / "docs").rglob("*.md"))]
    blocks: list[Block] = []
    for kind, page in pages:
        path = page.relative_to(root).as_posix()
        if page.exists() and selected(path, only):
            blocks += markdown_blocks(kind, path, page.read_text())
    for folder in (*PYTHON_FOLDERS, "docs"):
        for file in sorted((root / folder).rglob("*.*")):
            path = file.relative_to(root).as_posix()
            if file.suffix not in {".py", ".yaml"} or path.startswith("scripts/english") or not selected(path, only):
                continue
            source = file.read_text()
            blocks += comment_blocks(path, source)
            if file.suffix == ".py":
                texts = PythonTexts(path, errors)
                texts.visit(ast.parse(source))
                blocks += texts.blocks
    return blocks
