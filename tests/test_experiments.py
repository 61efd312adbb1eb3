"""Pages of experiments: a figure of retrieval stands beside its controls, or is withdrawn."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

PAGES = sorted((Path(__file__).parents[1] / "docs" / "experiments").glob("*.md"))
CONTROLS = ("shuffled", "corpus-only", "length-only")
NOTE = "> **Withdrawn.** The CRA figures measure the corpus."
SECTION = "## Controls\n\nA shuffled model, a corpus-only oracle and a length-only oracle are at chance."


def is_fair(page: str) -> bool:
    """Whether a page reports no CRA, withdraws it below its title, or has a section of all controls."""
    if not re.search(r"\bCRA\b|context retrieval accuracy", page, re.IGNORECASE):
        return True
    title, _, rest = page.partition("\n")
    if title.startswith("# ") and rest.lstrip().startswith("> **Withdrawn.**"):
        return True
    section = re.search(r"^#+ Controls\n(.*?)(?=^#|\Z)", page, re.MULTILINE | re.DOTALL)
    return section is not None and all(control in section[1] for control in CONTROLS)


def test_there_are_pages():
    assert PAGES


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_context_retrieval_is_reported_with_its_controls_or_withdrawn(path):
    hint = f"{path.name}: withdraw the CRA figures below the title, or add a section 'Controls' with {CONTROLS}"
    assert is_fair(path.read_text(encoding="utf-8")), hint


@pytest.mark.parametrize("figure", ["CRA is 74 %.", "Context retrieval accuracy is 74 %."])
def test_a_figure_alone_or_controls_in_passing_are_not_enough(figure):
    assert not is_fair(f"# Page\n\n{figure}\n")
    assert not is_fair(f"# Page\n\n{figure} No shuffled, corpus-only or length-only control was run.\n")
    assert not is_fair(f"# Page\n\n{figure}\n\n## Controls\n\nA shuffled model is at chance.\n")
    assert not is_fair(f"# Page\n\n{figure}\n\n{NOTE}\n")  # a note below the figures is not at the top


@pytest.mark.parametrize("figure", ["CRA is 74 %.", "Context retrieval accuracy is 74 %."])
def test_a_note_at_the_top_or_a_section_of_controls_is_enough(figure):
    assert is_fair(f"# Page\n\n{NOTE}\n\n{figure}\n")
    assert is_fair(f"# Page\n\n{figure}\n\n{SECTION}\n")


def test_the_note_of_the_joint_experiment_has_the_figures_of_its_reason():
    page = next(path for path in PAGES if path.name == "joint.md").read_text(encoding="utf-8")
    note = " ".join(line.removeprefix(">") for line in page.splitlines() if line.startswith(">"))
    for figure in ("31.1 %", "2.7 %", "14.3 %", "42.1 %", "99.7 %", "12 of 12", "0 of 30"):
        assert figure in note
