"""`docs/glossary.md` defines every term of the project once, in one to three sentences."""

import re
from pathlib import Path

import pytest

DOCS = Path(__file__).resolve().parents[1] / "docs"
ENTRIES = re.findall(r"^- \*\*(.+?)\*\*: (.+)$", (DOCS / "glossary.md").read_text(), flags=re.MULTILINE)
NEEDED = """
recording, segment, utterance, shard, dataset, artifact, manifest, fingerprint, seed, stage, recipe, backend,
recogniser, aligner, extractor, embedder, codebook, unit, frame, vocabulary, modality, CST, AST, runner, threshold,
kept, reason, WER, CER, reject, CRA, PELM, MLM, MAM, MMC, NST, CRD, PLL, PNMI, purity, content hash, commit record,
keyed random numbers, run folder, image codec, codebook metadata, run-length form, frame grid, teacher vector,
SentencePiece piece, run (of a row), token row, packed row, document ids, object storage, job array slice, trust
score
"""


def test_every_item_of_the_page_is_a_term_with_a_definition():
    items = [line for line in (DOCS / "glossary.md").read_text().splitlines() if line.startswith("- ")]
    assert len(items) == len(ENTRIES) > 80


def test_a_term_is_defined_once():
    terms = [term.lower() for term, _ in ENTRIES]
    assert sorted(terms) == sorted(set(terms))


@pytest.mark.parametrize("term", " ".join(NEEDED.split()).split(", "))
def test_the_term_is_defined(term):
    assert term in [name for name, _ in ENTRIES]


def test_a_definition_is_one_to_three_sentences_and_ends_with_a_full_stop():
    for term, definition in ENTRIES:
        assert definition.endswith("."), term
        assert len(re.findall(r"[.](?:\s|$)", re.sub(r"e\.g\.", "", definition))) <= 3, term
