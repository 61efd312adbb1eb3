"""Tagged text: its form, its parser and its scores."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from speechprep.errors import BadInput
from speechprep.models.evaluation.bootstrap import Bootstrap
from speechprep.models.evaluation.files import Table
from speechprep.models.evaluation.slue_ner import COMBINED, END, STARTS, annotation, parse, slue_ner, tagged

WORDS = st.sampled_from(["barack", "obama", "paris", "two", "the", "'s"])
phrases = st.lists(WORDS, min_size=1, max_size=3)
pieces = st.lists(st.one_of(WORDS, st.tuples(st.sampled_from(list(STARTS)), phrases)), max_size=8)
noise = st.lists(st.sampled_from([*STARTS.values(), END, "a", "b", "c."]), max_size=15)


def write(pieces):
    made = [p if isinstance(p, str) else " ".join([STARTS[p[0]], *p[1], END]) for p in pieces]
    return " ".join(made), [(p[0], " ".join(p[1])) for p in pieces if not isinstance(p, str)]


@given(pieces)
def test_what_is_written_is_read_back(pieces):
    text, entities = write(pieces)
    assert parse(text).entities == tuple(entities)
    assert parse(text).illegal == 0


@pytest.mark.parametrize(
    ("text", "entities", "illegal"),
    [
        ("then $ barack obama ] visited % paris ]", [("PERSON", "barack obama"), ("PLACE", "paris")], 0),
        ("$ barack % paris ] obama", [("PLACE", "paris")], 1),  # a start inside an open entity discards the open one
        ("barack ] obama", [], 1),  # an end without a start
        ("$ ] barack", [], 1),  # an empty phrase
        ("$ barack ] ]", [("PERSON", "barack")], 1),
        ("$ barack obama", [], 0),  # never ended
        ("$ % & ]", [], 3),
        ("! article ten. ] ; & today? ]", [("LAW", "article ten"), ("WHEN", "today")], 0),
        ("$ . ] #eu ]", [], 2),  # only whole words are symbols
        ("", [], 0),
    ],
)
def test_the_parser_keeps_the_rules_of_the_toolkit(text, entities, illegal):
    assert (list(parse(text).entities), parse(text).illegal) == (entities, illegal)


@given(noise)
def test_any_text_is_parsed_and_no_phrase_is_empty_or_holds_a_symbol(words):
    found = parse(" ".join(words))
    assert found.illegal <= sum(word in (*STARTS.values(), END) for word in words)
    for tag, phrase in found.entities:
        assert tag in STARTS
        assert phrase
        assert not set(phrase.split()) & {*STARTS.values(), END}


@given(st.lists(st.tuples(pieces, pieces), min_size=1, max_size=5))
def test_f1_is_that_of_sets_of_tag_phrase_and_repetition(pairs):
    def numbered(entities):
        seen = Counter()
        out = set()
        for entity in entities:
            seen[entity] += 1
            out.add((entity, seen[entity]))
        return out

    right = {str(i): write(a)[0] for i, (a, _) in enumerate(pairs)}
    said = {str(i): write(b)[0] for i, (_, b) in enumerate(pairs)}
    found = slue_ner(right, said)
    for strip, name in ((lambda e: e, ""), (lambda e: e[0], "label_")):
        sets = [(numbered(map(strip, write(a)[1])), numbered(map(strip, write(b)[1]))) for a, b in pairs]
        correct = sum(len(a & b) for a, b in sets)
        precision = correct / max(sum(len(b) for _, b in sets), 1)
        recall = correct / max(sum(len(a) for a, _ in sets), 1)
        assert found.others[f"{name}precision"] == pytest.approx(precision)
        assert found.others[f"{name}recall"] == pytest.approx(recall)
    assert found.score <= found.others["label_f1"] + 1e-12
    assert 0 <= found.score <= 1


def test_a_repeated_entity_counts_as_often_as_it_is_said():
    right = {"u": "% eu ] and % eu ] and & today ]"}
    found = slue_ner(right, {"u": "% eu ] and % paris ] and & now ] % eu ] % eu ]"})
    assert found.counts["correct"] == 2
    assert (found.counts["reference_entities"], found.counts["hypothesis_entities"]) == (3, 5)
    assert found.others["label_recall"] == 1
    assert found.by["PLACE"] == pytest.approx({"precision": 0.5, "recall": 1, "f1": 2 / 3, "support": 2})


def test_entities_are_compared_within_an_utterance_only():
    found = slue_ner({"a": "% paris ]", "b": "x"}, {"a": "x", "b": "% paris ]"}, bootstrap=Bootstrap(20))
    assert (found.score, found.others["label_f1"]) == (0, 0)


def test_raw_tags_become_seven_or_are_left_out():
    assert Counter(COMBINED.values()) == {
        "QUANT": 5,
        "WHEN": 2,
        "PLACE": 2,
        "NORP": 1,
        "ORG": 1,
        "LAW": 1,
        "PERSON": 1,
        None: 5,
    }
    text = "on monday the french; bought barack's two books, in paris."
    spans = [
        ["GPE", text.index("paris"), 5],
        ["DATE", 3, 6],
        ["PERSON", text.index("barack"), 6],
        ["WORK_OF_ART", 41, 5],
    ]
    assert tagged(text, spans) == "on & monday ] the french bought $ barack ] 's two books in % paris ]"


@pytest.mark.parametrize(
    ("spans", "message"),
    [
        ([["CITY", 0, 2]], "tag 'CITY' is not an OntoNotes tag"),
        ([["GPE", 0, 5], ["ORG", 3, 2]], "ORG at 3-5 overlaps"),
        ([["GPE", 5, 10]], "GPE at 5-15"),
        ([["GPE", 2, 1]], "is empty"),
    ],
)
def test_annotations_that_do_not_fit_their_text_are_refused(spans, message):
    with pytest.raises(BadInput, match=message):
        tagged("in paris", spans)


def test_a_cell_of_the_release_is_a_list_or_none():
    assert annotation("None") == annotation("[]") == annotation("") == []
    assert annotation("[['LAW', 86, 18]]") == [["LAW", 86, 18]]
    for broken in ("[['LAW', 86]]", "LAW 86 18", "{'LAW': 3}"):
        with pytest.raises(BadInput, match="not a list of"):
            annotation(broken)


def test_five_thousand_annotated_transcripts_are_written_and_read_back(shared_data):
    table = Table(str(shared_data / "slue-voxpopuli" / "slue-voxpopuli_fine-tune.tsv"))
    texts, spans = table.texts("normalized_text"), table.texts("normalized_ner")
    assert len(texts) == 5000
    made = {id: tagged(text, annotation(spans[id])) for id, text in texts.items()}
    raw = Counter(COMBINED[span[0]] for cell in spans.values() for span in annotation(cell))
    read = Counter(tag for text in made.values() for tag, _ in parse(text).entities)
    assert read == {tag: n for tag, n in raw.items() if tag}
    assert sum(read.values()) == 5730
    assert not any(parse(text).illegal for text in made.values())
    assert slue_ner(made, made).score == 1
