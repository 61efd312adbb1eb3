"""SLUE-NER: named entities in tagged text, by the rules of the SLUE toolkit.

An entity stands between the start symbol of its tag and `]`, each a word of its own:
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
"""Tag -> start symbol, of the 7 combined tags."""
END = "]"
COMBINED: dict[str, str | None] = (
    dict.fromkeys(("DATE", "TIME"), "WHEN")
    | dict.fromkeys(("CARDINAL", "ORDINAL", "QUANTITY", "MONEY", "PERCENT"), "QUANT")
    | dict.fromkeys(("GPE", "LOC"), "PLACE")
    | {"NORP": "NORP", "ORG": "ORG", "LAW": "LAW", "PERSON": "PERSON"}
    | dict.fromkeys(("FAC", "EVENT", "WORK_OF_ART", "PRODUCT", "LANGUAGE"))
)
"""The 18 tags of OntoNotes -> combined tag; None is left out."""

_TAGS = {symbol: tag for tag, symbol in STARTS.items()}
_PUNCTUATION = re.compile(r"[.;?!]")


@dataclass(frozen=True, slots=True)
class Parsed:
    """What a tagged text says.

    Attributes:
        entities: (tag, phrase) in order.
        illegal: symbols that made no entity: a start inside an open entity, an end without start or phrase.
    """

    entities: tuple[tuple[str, str], ...]
    illegal: int


def parse(text: str) -> Parsed:
    """Read tagged text.

    A start symbol inside an open entity discards the open one. An end symbol without a start, or after an empty
    phrase, yields nothing; nor does an entity that is never ended. Words lose `. ; ? !`.
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
    """The tagged text of an annotated transcript.

    As the toolkit prepares it: `. ; ? !` and commas are removed, an apostrophe begins a word (`europe 's`), one at the
    end of a word or alone is dropped.

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
            raise BadInput("bad_tag", f"tag {raw!r} is none of OntoNotes' 18: {', '.join(COMBINED)}")
        tag = COMBINED[str(raw)]
        if tag is None:
            continue
        if start < at or end > len(text) or not _words(text[start:end]):
            raise BadInput("bad_span", f"entity {raw} at {start}-{end} overlaps another, is empty or leaves {text!r}")
        pieces += [*_words(text[at:start]), STARTS[tag], *_words(text[start:end]), END]
        at = end
    return " ".join([*pieces, *_words(text[at:])])


def annotation(cell: str) -> list[list[object]]:
    """The spans in a cell of the release's TSV: a Python list of [tag, start, length], or `None`.

    Raises:
        BadInput: it is neither.
    """
    try:
        found = ast.literal_eval(cell) if cell.strip() else None
    except (ValueError, SyntaxError) as error:
        raise BadInput("bad_span", f"{cell!r} is no list of [tag, start, length]") from error
    if found is None:
        return []
    if not isinstance(found, list) or not all(isinstance(span, list) and len(span) == 3 for span in found):
        raise BadInput("bad_span", f"{cell!r} is no list of [tag, start, length]")
    return found


def slue_ner(
    references: Mapping[str, str], hypotheses: Mapping[str, str], *, bootstrap: Bootstrap | None = None
) -> Score:
    """Micro F1 over (tag, phrase, repetition index), and label-F1, for which the phrase does not matter.

    Args:
        references: id -> tagged text, see `tagged`.
        hypotheses: id -> tagged text.
        bootstrap: how to make the interval of F1.

    Returns:
        `others` holds precision and recall, `label_` precision, recall and f1, and `macro_f1` over the tags that occur;
        `by` the figures of each tag; `counts` says how many symbols of the hypotheses were illegal.

    Raises:
        BadInput: ids that do not agree.
    """
    ids = paired(references, hypotheses)
    wanted = [parse(references[id]) for id in ids]
    said = [parse(hypotheses[id]) for id in ids]
    rows = np.array([_agreement(h.entities, r.entities) for h, r in zip(said, wanted, strict=True)], np.float64)
    labels = np.array(
        [
            _agreement([tag for tag, _ in h.entities], [tag for tag, _ in r.entities])
            for h, r in zip(said, wanted, strict=True)
        ],
        np.float64,
    )
    by = {}
    for tag in STARTS:
        parts = [
            _agreement([e for e in h.entities if e[0] == tag], [e for e in r.entities if e[0] == tag])
            for h, r in zip(said, wanted, strict=True)
        ]
        correct, claimed, there = (sum(column) for column in zip(*parts, strict=True))
        if claimed or there:
            by[tag] = precision_recall_f1(correct, claimed, there) | {"support": float(there)}
    whole = precision_recall_f1(*rows.sum(0))
    others = {"precision": whole["precision"], "recall": whole["recall"]}
    others |= {f"label_{figure}": value for figure, value in precision_recall_f1(*labels.sum(0)).items()}
    others["macro_f1"] = float(np.mean([figures["f1"] for figures in by.values()])) if by else 0.0

    def f1(sums: NDArray[np.float64]) -> float:
        return share(2 * sums[0], sums[1] + sums[2])

    interval = bootstrap.interval(ids, rows, f1) if bootstrap else None
    names = ("correct", "hypothesis_entities", "reference_entities")
    counts = {"utterances": len(ids)} | {n: int(v) for n, v in zip(names, rows.sum(0), strict=True)}
    counts["illegal"] = sum(h.illegal for h in said)
    return Score("f1", whole["f1"], interval, counts, others, by, {"tags": "7 combined", "average": "micro"})


def _agreement(said: Iterable[object], wanted: Iterable[object]) -> tuple[int, int, int]:
    """How many agree, are said, are wanted. The k-th repetition agrees with the k-th: common members of two bags."""
    claimed, there = Counter(said), Counter(wanted)
    return (claimed & there).total(), claimed.total(), there.total()


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
    """Tagged texts of a column, or of the columns normalized_text and normalized_ner of the release."""
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
