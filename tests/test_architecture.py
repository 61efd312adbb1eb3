"""The rules that keep the house in order, as tests."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

from speechprep import registry
from speechprep.pipelines.engine.stage import find_stage

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "speechprep"
STAGES = registry.FAMILIES["stages"]
LAYERS = {  # each may import those named, and itself
    "artifacts": set(),
    "tokenizers": {"artifacts"},
    "pipelines": {"artifacts", "tokenizers"},
    "models": {"artifacts", "tokenizers"},  # models and pipelines meet only on disk
    "cli": {"artifacts", "tokenizers", "pipelines", "models"},
}
LIGHT = {"errors", "registry", "demo", "process", "options", "yaml12", "version"}
HEAVY = {"torch", "faiss", "apache_beam", "pocketsphinx", "sentencepiece", "sklearn", "plotly", "transformers", "scipy"}
TORCH_AT_THE_TOP = {"torch", "transformers", "peft", "accelerate", "safetensors"}  # of files that define models
BEAM_FILES = {"transform.py", "local_runner.py", "worker.py", "runner.py"}


def modules() -> list[Path]:
    return sorted(p for p in PACKAGE.rglob("*.py"))


def imports(tree: ast.AST) -> list[tuple[str, int]]:
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found += [(alias.name, node.lineno) for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.append((node.module, node.lineno))
    return found


def top_imports(path: Path) -> list[tuple[str, int]]:
    top = [n for n in ast.parse(path.read_text()).body if isinstance(n, ast.Import | ast.ImportFrom)]
    return imports(ast.Module(body=top, type_ignores=[]))


def name_of(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


def torch_files() -> set[Path]:
    """Files of `models` that import torch or what needs it at their top, themselves or by another such file."""
    files = {p: top_imports(p) for p in modules() if layer_of(p) == "models"}

    found: set[Path] = set()
    while True:
        named = TORCH_AT_THE_TOP | {name_of(p) for p in found}
        more = {p for p, names in files.items() if any(n in named or n.split(".")[0] in named for n, _ in names)}
        if more == found:
            return found
        found = more


def layer_of(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


TORCH_FILES = torch_files()


def dependencies() -> dict[str, set[str]]:
    """Module -> the modules of the package that it imports anywhere, also for types alone."""

    names = {name_of(path): path for path in modules()}
    found: dict[str, set[str]] = {}
    for name, path in names.items():
        found[name] = set()
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom) and node.module in names:
                inner = {f"{node.module}.{alias.name}" for alias in node.names} & set(names)
                found[name] |= inner or {node.module}
        found[name] -= {name}
    return found


@pytest.mark.parametrize("path", modules(), ids=lambda p: p.relative_to(PACKAGE).as_posix())
def test_imports_point_one_way(path):
    own = layer_of(path)
    if own not in LAYERS:
        return
    allowed = LAYERS[own] | {own} | LIGHT | {"__init__"}
    for name, line in imports(ast.parse(path.read_text())):
        if name.startswith("speechprep."):
            assert name.split(".")[1] in allowed, f"{path}:{line} imports {name}"


def test_no_module_needs_itself():
    needs = dependencies()
    while free := [name for name, wanted in needs.items() if not wanted]:
        needs = {name: wanted - set(free) for name, wanted in needs.items() if name not in free}
    assert not needs, f"a circle of imports among these, or they lead to one: {sorted(needs)}"


@pytest.mark.parametrize("path", modules(), ids=lambda p: p.relative_to(PACKAGE).as_posix())
def test_heavy_packages_are_imported_where_they_are_used(path):
    if path.name in BEAM_FILES:
        return
    allowed = TORCH_AT_THE_TOP if path in TORCH_FILES else set()
    for name, line in top_imports(path):
        assert name.split(".")[0] not in HEAVY - allowed, f"{path}:{line} imports {name} at the top"


def test_the_readers_of_the_zoo_need_no_torch():
    for path in (PACKAGE / "models/__init__.py", *(PACKAGE / "models/data").rglob("*.py")):
        assert (path in TORCH_FILES) == (path.name == "loader.py"), f"{path} imports torch, itself or by another file"


@pytest.mark.parametrize("path", modules(), ids=lambda p: p.relative_to(PACKAGE).as_posix())
def test_only_the_process_edges_and_the_edge_to_file_systems_catch_everything(path):
    edges = {
        "artifacts/storage.py",
        "pipelines/engine/failures.py",
        "pipelines/engine/context.py",
        "cli/errors.py",
        "cli/app.py",
    }
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ExceptHandler):
            broad = node.type is None or getattr(node.type, "id", "") == "Exception"
            assert not broad or path.relative_to(PACKAGE).as_posix() in edges, f"{path}:{node.lineno}"


def test_only_the_runner_names_a_runner():
    named = [
        p.name
        for p in modules()
        if any(word in p.read_text() for word in ("FlinkRunner", "DataflowRunner", "SparkRunner", "PrismRunner"))
        and layer_of(p) != "cli"
    ]
    assert named == ["runner.py"]


TOKENIZER_ROOMS = {  # room or module of `tokenizers` -> those it may import
    "abx": set(),
    "arrays": set(),
    "text": set(),
    "english": {"text"},
    "kmeans": {"arrays"},
    "alignment": {"arrays"},
    "subword": {"arrays"},
    "duplicates": {"arrays"},
    "quality": set(),
    "wordpiece": {"arrays"},
    "packing": {"arrays"},
    "clips": {"arrays"},
    "interleave": {"arrays", "subword"},
}


def test_the_rooms_of_tokenizers_import_in_one_order():
    folder = PACKAGE / "tokenizers"
    rooms = {path.relative_to(folder).parts[0].removesuffix(".py") for path in folder.rglob("*.py")} - {"__init__"}
    assert rooms == set(TOKENIZER_ROOMS)
    for path in folder.rglob("*.py"):
        room = path.relative_to(folder).parts[0].removesuffix(".py")
        for name, line in imports(ast.parse(path.read_text())):
            if name.startswith("speechprep.tokenizers."):
                assert name.split(".")[2] in TOKENIZER_ROOMS[room] | {room}, f"{path}:{line} imports {name}"


def test_modules_functions_and_folders_are_small():
    folders: dict[Path, int] = {}
    for path in PACKAGE.rglob("*.py"):
        text = path.read_text()
        folders[path.parent] = folders.get(path.parent, 0) + 1
        assert text.count("\n") <= 320, f"{path} has over 320 lines"
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.FunctionDef):
                assert node.end_lineno - node.lineno < 60, f"{path}: {node.name} has over 60 lines"
    assert not {folder: n for folder, n in folders.items() if n > 15}


def test_random_numbers_come_from_the_keyed_functions():
    """NumPy generators, BLAKE2 keys and the `random` module only in `keyed_random`; torch's take seeds made there."""
    makers = ("np.random.default_rng", "np.random.PCG64", "np.random.seed", "import random")
    for path in modules():
        if path != PACKAGE / "tokenizers/arrays/keyed_random.py":
            text = path.read_text()
            assert not [maker for maker in makers if maker in text], f"{path}: use tokenizers.arrays.keyed_random"


@pytest.mark.parametrize("name", list(STAGES))
def test_every_stage_is_found_and_its_file_says_what_it_reads_and_writes(name):
    stage = find_stage(name)
    assert stage.name == name
    module = STAGES[name].partition(":")[0]
    text = ast.get_docstring(ast.parse((ROOT / (module.replace(".", "/") + ".py")).read_text())) or ""
    assert "reads" in text.lower(), f"{name}.py does not say what it reads"
    assert "writes" in text.lower(), f"{name}.py does not say what it writes"
    for option, field in stage.config.model_fields.items():
        assert field.description, f"{name}: option {option!r} has no description for --help"


def test_the_kinds_of_consecutive_stages_match():
    made = {find_stage(name).writes for name in STAGES}
    for name in STAGES:
        for read in find_stage(name).reads:
            assert read.kind in made, f"{name} reads {read.kind!r}, which no stage writes"


@pytest.mark.parametrize(("family", "name"), [(f, n) for f, names in registry.FAMILIES.items() for n in names])
def test_every_registered_name_resolves(family, name):
    plugin = registry.resolve(family, name)
    assert plugin.name == name if family in ("stages", "models", "scorers") else callable(plugin)


def test_importing_the_package_pulls_in_nothing():
    code = "import speechprep, sys; print(len([m for m in sys.modules if m.split('.')[0] in %r]))"
    out = subprocess.run(
        [sys.executable, "-c", code % (HEAVY | {"numpy", "pyarrow"},)], capture_output=True, text=True, check=True
    )
    assert out.stdout.strip() == "0"


def test_the_core_never_imports_torch():
    """All modules but those that define torch modules, in an interpreter in which torch cannot be imported."""
    skipped = {".".join(p.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__") for p in TORCH_FILES}
    code = (
        "import sys; sys.modules['torch'] = None\n"
        "import importlib, pkgutil, speechprep\n"
        f"skipped = {sorted(skipped)!r}\n"
        "for m in pkgutil.walk_packages(speechprep.__path__, 'speechprep.', onerror=lambda name: None):\n"
        "    if m.name not in skipped:\n"
        "        importlib.import_module(m.name)\n"
    )
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def pages() -> list[str]:
    """Pages of the project, below the root, without those of environments and caches (`.venv-all`, `.tox`)."""
    folders = [f for f in ROOT.iterdir() if f.is_dir() and f.name[0] != "." and f.name not in ("node_modules", "site")]
    found = [*ROOT.glob("*.md"), *(page for folder in folders for page in folder.rglob("*.md"))]
    return sorted(page.relative_to(ROOT).as_posix() for page in found)


@pytest.mark.parametrize("page", pages())
def test_links_in_the_pages_lead_somewhere(page):
    import re

    path = ROOT / page
    for target in re.findall(r"\]\((?!https?://|#|mailto:)([^)#]+)", path.read_text()):
        assert (path.parent / target).exists(), f"{path} links to {target}"


def test_no_page_or_file_names_an_index_or_a_machine():
    import re

    tracked = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=False).stdout.split()
    forbidden = re.compile(r"https?://[^ ]*(?:pypi|simple/|proxy)|/root/|index-url\s*=?\s*http")
    for name in tracked:
        path = ROOT / name
        if (
            path.suffix in {".py", ".md", ".toml", ".txt", ".yaml", ".cfg"}
            and path.name != Path(__file__).name
            and path.exists()
        ):
            assert not forbidden.search(path.read_text()), name


def test_the_tables_of_options_and_columns_are_true():
    done = subprocess.run(
        [sys.executable, ROOT / "scripts/docs_tables.py", "--check"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, f"run: python scripts/docs_tables.py {done.stdout}"
