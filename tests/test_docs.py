"""README, code map and site: size, language, generated parts, and links."""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parents[1]


def load_script(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, ROOT / f"scripts/{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def prose(text: str) -> str:
    """Markdown without code and link targets."""
    return re.sub(r"```.*?```|`[^`]*`|\]\([^)]*\)", " ", text, flags=re.DOTALL)


def test_the_readme_is_a_landing_page():
    text = (ROOT / "README.md").read_text()
    assert len(text.encode()) <= 8192
    words = re.findall(r"[A-Za-z']+", prose(text))
    references = [word for word in words if word.lower() in {"which", "that", "what", "whose", "those", "such"}]
    assert len(references) / len(words) < 0.015


def test_the_sentences_of_the_readme_have_at_most_30_words():
    text = re.sub(r"```.*?```", "", (ROOT / "README.md").read_text(), flags=re.DOTALL)
    text = re.sub(r"`[^`\n]*`", "code", text)
    for block in re.split(r"\n\s*\n|\n(?=[-|#])", text):
        for sentence in re.split(r"(?<=[.!?:])\s+", "" if block.startswith("|") else block):
            assert len(sentence.split()) <= 30, sentence


def test_the_readme_names_every_folder_at_the_top():
    done = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=False)
    folders = {line.split("/")[0] for line in done.stdout.splitlines() if "/" in line and line[0] != "."}
    text = (ROOT / "README.md").read_text()
    assert not [name for name in sorted(folders) if f"`{name}/`" not in text]


def test_the_code_map_is_what_the_script_prints_with_a_description_of_every_file_and_folder():
    code_map = load_script("code_map")
    text = code_map.PAGE.read_text()
    assert code_map.page(text) == text, "run: python scripts/code_map.py"
    assert not re.findall(r"^- `[^`]+`: *$", text, re.MULTILINE)
    assert not re.findall(r"^### `[^`]+`\n\n(?:-|###)", text, re.MULTILINE)


def test_the_imports_of_the_code_map_are_those_of_the_source(tmp_path, monkeypatch):
    code_map = load_script("code_map")
    for path, text in {
        "speechprep/a/x.py": "from speechprep.b import y\nfrom speechprep.b.inner import z\nimport numpy",
        "speechprep/b/y.py": "def f():\n    import speechprep.c.w\n",
        "speechprep/b/inner/z.py": "from speechprep import errors",
        "speechprep/c/w.py": "",
        "speechprep/errors.py": "",
    }.items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(text)
    monkeypatch.setattr(code_map, "ROOT", tmp_path)
    assert code_map.imports(1) == {"a": {"b"}, "b": {"c"}, "c": set()}
    assert code_map.imports(2) == {"a": {"b", "b/inner"}, "b": {"c"}, "b/inner": set(), "c": set()}
    assert code_map.ordered(code_map.imports(1)) == ["a", "b", "c"]


def test_the_code_map_names_places_that_exist_or_are_planned():
    """A folder of the hand-written table exists, at least its parent."""
    head = (ROOT / "docs/code-map.md").read_text().split("<!-- generated")[0]
    for place in re.findall(r"`(speechprep/[\w/]+)/", head):
        assert (ROOT / place).parent.exists(), place


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """A copy of the files that the site is built from."""
    pytest.importorskip("mkdocs")
    pytest.importorskip("material")
    for name in ("README.md", "CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md", "LICENSE", "mkdocs.yml"):
        shutil.copy(ROOT / name, tmp_path / name)
    for name in ("docs", "scripts"):
        shutil.copytree(ROOT / name, tmp_path / name)
    return tmp_path


def build(folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-W", "ignore", "-m", "mkdocs", "build", "--strict"],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "NO_MKDOCS_2_WARNING": "1"},
    )


def test_the_site_has_every_page_and_asks_no_other_host(site: Path):
    done = build(site)
    assert done.returncode == 0, done.stderr
    for page in (ROOT / "docs").rglob("*.md"):
        assert (site / "site" / page.relative_to(ROOT / "docs").with_suffix(".html")).exists()
    index = (site / "site/index.html").read_text()
    assert 'href="stages.html"' in index
    assert 'href="decisions/index.html"' in index
    assert not re.findall(r'<(?:script|link|img)[^>]+(?:src|href)="https?:', index)


def test_each_broken_link_is_a_warning_that_ends_the_build(site: Path):
    complaints = {
        "absent.md": "target is not found",
        "stages.md#no-such-heading": "does not contain an anchor",
        "../speechprep/absent.py": "target is not found",
        "https://nohost": "no valid address",
        "mailto:nobody": "no valid address",
        "/stages.md": "absolute link",
    }
    page = site / "docs/filter.md"
    page.write_text(page.read_text() + "\n".join(["", *(f"[broken]({link})" for link in complaints)]) + "\n")
    done = build(site)
    assert done.returncode != 0
    for link, complaint in complaints.items():
        assert any(link in line and complaint in line for line in done.stderr.splitlines()), (link, done.stderr)
    assert f"Aborted with {len(complaints)} warnings in strict mode" in done.stdout + done.stderr


def test_links_of_the_repository_work_on_the_site(site: Path):
    page = site / "docs/decisions/0004-recipes-in-the-package.md"
    page.write_text(
        page.read_text() + "\n[a](../../README.md) [b](../stages.md#pack) [c](../../mkdocs.yml) [d](../experiments/)\n"
    )
    done = build(site)
    assert done.returncode == 0, done.stderr
    html = (site / "site/decisions/0004-recipes-in-the-package.html").read_text()
    for target in ("../index.html", "../stages.html#pack", "../files/mkdocs.yml", "../experiments/index.html"):
        assert f'href="{target}"' in html
        assert (site / "site/decisions" / target.split("#")[0]).exists()
