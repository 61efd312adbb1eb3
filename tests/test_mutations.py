"""The mutation script: the draw is fixed by seed and tree, covers each room, and changes one node at a time."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
import warnings
from collections import Counter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]

with pytest.MonkeyPatch.context() as patch:
    patch.syspath_prepend(str(ROOT / "scripts"))
    import mutants
    import mutation_operators
    import mutations


@pytest.fixture(scope="module")
def drawn():
    return mutants.draw(ROOT, 100, 0)


def smallest_difference(one: ast.AST, other: ast.AST) -> ast.AST | None:
    """The innermost node of the first tree that holds all differences from the second; None if they are equal."""
    if ast.dump(one) == ast.dump(other):
        return None
    if type(one) is not type(other):
        return one
    ours, others = list(ast.iter_child_nodes(one)), list(ast.iter_child_nodes(other))
    different = [(a, b) for a, b in zip(ours, others, strict=False) if ast.dump(a) != ast.dump(b)]
    if len(ours) != len(others) or len(different) != 1:
        return one
    inner = smallest_difference(*different[0])
    return inner if hasattr(inner, "lineno") else one  # operators have no position


def span(node: ast.AST) -> tuple[int, int, int, int]:
    return node.lineno, node.col_offset, node.end_lineno, node.end_col_offset


def test_the_draw_is_the_same_for_the_same_seed_and_another_for_another(drawn):
    assert mutants.draw(ROOT, 100, 0) == drawn
    assert set(mutants.draw(ROOT, 100, 1)) != set(drawn)


def test_each_room_has_at_least_four_mutations_or_all_that_there_are(drawn):
    counts, rooms = Counter(m.room for m in drawn), mutants.rooms(ROOT)
    assert set(counts) == set(rooms)
    assert all(counts[room] >= min(mutants.PER_ROOM, len(sites)) for room, sites in rooms.items())
    assert len(drawn) == len(set(drawn)) >= 100


def test_rooms_are_the_folders_of_the_package(drawn):
    folders = {path.parent.relative_to(ROOT / "speechprep").as_posix() for path in (ROOT / "speechprep").rglob("*.py")}
    assert {m.room for m in drawn} <= folders
    assert not any(set(Path(m.room).parts) & {"demo", "recipes"} for m in drawn)


@pytest.mark.long
def test_each_mutant_compiles_and_differs_in_exactly_one_node(drawn):
    for mutation in drawn:
        data = (ROOT / mutation.path).read_bytes()
        changed = mutation.applied(data)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", SyntaxWarning)  # `is` with a literal is a mutant, not a mistake
            compile(changed, mutation.path, "exec")
        node = smallest_difference(ast.parse(data), ast.parse(changed))
        assert node is not None
        line, column, end_line, end_column = span(node)
        lines = data.splitlines(keepends=True)
        start, stop = (sum(map(len, lines[: n - 1])) + c for n, c in ((line, column), (end_line, end_column)))
        assert mutation.start <= start < stop <= mutation.stop, mutation
        assert data[mutation.start : mutation.stop].decode() == mutation.before


@pytest.mark.long
def test_docstrings_annotations_and_messages_are_never_changed():
    by_path: dict[str, list[mutants.Mutation]] = {}
    for mutation in mutants.draw(ROOT, 600, 3):
        by_path.setdefault(mutation.path, []).append(mutation)
    for path, mutations_of_file in by_path.items():
        nodes = list(ast.walk(ast.parse((ROOT / path).read_bytes())))
        fixed = [node for node in nodes if isinstance(node, ast.Raise | ast.Assert | ast.JoinedStr)]
        fixed += [n.annotation for n in nodes if isinstance(n, ast.AnnAssign | ast.arg) and n.annotation]
        spans = [span(node) for node in fixed]
        for mutation in mutations_of_file:
            at = mutation.line, mutation.column
            assert not any(place[:2] <= at < place[2:] for place in spans), mutation


def candidates(text: str) -> set[tuple[str, str, str]]:
    source = mutation_operators.Source("speechprep/m.py", text.encode())
    return {(m.operator, m.before, m.after) for m in mutants.candidates(source)}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a = b <= c", ("comparison", "b <= c", "b < c")),
        ("a = b is not None", ("comparison", "b is not None", "b is None")),
        ("a = b not in (c)", ("comparison", "b not in (c)", "b in (c)")),
        ("a = 'é' == (b)", ("comparison", "'é' == (b)", "'é' != (b)")),
        ("a = b // c", ("arithmetic", "b // c", "b / c")),
        ("a = 3", ("constant", "3", "4")),
        ("a = 0.5", ("constant", "0.5", "1.0")),
        ("f(x=True)", ("constant", "True", "False")),
        ("f(x)", ("call dropped", "f(x)", "pass")),
        ("a = f(x)", ("call dropped", "f(x)", "(x)")),
        ("a = b.strip()", ("call dropped", "b.strip()", "(b)")),
        ("import np\na = np.sort(b)", ("call dropped", "np.sort(b)", "(b)")),
        ("f(x, y, z=1)", ("arguments swapped", "f(x, y, z=1)", "f(y, x, z=1)")),
        ("a = max(x)", ("function swapped", "max", "min")),
        ("def f(b, c):\n    return b[c:]", ("off by one", "c", "(c + 1)")),
        ("for a in range(b): pass", ("off by one", "b", "(b + 1)")),
        ("if a: pass", ("condition negated", "a", "(not (a))")),
        ("a = b and c", ("boolean operator", "b and c", "b or c")),
        ("a = not b", ("not removed", "not b", "(b)")),
        ("def f():\n    return a", ("returns None", "a", "None")),
    ],
)
def test_every_operator_yields_its_change(text, expected):
    assert expected in candidates(text)


@pytest.mark.parametrize(
    "text",
    [
        '"""Docstring with 3 numbers."""',
        "import a",
        "raise ValueError(f(x, 3))",
        "assert a == 3, f(3)",
        "a: Literal[3]",
        "def f(a: Literal[3]) -> Array[4]: ...",
        "class A(B[3]): ...",
        "__slots__ = f(a, b)",
        "BLOCK_BYTES = 8 << 20",
        "Ints = NDArray[3]",
        "T = TypeVar(f(a))",
        "print(f(a, b))",
        "a = f'{b + 1}'",
        "@lru_cache(maxsize=16)\ndef f(): ...",
        "if TYPE_CHECKING:\n    a = 3",
        "Option(None, help=f(a, b), show_default=False)",
        "def __repr__(self):\n    return f(3)",
        "return_ = None",
        "a = 'text' + b",
    ],
)
def test_code_without_a_testable_value_has_no_candidates(text):
    assert not {change for change in candidates(text) if change[1] != text}


# -- running -----------------------------------------------------------------------------------------------------------


@pytest.fixture
def project(tmp_path):
    """A repository with a package of two rooms, one of them with tests of its own."""
    root = tmp_path / "project"
    files = {
        "speechprep/__init__.py": "",
        "speechprep/near/__init__.py": "",
        "speechprep/near/sums.py": "def add(a, b):\n    return a + b\n\n\ndef unused(a):\n    return a > 1\n",
        "speechprep/far/__init__.py": "",
        "speechprep/far/loops.py": "def count(n):\n    while n > 0:\n        n -= 1\n    return n\n",
        "tests/test_top.py": "from speechprep.far.loops import count\ndef test_count():\n    assert count(3) == 0\n",
        "tests/near/test_sums.py": "from speechprep.near.sums import add\ndef test_add():\n    assert add(2, 3) == 5\n",
        "tests/near/test_others.py": "def test_nothing():\n    pass\n",
        "pyproject.toml": "[tool.pytest.ini_options]\nmarkers = ['slow: s', 'long: l']\n",
    }
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    subprocess.run(["git", "init", "-q", str(root)], check=True)
    return root


def report(root, capsys, *arguments) -> list[dict]:
    mutations.main(["--json", "--jobs", "1", "--timeout", "20", *arguments], root)
    return json.loads(capsys.readouterr().out)


@pytest.mark.long
def test_changes_are_red_or_green_and_the_checkout_is_untouched(project, capsys):
    before = {path: path.read_bytes() for path in project.rglob("*.py")}
    results = report(project, capsys, "--room", "near", "-n", "50")
    by_change = {(r["before"], r["after"]): r["status"] for r in results}
    assert by_change[("a + b", "a - b")] == "red"
    assert by_change[("a > 1", "a >= 1")] == "green"
    assert {r["failed"] for r in results if r["status"] == "red"} == {"tests/near/test_sums.py::test_add"}
    assert {path: path.read_bytes() for path in project.rglob("*.py")} == before


def test_a_room_without_tests_of_its_own_has_those_of_the_nearest_parent(project):
    assert mutations.tests_of(project, "speechprep/far/loops.py") == (["tests/test_top.py"], [])
    own, others = mutations.tests_of(project, "speechprep/near/sums.py")
    assert (own, others) == (["tests/near/test_sums.py"], ["tests/near/test_others.py"])


@pytest.mark.long
def test_an_endless_loop_ends_with_the_timeout_and_is_red(project, capsys):
    (project / "speechprep/far/loops.py").write_text(
        "def count(n):\n    while n != 0:\n        n = n - 1\n    return n\n"
    )
    listed = report(project, capsys, "--room", "far", "-n", "50", "--list")
    number = next(m["number"] for m in listed if m["after"] == "n + 1")
    (result,) = report(project, capsys, "--room", "far", "-n", "50", "--only", str(number), "--timeout", "3")
    assert result["status"] == "red (timeout)"


@pytest.mark.long
def test_a_change_that_no_test_reaches_is_untested(project, capsys):
    (project / "tests/test_top.py").write_text("import pytest\n\npytest.skip('no model', allow_module_level=True)\n")
    assert {r["status"] for r in report(project, capsys, "--room", "far")} == {"untested"}


def test_tests_that_fail_without_a_change_end_the_run_with_their_names(project, capsys):
    (project / "tests/near/test_others.py").write_text("def test_broken():\n    assert False\n")
    with pytest.raises(SystemExit, match=r"test_others\.py::test_broken fails without a change"):
        report(project, capsys, "--room", "near")


def test_the_command_line_lists_the_draw():
    command = [sys.executable, str(ROOT / "scripts/mutations.py"), "--list", "--room", "tokenizers/arrays", "-n", "5"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    rows = done.stdout.strip().splitlines()
    assert len(rows) == 5
    assert all(row.startswith(f"| {i} | speechprep/tokenizers/arrays/") for i, row in enumerate(rows, 1))
