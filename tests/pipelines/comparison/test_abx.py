"""Phones of a run: agreement with the units, segments, and ABX error rates."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from speechprep.artifacts.run import open_run
from speechprep.errors import ConfigError, StaleArtifact
from speechprep.pipelines.comparison import phones
from speechprep.pipelines.comparison.abx import AbxOptions, abx
from speechprep.pipelines.comparison.phones import phone_agreement, sample_segments
from speechprep.pipelines.stages.cluster.quality import agreement
from speechprep.tokenizers.abx.dtw import one_hot
from speechprep.tokenizers.abx.score import Segments, error_rates

from .conftest import GRID

PHONES = "abcd"
EVERYTHING = AbxOptions("phone", segments=10**6, speakers=10**6)


def speech(seed: int = 0, utterances: int = 12):
    """Units that follow the phone with some noise, and the phones: {id: (speaker, units)}, {id: spans}."""
    rng = np.random.default_rng(seed)
    spoken, spans = {}, {}
    for number in range(utterances):
        units, rows = [], []
        for phone in rng.integers(0, 4, 8):
            length = int(rng.integers(2, 5))
            rows.append((len(units) / 100, (len(units) + length) / 100, PHONES[phone]))
            units += (phone + 4 * (rng.random(length) < 0.3)).tolist()
        spoken[f"u{number}"], spans[f"u{number}"] = (f"s{number % 3}", units), rows
    return spoken, spans


def by_hand(spoken, spans) -> Segments:
    """The segments of all phones, cut one by one."""
    units, phones_, speakers = [], [], []
    for id, (speaker, of_utterance) in spoken.items():
        for start, end, label in spans[id]:
            units.append(np.array(of_utterance[round(100 * start) : round(100 * end)], np.uint16))
            phones_.append(label)
            speakers.append(speaker)
    offsets = np.cumsum([0, *map(len, units)])
    return Segments(np.concatenate(units), offsets, phones_, [()] * len(units), speakers)


def test_without_limits_the_rates_are_those_of_all_segments(make_run, phone_table):
    spoken, spans = speech()
    result = abx(open_run(str(make_run(spoken))), phone_table(spans), EVERYTHING)
    wanted = error_rates(by_hand(spoken, spans), one_hot, lambda context, speaker, others: others)
    for rate, one, possible in zip((result.within, result.across), wanted, result.possible, strict=True):
        assert rate.error == pytest.approx(one.error)
        assert 0.0 < rate.error < 0.45
        assert rate.triples == one.triples == possible
    assert result.segments == result.used == 96


def test_a_sample_follows_from_the_seed_and_not_from_the_shards(make_run, phone_table):
    spoken, spans = speech()
    few = AbxOptions("phone", segments=3, speakers=1)
    one = abx(open_run(str(make_run(spoken, "one"))), phone_table(spans), few)
    turned = dict(reversed(spoken.items()))
    three = abx(open_run(str(make_run(turned, "three", shards=3))), phone_table(spans), few)
    assert one.as_dict() == three.as_dict()
    assert one.used == 3 * 4 * 3 < one.segments
    assert one.across.triples < one.possible[1]
    other = abx(open_run(str(make_run(spoken, "other"))), phone_table(spans), AbxOptions("phone", segments=3, seed=1))
    assert other.within.error != one.within.error


def test_utterances_are_drawn_up_to_a_number_of_phones(make_run, phone_table):
    spoken, spans = speech()
    run, labels = open_run(str(make_run(spoken))), phone_table(spans)
    result = abx(run, labels, AbxOptions("phone", phones=50))
    assert (result.utterances, result.segments) == ((6, 12), 48)  # of 8 phones each
    elsewhere = {f"x{i}": (f"x{i}", *labels["u0"][1:]) for i in range(50)}
    assert abx(run, labels | elsewhere, AbxOptions("phone", phones=50)).as_dict() == result.as_dict()
    assert list(phones.drawn(labels, 50, 0)) == list(phones.drawn(dict(reversed(labels.items())), 50, 0))
    assert set(phones.drawn(labels, 50, 0)) < set(phones.drawn(labels, 60, 0))
    assert len(phones.drawn(labels, 1, 0)) == 1
    assert set(phones.drawn(labels, 96, 0)) == set(labels)


def test_a_triphone_is_compared_in_equal_neighbours_only(make_run, phone_table):
    spoken, spans = speech(utterances=30)
    result = abx(open_run(str(make_run(spoken))), phone_table(spans), AbxOptions(segments=10**6, speakers=10**6))
    assert result.segments == 30 * 6  # the first and the last phone of an utterance have one neighbour
    assert result.left_out == {"no neighbour": 60}
    labels = phone_table(spans)
    sample = sample_segments(open_run(str(make_run(spoken, "b"))), labels, {"u0": "s"}, "triphone", 100, 0)
    assert sample.left_out["no speaker"] == 29 * 8
    rows = spans["u0"]
    lengths = sorted(round(100 * (rows[i + 1][1] - rows[i - 1][0])) for i in range(1, 7))
    assert sorted(np.diff(sample.segments().offsets).tolist()) == lengths
    assert set(sample.segments().contexts) == {(rows[i - 1][2], rows[i + 1][2]) for i in range(1, 7)}


def test_silences_and_phones_after_a_pause_are_left_out(make_run, phone_table):
    spans = {"u": [(0.0, 0.05, "sil"), (0.05, 0.1, "a"), (0.1, 0.15, "b"), (0.2, 0.25, "a"), (0.25, 0.3, "b")]}
    run = open_run(str(make_run({"u": ("s", [0] * 30)})))
    sample = sample_segments(run, phone_table(spans), {"u": "s"}, "triphone", 9, 0)
    assert sample.segments().phones == ["a"]  # b and a are 50 ms apart, and the last b is at the end
    assert sample.left_out == {"silence": 1, "no neighbour": 3}


@given(st.floats(0, 0.3), st.floats(0, 0.1), st.integers(0, 25))
def test_a_segment_has_the_frames_with_their_centre_inside(start, length, n):
    frames = phones._frames(GRID, start, start + length, n)
    wanted = [i for i in range(n) if start <= GRID.start(i) + 0.005 < start + length]
    assert list(range(frames.start, frames.stop)) == wanted


def test_agreement_counts_every_frame_inside_a_label(make_run, phone_table):
    spoken, spans = speech()
    del spans["u3"]
    units, labels = [], []
    for id, (_, of_utterance) in spoken.items():
        for start, end, label in spans.get(id, []):
            part = of_utterance[round(100 * start) : round(100 * end)]
            units += part
            labels += [PHONES.index(label)] * len(part)
    measured = phone_agreement(open_run(str(make_run(spoken, shards=2))), phone_table(spans))
    assert measured == pytest.approx(agreement(np.array(units), np.array(labels)))


@pytest.mark.parametrize("vectors", ["one-hot", "centroids"])
def test_either_vector_of_a_frame_can_be_chosen(make_run, phone_table, vectors):
    spoken, spans = speech()
    result = abx(open_run(str(make_run(spoken))), phone_table(spans), AbxOptions("phone", vectors))
    assert 0.0 < result.within.error < 0.5
    assert result.as_dict()["options"]["vectors"] == vectors


def test_errors_name_the_run_and_the_mend(make_run, phone_table, tmp_path: Path):
    spoken, spans = speech(utterances=2)
    run = open_run(str(make_run(spoken)))
    with pytest.raises(StaleArtifact, match=r"'elsewhere'.*column id"):
        abx(run, phone_table({"elsewhere": [(0, 1, "a")]}), EVERYTHING)
    with pytest.raises(ConfigError, match=r"no ABX triple.*--context phone"):
        abx(run, phone_table({"u0": spans["u0"][:3]}), AbxOptions()).require_triples()
    nobody = open_run(str(make_run({id: (None, units) for id, (_, units) in spoken.items()}, "nobody")))
    with pytest.raises(ConfigError, match="16 no speaker"):
        abx(nobody, phone_table(spans), EVERYTHING).require_triples()
    other = make_run(spoken, "other", k=9)
    (other / "codebook").rename(tmp_path / "moved")
    (Path(run.uri) / "codebook").rename(other / "codebook")
    with pytest.raises(StaleArtifact, match="run units again"):
        abx(open_run(str(other)), phone_table(spans), AbxOptions("phone", "centroids"))
