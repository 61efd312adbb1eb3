"""nemo-text-processing on the table: each disagreement has a judgement in docs/experiments/spoken-forms.md."""

from __future__ import annotations

import re
import unicodedata
from pathlib import Path

import pytest
from helpers.spoken_table import table

PAGE = Path(__file__).parents[3] / "docs" / "experiments" / "spoken-forms.md"


def judged() -> dict[str, str]:
    """Written text -> judgement, of the rows of the page."""
    rows = [re.split(r"(?<!\\)\|", line)[1:-1] for line in PAGE.read_text(encoding="utf-8").splitlines() if "|" in line]
    cells = [[cell.strip().replace("\\|", "|") for cell in row] for row in rows]
    rows = [row for row in cells if len(row) == 5 and row[1].startswith("`")]
    return {row[1].strip("`").replace("\\u200b", "\u200b"): row[4] for row in rows}


def plain(text: str) -> str:
    """Letters a-z only, without "and"."""
    folded = unicodedata.normalize("NFKD", re.sub(r"\band\b", " ", text.lower()))
    return "".join(c for c in folded if "a" <= c <= "z")


def test_each_row_of_the_page_has_a_judgement_and_is_in_the_table():
    texts = {row.text for row in table()}
    found = judged()
    assert len(found) > 100
    assert all(found.values())
    assert set(found) <= texts


@pytest.mark.reference
@pytest.mark.filterwarnings("ignore")  # of the library
@pytest.mark.timeout(900)  # its grammars take more than a minute
def test_each_disagreement_with_nemo_is_judged():
    nemo = pytest.importorskip("nemo_text_processing.text_normalization.normalize")
    normalizer = nemo.Normalizer(input_case="cased", lang="en")
    judgements = judged()
    missing = []
    for row in table():
        reading = normalizer.normalize(row.text, verbose=False)
        ours = plain(" ".join(word for form in row.words for word in form))
        unread = re.search(r"[^\w\s.,'’\"()?!:–-]|\d", reading)
        if (unread or plain(reading) != ours) and row.text not in judgements:
            missing.append((row.text, reading))
    assert not missing, missing
