from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from speechprep.errors import BadInput, ConfigError
from speechprep.models.evaluation import scorer
from speechprep.models.evaluation.bootstrap import Bootstrap, precision_recall_f1
from speechprep.registry import FAMILIES

PAIRS = {
    "wer": ("a b c", "a x c"),
    "cer": ("a b c", "a x c"),
    "captions": (["a b c d e"], "a x c d e"),
    "slue-sa": ("Positive", "Negative"),
    "slue-ner": ("$ a b ] c", "$ a ] c"),
}


def texts(name, n=3):
    right, said = PAIRS[name]
    return {f"u{i}": right for i in range(n)}, {f"u{i}": said for i in range(n)}


@pytest.mark.parametrize("name", PAIRS)
def test_texts_are_joined_by_id_and_not_by_position(name):
    right, said = texts(name)
    said["u0"] = right["u0"][0] if name == "captions" else right["u0"]
    found = scorer(name)(right, said, bootstrap=Bootstrap(20))
    right, said = dict(reversed(right.items())), dict(sorted(said.items(), key=lambda item: item[0] != "u1"))
    assert scorer(name)(right, said, bootstrap=Bootstrap(20)) == found


@pytest.mark.parametrize("name", PAIRS)
def test_an_id_on_one_side_only_is_refused_by_its_name(name):
    right, said = texts(name)
    with pytest.raises(BadInput, match="'u1' has a reference and no hypothesis"):
        scorer(name)(right, {id: text for id, text in said.items() if id != "u1"})
    with pytest.raises(BadInput, match=r"'u9' \(and 1 more\) has a hypothesis and no reference"):
        scorer(name)(right, said | {"u9": said["u0"], "v": said["u0"]})
    with pytest.raises(BadInput, match="references are empty"):
        scorer(name)({}, {})


@pytest.mark.parametrize("name", PAIRS)
def test_a_score_is_plain_types_and_frozen(name):
    import json

    right, said = texts(name)
    found = scorer(name)(right, said, bootstrap=Bootstrap(5))
    again = json.loads(json.dumps(found.as_dict(), allow_nan=False))
    assert again["score"] == found.score
    assert again["interval"]["groups"] == 3
    with pytest.raises(AttributeError):
        found.score = 0.0


def test_the_registry_names_what_there_is():
    assert all(callable(scorer(name)) for name in FAMILIES["scorers"])
    with pytest.raises(ConfigError, match="unknown scorer 'rouge'; there are: wer"):
        scorer("rouge")


def mean(sums):
    return float(sums[0] / sums[1])


def rows(values):
    return np.array([(v, 1) for v in values], float)


def test_the_interval_of_a_mean_is_that_of_the_central_limit():
    values = np.arange(400) % 2
    found = Bootstrap(samples=2000).interval([f"{i:03}" for i in range(400)], rows(values), mean)
    half = 1.96 * 0.5 / 400**0.5
    assert found.low == pytest.approx(0.5 - half, abs=0.006)
    assert found.high == pytest.approx(0.5 + half, abs=0.006)


def test_whole_speakers_are_drawn_and_the_interval_is_wider():
    ids = [f"{i:03}" for i in range(400)]
    by_speaker = {id: f"s{i // 50}" for i, id in enumerate(ids)}
    values = [i // 50 % 2 for i in range(400)]  # all utterances of a speaker are alike
    narrow = Bootstrap().interval(ids, rows(values), mean)
    wide = Bootstrap(speakers=by_speaker).interval(ids, rows(values), mean)
    assert (wide.over, wide.groups) == ("speakers", 8)
    assert wide.high - wide.low > 4 * (narrow.high - narrow.low)
    with pytest.raises(BadInput, match="'399' has no speaker"):
        Bootstrap(speakers=dict.fromkeys(ids[:-1], "s")).interval(ids, rows(values), mean)


def test_the_seed_is_all_that_an_interval_depends_on():
    ids, values = list("abcdef"), [0, 1, 1, 0, 1, 5]
    first = Bootstrap(30, seed=3).interval(ids, rows(values), mean)
    assert Bootstrap(30, seed=3).interval(ids, rows(values), mean) == first
    assert Bootstrap(30, seed=4).interval(ids, rows(values), mean) != first


def test_one_group_gives_no_interval_and_nonsense_is_refused():
    assert Bootstrap().interval(["a"], rows([1]), mean) is None
    assert Bootstrap(speakers={"a": "s", "b": "s"}).interval(["a", "b"], rows([1, 2]), mean) is None
    with pytest.raises(ConfigError, match="0 samples"):
        Bootstrap(samples=0)
    with pytest.raises(ConfigError, match="level 95"):
        Bootstrap(level=95)


@given(st.lists(st.integers(0, 50), min_size=2, max_size=30))
def test_an_interval_lies_within_the_values_and_holds_its_order(values):
    found = Bootstrap(samples=50).interval([f"{i:02}" for i in range(len(values))], rows(values), mean)
    assert min(values) <= found.low <= found.high <= max(values)


def test_nothing_said_or_wanted_is_zero_and_not_an_error():
    assert precision_recall_f1(0, 0, 0) == {"precision": 0.0, "recall": 0.0, "f1": 0.0}
    assert precision_recall_f1(1, 2, 4)["f1"] == pytest.approx(1 / 3)
