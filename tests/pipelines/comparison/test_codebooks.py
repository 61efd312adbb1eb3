"""The comparison of codebooks: figures, table and page."""

from __future__ import annotations

import json
import re

import pytest

from speechprep.errors import StaleArtifact
from speechprep.pipelines.comparison.abx import AbxOptions
from speechprep.pipelines.comparison.codebooks import compare
from speechprep.pipelines.comparison.page import HEAD, cells, render, write

from .test_abx import speech

LABELS = {"pnmi": 0.5, "label_purity": 0.4, "labels": 4, "labelled_frames": 100}
SHIFT = {"kept": {"0.5": 0.9, "10": 0.7, "3": 0.8}}


def test_figures_of_the_fit_and_of_the_run(make_run, phone_table):
    spoken, spans = speech()
    run = make_run(spoken, subword=12.5, labels=LABELS, shift=SHIFT, bits_per_second=300.0)
    (row,) = compare([str(run)])
    assert (row.pnmi, row.purity, row.phones) == (0.5, 0.4, "sample")
    assert (row.kept, row.bits_per_second, row.tokens_per_second) == (0.7, 300.0, 12.5)
    assert row.abx_within is None
    assert (row.extractor, row.k) == ("toy, layer 3", 8)
    (measured,) = compare([str(run)], phone_table(spans), AbxOptions("phone"))
    assert measured.phones == "units"
    assert 0 < measured.abx_within < 0.1
    assert 0 < measured.abx_across < 0.1
    assert measured.pnmi != 0.5


def test_too_few_phones_for_a_triple_leave_the_error_rates_empty(make_run, phone_table):
    spoken, spans = speech(utterances=2)
    (row,) = compare([str(make_run(spoken))], phone_table({"u0": spans["u0"][:3]}))
    assert row.pnmi is not None
    assert (row.abx_within, row.abx_across) == (None, None)


def test_a_codebook_folder_stands_for_its_run(make_run, phone_table):
    spoken, spans = speech()
    run = make_run(spoken, subword=12.5)
    by_run, by_folder = (compare([str(p)], phone_table(spans), AbxOptions("phone"))[0] for p in (run, run / "codebook"))
    assert {**by_run.as_dict(), "codebook": ""} == {**by_folder.as_dict(), "codebook": ""}


def test_units_and_subwords_of_another_codebook_are_not_used(make_run, phone_table):
    spoken, spans = speech()
    one, other = make_run(spoken, "one", subword=12.5), make_run(spoken, "other", k=9)
    (other / "codebook").rename(one / "other")
    (row,) = compare([str(one / "other")])
    assert row.tokens_per_second is None
    with pytest.raises(StaleArtifact, match="run the stage units"):
        compare([str(one / "other")], phone_table(spans))


def test_a_folder_without_a_codebook_is_refused(tmp_path):
    with pytest.raises(StaleArtifact, match="codebook"):
        compare([str(tmp_path)])


def test_normalisation_and_padding_are_named(make_run):
    identity = {"name": "whisper", "model": "whisper-6x512", "layer": 3, "truncate": True}
    normalisation = {"center": "position", "standardize": False}
    run = make_run(speech()[0], extractor=identity, normalisation=normalisation)
    assert compare([str(run)])[0].extractor == "whisper-6x512, layer 3, truncated, centred"


def test_the_page_has_a_plot_for_each_known_figure_and_the_same_bytes(make_run, tmp_path):
    evil = make_run(speech()[0], "<b>run", subword=12.5, labels=LABELS)
    rows = compare([str(make_run(speech()[0], bits_per_second=300.0)), str(evil)])
    page = render(rows)
    assert page == render(rows)
    assert "<b>run" not in page
    data = json.loads(re.search(r'id="data">(.*?)</script>', page)[1])
    assert sorted(data["figures"]) == ["bits-per-second", "pnmi", "purity", "tokens-per-second"]
    assert data["figures"]["pnmi"]["data"][0]["x"] == [None, 0.5]
    write(rows, str(tmp_path / "page.html"))
    assert (tmp_path / "page.html").read_text() == page


def test_cells_are_empty_for_unknown_figures(make_run):
    row = dict(zip(HEAD, cells(compare([str(make_run(speech()[0], labels=LABELS))])[0]), strict=True))
    assert (row["PNMI"], row["Purity"], row["Bitrate"], row["ABX within speakers"]) == ("0.500", "0.400", "", "")
