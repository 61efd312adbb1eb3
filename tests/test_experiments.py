"""Pages of experiments: a figure of retrieval stands beside its controls, or is withdrawn."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

PAGES = sorted((Path(__file__).parents[1] / "docs" / "experiments").glob("*.md"))
CONTROLS = ("shuffled", "corpus-only", "length-only")


def test_there_are_pages():
    assert PAGES


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_context_retrieval_is_reported_with_its_controls_or_withdrawn(path):
    text = path.read_text()
    if not re.search(r"\bCRA\b|[Cc]ontext retrieval accuracy", text):
        return
    withdrawn = "**Withdrawn.**" in text.split("##")[0][:400]
    assert withdrawn or all(control in text for control in CONTROLS), f"{path.name}: name the controls {CONTROLS}"
