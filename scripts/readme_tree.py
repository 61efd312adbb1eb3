"""Keeps the tree in README.md true: one line a file, from the first line of each module's docstring.

python scripts/readme_tree.py          # rewrite the section
python scripts/readme_tree.py --check  # exit 1 where it is out of date
"""

from __future__ import annotations

import ast
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
BEGIN, END = "<!-- tree: made by scripts/readme_tree.py -->", "<!-- end of tree -->"
FOLDERS = ("speechprep", "examples", "benchmarks", "scripts")
OTHERS = {
    "speechprep/recipes": "runs, as data",
    "speechprep/demo": "the corpus that `speechprep demo` works on",
    "tests": "mirrors the package; `tests/known_issues/` one file for each fixed bug",
    "docs": "why, data model, stages, backends, runners, reproducibility; `decisions/` one page each",
}


def purpose(path: Path) -> str:
    """First sentence of a file's docstring or leading comment."""
    if path.suffix == ".py":
        text = ast.get_docstring(ast.parse(path.read_text())) or ""
    else:
        text = next(
            (
                line.removeprefix("description:").strip(" '\"")
                for line in path.read_text().splitlines()
                if line.startswith("description:")
            ),
            "",
        )
    return text.split("\n\n")[0].replace("\n", " ").split(". ")[0].rstrip(".")


def lines(folder: Path, depth: int) -> list[str]:
    """The tree below a folder."""
    found = []
    entries = sorted(p for p in folder.iterdir() if p.name != "__pycache__" and not p.name.startswith("."))
    files = [p for p in entries if p.is_file() and p.suffix in (".py", ".yaml") and p.name != "__init__.py"]
    found += [f"{'  ' * depth}{path.name:<{28 - 2 * depth}} {purpose(path)}" for path in files]
    for path in [p for p in entries if p.is_dir()]:
        inner = lines(path, depth + 1)
        if inner or str(path.relative_to(ROOT)) in OTHERS:
            found.append(f"{'  ' * depth}{path.name + '/':<{28 - 2 * depth}} {about(path)}".rstrip())
            found += inner
    return found


def about(folder: Path) -> str:
    """What a folder is for: the first sentence of its package."""
    known = OTHERS.get(folder.relative_to(ROOT).as_posix())
    init = folder / "__init__.py"
    return known or (purpose(init) if init.exists() else "")


def tree() -> str:
    """The whole section."""
    body = []
    for name in FOLDERS:
        body += [f"{name + '/':<30} {about(ROOT / name)}".rstrip(), *lines(ROOT / name, 1)]
    body += [f"{name + '/':<30} {text}" for name, text in OTHERS.items() if "/" not in name]
    return "\n".join([BEGIN, "```", *body, "```", END])


def main() -> int:
    """Rewrite or check."""
    readme = ROOT / "README.md"
    text = readme.read_text()
    head, _, rest = text.partition(BEGIN)
    wanted = head + tree() + rest.partition(END)[2]
    if "--check" in sys.argv:
        return int(wanted != text)
    readme.write_text(wanted)
    return 0


if __name__ == "__main__":
    sys.exit(main())
