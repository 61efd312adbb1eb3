"""SLUE-NER: named entities in tagged text, by the rules of the SLUE toolkit (Shon et al. 2022).

An entity is enclosed by the start symbol of its tag and `]`, both separate words:
`then $ barack obama ] visited % paris ]`.
"""

from __future__ import annotations

import ast
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from speechprep.errors import BadInput
from speechprep.models.evaluation.benchmark import Benchmark
from speechprep.models.evaluation.bootstrap import Bootstrap, precision_recall_f1, share
from speechprep.models.evaluation.files import Table
from speechprep.models.evaluation.score import Score, paired

STARTS = {"LAW": "!", "NORP": "@", "ORG": "#", "PERSON": "$", "PLACE": "%", "QUANT": "^", "WHEN": "&"}
"""Combined tag -> start symbol."""
END = "]"
COMBINED: dict[str, str | None] = (
    dict.fromkeys(("DATE", "TIME"), "WHEN")
    | dict.fromkeys(("CARDINAL", "ORDINAL", "QUANTITY", "MONEY", "PERCENT"), "QUANT")
    | dict.fromkeys(("GPE", "LOC"), "PLACE")
    | {"NORP": "NORP", "ORG": "ORG", "LAW": "LAW", "PERSON": "PERSON"}
    | dict.fromkeys(("FAC", "EVENT", "WORK_OF_ART", "PRODUCT", "LANGUAGE"))
)
"""The 18 tags of OntoNotes -> combined tag, or None for tags excluded by SLUE."""

_TAGS = {symbol: tag for tag, symbol in STARTS.items()}
_PUNCTUATION = re.compile(r"[.;?!]")


@dataclass(frozen=True, slots=True)
class Parsed:
    """Entities of a tagged text.

    Attributes:
        entities: (tag, phrase) of each entity, in order.
        illegal: number of symbols without an entity: a start inside an open entity, an end without start or phrase.
    """

    entities: tuple[tuple[str, str], ...]
    illegal: int


def parse(text: str) -> Parsed:
    """Parse tagged text.

    A start symbol inside an open entity discards the open entity. An end symbol without a start or after an empty
    phrase, and an entity without an end, give no entity. The characters `. ; ? !` are removed from words.
    """
    entities: list[tuple[str, str]] = []
    tag: str | None = None
    phrase: list[str] = []
    illegal = 0
    for word in text.split():
        if word in _TAGS:
            illegal += tag is not None
            tag, phrase = _TAGS[word], []
        elif word == END:
            if tag is not None and phrase:
                entities.append((tag, " ".join(phrase)))
            else:
                illegal += 1
            tag, phrase = None, []
        elif tag is not None and (clean := _PUNCTUATION.sub("", word)):
            phrase.append(clean)
    return Parsed(tuple(entities), illegal)


def tagged(text: str, spans: Iterable[Sequence[object]]) -> str:
    """Tagged text of an annotated transcript, prepared as in the SLUE toolkit.

    The characters `. ; ? ! ,` are removed. An apostrophe begins a word (`europe 's`), or is removed at its end.

    Args:
        text: the normalised transcript.
        spans: (raw tag, start, length) in characters, in any order, not overlapping.

    Raises:
        BadInput: an unknown tag (`bad_tag`), or a span outside the text, empty or over another (`bad_span`).
    """
    pieces: list[str] = []
    at = 0
    for raw, first, size in sorted(spans, key=lambda span: int(str(span[1]))):
        start, end = int(str(first)), int(str(first)) + int(str(size))
        if raw not in COMBINED:
            raise BadInput("bad_tag", f"tag {raw!r} is not an OntoNotes tag; use one of {', '.join(COMBINED)}")
        tag = COMBINED[str(raw)]
        if tag is None:
            continue
        if start < at or end > len(text) or not _words(text[start:end]):
            raise BadInput(
                "bad_span", f"entity {raw} at {start}-{end} overlaps another, is empty or leaves {text!r}; correct it"
            )
        pieces += [*_words(text[at:start]), STARTS[tag], *_words(text[start:end]), END]
        at = end
    return " ".join([*pieces, *_words(text[at:])])


def annotation(cell: str) -> list[list[object]]:
    """The spans in a cell of the TSV of the release: a Python list of [tag, start, length], or `None`.

    Raises:
        BadInput: another value (`bad_span`).
    """
    problem = f"{cell!r} is not a list of [tag, start, length]; write one, or None"
    try:
        spans = ast.literal_eval(cell) if cell.strip() else None
    except (ValueError, SyntaxError) as error:
        raise BadInput("bad_span", problem) from error
    if spans is None:
        return []
    if not isinstance(spans, list) or not all(isinstance(span, list) and len(span) == 3 for span in spans):
        raise BadInput("bad_span", problem)
    return spans


def slue_ner(
    references: Mapping[str, str], hypotheses: Mapping[str, str], *, bootstrap: Bootstrap | None = None
) -> Score:
    """Micro F1 over (tag, phrase, repetition index), and label-F1 without the phrase.

    Args:
        references: id -> tagged text, see `tagged`.
        hypotheses: id -> tagged text.
        bootstrap: parameters of the interval of F1; None for no interval.

    Returns:
        `others` contains precision and recall, `label_` precision, recall and f1, and `macro_f1` over the present tags.
        `by` contains the figures of each tag, and `counts` the number of illegal symbols of the hypotheses.

    Raises:
        BadInput: different ids on the two sides.
    """
    ids = paired(references, hypotheses)
    parsed = [(parse(hypotheses[id]), parse(references[id])) for id in ids]
    rows = np.array([_agreement(h.entities, r.entities) for h, r in parsed], np.float64)
    labels = np.array(
        [_agreement([tag for tag, _ in h.entities], [tag for tag, _ in r.entities]) for h, r in parsed], np.float64
    )
    by = {}
    for tag in STARTS:
        parts = [
            _agreement([e for e in h.entities if e[0] == tag], [e for e in r.entities if e[0] == tag])
            for h, r in parsed
        ]
        correct, predicted, true = (sum(column) for column in zip(*parts, strict=True))
        if predicted or true:
            by[tag] = precision_recall_f1(correct, predicted, true) | {"support": float(true)}
    whole = precision_recall_f1(*rows.sum(0))
    others = {"precision": whole["precision"], "recall": whole["recall"]}
    others |= {f"label_{figure}": value for figure, value in precision_recall_f1(*labels.sum(0)).items()}
    others["macro_f1"] = float(np.mean([figures["f1"] for figures in by.values()])) if by else 0.0

    def f1(sums: NDArray[np.float64]) -> float:
        return share(2 * sums[0], sums[1] + sums[2])

    interval = bootstrap.interval(ids, rows, f1) if bootstrap else None
    names = ("correct", "hypothesis_entities", "reference_entities")
    counts = {"utterances": len(ids)} | {n: int(v) for n, v in zip(names, rows.sum(0), strict=True)}
    counts["illegal"] = sum(hypothesis.illegal for hypothesis, _ in parsed)
    return Score("f1", whole["f1"], interval, counts, others, by, {"tags": "7 combined", "average": "micro"})


def _agreement(hypothesis: Iterable[object], reference: Iterable[object]) -> tuple[int, int, int]:
    """Number of common, of predicted and of true members. Repeated members match as in a multiset intersection."""
    predicted, true = Counter(hypothesis), Counter(reference)
    return (predicted & true).total(), predicted.total(), true.total()


def _words(text: str) -> list[str]:
    words = []
    for word in re.sub(r"[.,!?;]", "", text).split():
        bare = word.removesuffix("'")
        if "'" in bare and bare != "'s":
            *stem, suffix = bare.split("'")
            words += [*stem, "'" + suffix]
        elif bare:
            words.append(bare)
    return [word for word in words if word]


def tagged_references(table: Table, column: str) -> dict[str, str]:
    """Tagged texts of a column, or from the columns normalized_text and normalized_ner of the release."""

    if table.has(column) or not (table.has("normalized_text") and table.has("normalized_ner")):
        return table.texts(column)
    spans = table.texts("normalized_ner")
    return {id: tagged(text, annotation(spans[id])) for id, text in table.texts("normalized_text").items()}


SLUE_NER = Benchmark(
    name="slue-ner",
    help="Named entities of SLUE-VoxPopuli: F1 and label-F1 of tagged text.\n\nReferences are tagged text (`$ barack "
    "obama ] visited % paris ]`), or a TSV of the release with the columns normalized_text and normalized_ner.",
    score=slue_ner,
    references=tagged_references,
    examples=(" --speaker-column speaker_id",),
)
