"""Caption scores against the reference implementation's, and its tokens."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from speechprep.errors import BadInput, ConfigError
from speechprep.models.evaluation.bootstrap import Bootstrap
from speechprep.models.evaluation.captions import bleu, captions, cider, rouge_l
from speechprep.models.evaluation.ptb_tokenizer import PUNCTUATION, tokenize


@pytest.fixture(scope="module")
def cases(shared_data):
    folder = shared_data / "audiocaps-captions"
    rows = [json.loads(line) for line in (folder / "caption_metrics_cases.jsonl").read_text().splitlines()]
    return rows, json.loads((folder / "caption_metrics_expected.json").read_text())


def test_every_caption_has_the_tokens_of_the_java_program(cases):
    rows, _ = cases
    assert len(rows) == 495
    for row in rows:
        assert " ".join(tokenize(row["candidate"])) == row["candidate_tok"]
        assert [" ".join(tokenize(text)) for text in row["references"]] == row["references_tok"]


def test_the_corpus_scores_are_those_of_pycocoevalcap(cases):
    rows, expected = cases
    found = captions({r["id"]: r["references"] for r in rows}, {r["id"]: r["candidate"] for r in rows})
    assert found.score == pytest.approx(expected["corpus"]["CIDEr"], abs=1e-9)
    assert found.others["cider_x100"] == pytest.approx(100 * expected["corpus"]["CIDEr"], abs=1e-7)
    assert found.others["rouge_l"] == pytest.approx(expected["corpus"]["ROUGE_L"], abs=1e-9)
    assert [found.others[f"bleu_{n}"] for n in range(1, 5)] == pytest.approx(expected["corpus"]["BLEU"], abs=1e-9)
    assert found.counts["references"] == 4 * len(rows)


def test_every_item_scores_as_pycocoevalcap_says(cases):
    rows, _ = cases
    said = [row["candidate_tok"].split() for row in rows]
    wanted = [[text.split() for text in row["references_tok"]] for row in rows]
    for row, words, references, value in zip(rows, said, wanted, cider(said, wanted), strict=True):
        assert value == pytest.approx(row["expected"]["CIDEr"], abs=1e-9)
        assert rouge_l(words, references) == pytest.approx(row["expected"]["ROUGE_L"], abs=1e-9)
        assert bleu([words], [references])[3] == pytest.approx(row["expected"]["BLEU_4"], abs=1e-9)


def test_tokenized_texts_and_raw_ones_score_alike(cases):
    rows, _ = cases
    raw = captions({r["id"]: r["references"] for r in rows}, {r["id"]: r["candidate"] for r in rows})
    made = captions(
        {r["id"]: r["references_tok"] for r in rows}, {r["id"]: r["candidate_tok"] for r in rows}, tokens="none"
    )
    assert (raw.score, raw.others) == (made.score, made.others)


@pytest.mark.parametrize(
    ("caption", "tokens"),  # as CoreNLP 3.4.1 answers
    [
        (
            'A dog barks, then a man says "hello, how are you?" and laughs!',
            "a dog barks then a man says hello how are you and laughs",
        ),
        (
            "The man's dog isn't barking; it's sleeping - he'd said so...",
            "the man 's dog is n't barking it 's sleeping he 'd said so",
        ),
        (
            "Mr. Smith can't sing (off-key) and gonna stop at 5 p.m. on Jan. 5",
            "mr. smith ca n't sing -lrb- off-key -rrb- and gon na stop at 5 p.m. on jan. 5",
        ),
        (
            "A T-shirt/jacket, 1/2 cup, 3.5 kg, 5kg, 50% of $5 and R&B no. 5",
            "a t-shirt/jacket 1/2 cup 3.5 kg 5kg 50 % of $ 5 and r&b no. 5",
        ),
        (
            "Rock 'n' roll o'clock 'tis y'all O'Brien's 80's kids’ toys – “wow” ma'am",
            "rock 'n' roll o'clock 't is y' all o'brien 's 80 's kids toys wow ma'am",
        ),
        (
            "Bells ring!! A cat &amp; a dog said.Then left at 10:30, the dogs' bowl",
            "bells ring !! a cat & a dog said.then left at 10:30 the dogs bowl",
        ),
        (
            "merry-go-round and/or cannot well--known a b.c. u.s. army No one ok.",
            "merry-go-round and/or can not well known a b.c. u.s. army no one ok",
        ),
    ],
)
def test_tokens_are_those_of_the_penn_treebank(caption, tokens):
    assert " ".join(tokenize(caption)) == tokens


@given(st.text(max_size=60))
def test_any_text_has_tokens_and_none_is_punctuation(text):
    found = tokenize(text)
    assert not PUNCTUATION & set(found)
    assert not any(token != token.strip() or not token for token in found)


texts = st.lists(st.sampled_from("abcde"), min_size=1, max_size=8)
items = st.lists(st.tuples(texts, st.lists(texts, min_size=1, max_size=3)), min_size=2, max_size=6)


@given(items)
def test_scores_stay_in_their_ranges_and_a_reference_scores_highest(pairs):
    said, wanted = [words for words, _ in pairs], [references for _, references in pairs]
    own = cider([references[0] for references in wanted], [references[:1] for references in wanted])
    assert np.all(cider(said, wanted) >= 0)
    assert np.all(own <= 10 + 1e-9)
    assert np.all(cider(said, [references[:1] for references in wanted]) <= np.maximum(own, 10) + 1e-9)
    for words, references in pairs:
        assert 0 <= rouge_l(words, references) <= 1
        assert rouge_l(references[0], references) == pytest.approx(1)
    assert all(0 <= value <= 1 + 1e-9 for value in bleu(said, wanted))


def test_a_perfect_caption_scores_ten_where_nobody_else_says_its_words():
    words = [list("abcde"), list("fghij")]
    assert cider(words, [[w] for w in words]) == pytest.approx([10, 10])


def test_the_document_frequency_is_that_of_the_split_and_one_item_scores_nothing():
    right = {"a": ["a dog barks in the rain"], "b": ["a cat sleeps by the fire"], "c": ["rain falls on a roof"]}
    said = {id: texts[0] for id, texts in right.items()} | {"a": "a dog barks near the fire"}
    whole = captions(right, said).score
    part = captions({id: right[id] for id in "ab"}, {id: said[id] for id in "ab"}).score
    assert not math.isclose(whole, part)
    assert captions({"a": right["a"]}, {"a": right["a"][0]}).score == 0


def test_the_interval_is_of_the_mean_of_the_items():
    right = {str(i): [f"a sound of kind {'abcdefgh'[i]} is heard"] for i in range(8)}
    said = {id: texts[0] if int(id) % 2 else "silence" for id, texts in right.items()}
    found = captions(right, said, bootstrap=Bootstrap(200))
    assert found.interval.low < found.score < found.interval.high
    assert found.scale == "points"


def test_what_cannot_be_scored_is_refused():
    with pytest.raises(BadInput, match="'a' has an empty list of references"):
        captions({"a": []}, {"a": "x"})
    with pytest.raises(ConfigError, match="unknown tokenizer '13a'; set one of ptb, none"):
        captions({"a": ["x"]}, {"a": "x"}, tokens="13a")


def test_an_empty_caption_scores_nothing():
    found = captions({"a": ["x y"], "b": ["u v"]}, {"a": "", "b": "..."})
    assert (found.score, found.others["rouge_l"], found.counts["words"]) == (0, 0, 0)
    assert found.others["bleu_4"] < 1e-6
