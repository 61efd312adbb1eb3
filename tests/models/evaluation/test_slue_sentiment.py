from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import precision_recall_fscore_support

from speechprep.errors import BadInput
from speechprep.models.evaluation.bootstrap import Bootstrap
from speechprep.models.evaluation.slue_sentiment import LABELS, sentiment, slue_sentiment

pairs = st.lists(st.tuples(st.sampled_from(LABELS), st.sampled_from(LABELS)), min_size=1, max_size=30)


def score(pairs, **options):
    right = {f"{i:02}": a for i, (a, _) in enumerate(pairs)}
    return slue_sentiment(right, {f"{i:02}": b for i, (_, b) in enumerate(pairs)}, **options)


@given(pairs)
def test_all_averages_are_those_of_sklearn(pairs):
    found = score(pairs)
    truth, said = zip(*pairs, strict=True)
    for average in ("macro", "weighted"):
        theirs = precision_recall_fscore_support(truth, said, average=average, zero_division=0)
        mine = [found.others[f"{average}_{figure}"] for figure in ("precision", "recall", "f1")]
        assert mine == pytest.approx(theirs[:3], abs=1e-12)
    assert found.score == found.others["macro_f1"]
    assert found.others["accuracy"] == pytest.approx(sum(a == b for a, b in pairs) / len(pairs))


def test_mixed_and_disputed_annotations_are_neutral():
    assert [sentiment(label) for label in ("<mixed>", "Disagreement", "positive ", "angry")] == [
        "Neutral",
        "Neutral",
        "Positive",
        None,
    ]
    found = slue_sentiment({"a": "<mixed>", "b": "Disagreement", "c": "Positive"}, dict.fromkeys("abc", "Neutral"))
    assert found.by["Neutral"] == pytest.approx({"precision": 2 / 3, "recall": 1, "f1": 0.8, "support": 2})


def test_a_hypothesis_that_is_no_label_is_a_miss_and_no_fourth_class():
    found = score([("Positive", "Positive"), ("Positive", "who knows"), ("Negative", "Negative")])
    assert found.counts["unknown_labels"] == 1
    assert list(found.by) == ["Negative", "Positive"]
    assert found.by["Positive"]["recall"] == 0.5
    assert found.by["Positive"]["precision"] == 1


def test_a_reference_that_is_no_label_is_refused_by_its_id():
    with pytest.raises(BadInput, match="'00' has the label 'Angry'; use one of Negative, Neutral, Positive"):
        score([("Angry", "Positive")])


def test_the_interval_holds_the_score():
    found = score([(LABELS[i % 3], LABELS[i % 3 if i % 4 else 0]) for i in range(90)], bootstrap=Bootstrap(300))
    assert found.interval.low < found.score < found.interval.high
    assert found.interval.high - found.interval.low < 0.3
