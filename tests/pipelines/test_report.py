"""The report of small runs that are made here, table by table."""

from __future__ import annotations

import base64
import hashlib
import json
import random
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers.report_runs import (
    EVIL,
    K,
    aligned,
    data_of,
    declare,
    make_run,
    text_of,
    token_row,
    utterance,
    write,
    write_rejects,
)
from hypothesis import example, given, settings
from hypothesis import strategies as st

from speechprep.artifacts import schemas
from speechprep.artifacts.run import open_run
from speechprep.artifacts.shards import shard_name
from speechprep.pipelines.report import build_report, render
from speechprep.pipelines.report.facts import Kind, Packed, Yield, gather
from speechprep.pipelines.report.figures import compression, histogram, mixture, packed_mixture, waterfall
from speechprep.pipelines.report.histogram import Histogram
from speechprep.pipelines.report.retrieval import measure
from speechprep.pipelines.report.selection import choose
from speechprep.pipelines.report.utterance import LONGEST, envelope


def test_a_whole_run_has_every_section_and_three_utterances(tmp_path: Path) -> None:
    path = build_report(str(make_run(tmp_path / "run")))
    assert path == tmp_path / "run" / "report.html"
    page = path.read_text()
    for anchor in ("yield", "speech", "units", "compression", "tokens", "index", "listen"):
        assert f'<section id="{anchor}">' in page
    data = data_of(page)
    assert len(data["utterances"]) == 3
    listen, check = (page.split(f'<section id="{anchor}">')[1].split("</section>")[0] for anchor in ("listen", "check"))
    assert listen.count("data:audio/flac;base64,") == 3
    assert check.count("data:audio/flac;base64,") == 3
    for name in data["figures"]:
        assert f'id="plot-{name}"' in page


def test_every_figure_is_a_valid_plotly_figure(tmp_path: Path) -> None:
    graph_objects = pytest.importorskip("plotly.graph_objects")
    figures = data_of(render(str(make_run(tmp_path))))["figures"]
    assert len(figures) >= 8
    for figure in figures.values():
        graph_objects.Figure(figure)


def test_the_same_run_gives_the_same_bytes(tmp_path: Path) -> None:
    run = str(make_run(tmp_path))
    assert render(run) == render(run)


def test_the_number_of_shards_does_not_change_what_is_shown(tmp_path: Path) -> None:
    one, three = (render(str(make_run(tmp_path / str(shards) / "run", shards=shards))) for shards in (1, 3))
    assert one == three


def test_the_page_asks_nothing_of_the_network(tmp_path: Path) -> None:
    page = text_of(render(str(make_run(tmp_path))))
    assert "default-src 'none'" in page
    for link in re.findall(r'(?:src|href)="([^"]*)"', page):
        assert link.startswith(("#", "data:"))
    assert not re.search(r"@import|url\(", page)


def test_only_the_scripts_of_the_page_itself_may_run(tmp_path: Path) -> None:
    page = render(str(make_run(tmp_path)))
    policy = re.search(r'http-equiv="Content-Security-Policy" content="([^"]*)"', page)
    assert policy
    assert "unsafe-inline" not in policy[1].split("script-src")[1]
    for script in re.findall(r"<script>(.*?)</script>", page, re.DOTALL):
        digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
        assert f"'sha256-{digest}'" in policy[1]


def test_text_from_the_data_is_never_markup(tmp_path: Path) -> None:
    write(
        tmp_path, "utterances", schemas.UTTERANCES, [utterance(EVIL, 1.0, text=EVIL, speaker=EVIL), utterance("b", 1.0)]
    )
    words = aligned(EVIL, 1.0, text=EVIL)
    words["words"][0]["text"] = EVIL
    write(tmp_path, "words", schemas.WORDS, [words, aligned("b", 1.0, kept=False, reason=EVIL)])
    write_rejects(tmp_path, "words", [{"id": EVIL, "stage": "align", "code": EVIL, "message": EVIL}])
    vector = {"id": EVIL, "t0": 0.0, "t1": 1.0, "vector": [1.0, 0.0], "caption": EVIL}
    write(tmp_path, "embeddings", schemas.vector_schema(2), [vector, vector | {"vector": [0.0, 1.0]}])
    declare(tmp_path, "index", **{EVIL: EVIL})
    run = {"recipe": EVIL, "description": EVIL, "stages": [{"name": EVIL, "seconds": 1, "workers": EVIL}]}
    (tmp_path / "run.json").write_text(json.dumps(run))
    page = render(str(tmp_path))
    assert EVIL not in page
    assert "<script>alert" not in page
    assert page.count("</script>") == 4
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page
    assert data_of(page)["utterances"][0]["words"][0][0] == EVIL
    assert not any("<" in label for label in data_of(page)["figures"]["yield"]["data"][0]["y"])


def test_a_transcript_cannot_smuggle_a_template_placeholder_in(tmp_path: Path) -> None:
    write(tmp_path, "utterances", schemas.UTTERANCES, [utterance("a", 1.0, text="costs $plotly ${style} $5")])
    assert "costs $plotly ${style} $5" in text_of(render(str(tmp_path)))


def test_a_run_of_ingest_and_align_alone_works(tmp_path: Path) -> None:
    write(tmp_path, "utterances", schemas.UTTERANCES, [utterance("a", 1.0), utterance("b", 2.0)])
    write(tmp_path, "words", schemas.WORDS, [aligned("a", 1.0), aligned("b", 2.0)])
    page = render(str(tmp_path))
    assert 'id="listen"' in page
    for anchor in ("units", "compression", "tokens", "index", "stages"):
        assert f'id="{anchor}"' not in page


def test_a_run_where_everything_was_rejected_works(tmp_path: Path) -> None:
    write(tmp_path, "utterances", schemas.UTTERANCES, [utterance("a", 1.0)])
    write(tmp_path, "words", schemas.WORDS, [])
    write(tmp_path, "units", schemas.units_schema(K), [], k=K)
    write(tmp_path, "tokens", schemas.TOKENS, [])
    write(tmp_path, "packed", schemas.PACKED, [])
    write(tmp_path, "embeddings", schemas.vector_schema(6), [])
    write_rejects(tmp_path, "words", [{"id": "a", "stage": "align", "code": "text_empty", "message": "no text"}])
    page = render(str(tmp_path))
    assert "text_empty" in page
    assert "0 s of 1 s were kept." in page


def test_nothing_ingested_at_all_still_gives_a_page(tmp_path: Path) -> None:
    write(tmp_path, "utterances", schemas.UTTERANCES, [])
    write_rejects(tmp_path, "utterances", [{"id": "a", "stage": "ingest", "code": "audio_empty", "message": "0 bytes"}])
    page = render(str(tmp_path))
    assert "audio_empty" in page
    assert '<td class="n">unknown</td>' in page


def test_an_empty_folder_still_gives_a_page(tmp_path: Path) -> None:
    assert "<h1>" in render(str(tmp_path))


def test_a_folder_without_a_manifest_is_named_as_not_finished(tmp_path: Path) -> None:
    run = make_run(tmp_path)
    (run / "units" / "_manifest.json").unlink()
    page = render(str(run))
    assert "units: left out of this page" in page
    assert 'id="units"' not in page


def test_audio_that_is_gone_leaves_a_note_in_place_of_the_drawing(tmp_path: Path) -> None:
    row = utterance("a", 1.0) | {"audio_bytes": None, "audio": str(tmp_path / "gone.wav")}
    write(tmp_path, "utterances", schemas.UTTERANCES, [row])
    page = render(str(tmp_path))
    assert "No audio:" in page
    assert "<audio" not in page


def test_only_the_first_seconds_of_a_long_utterance_are_embedded(tmp_path: Path) -> None:
    write(tmp_path, "utterances", schemas.UTTERANCES, [utterance("a", LONGEST + 5)])
    write(tmp_path, "words", schemas.WORDS, [aligned("a", LONGEST + 5)])
    page = render(str(tmp_path))
    drawn = data_of(page)["utterances"][0]
    assert drawn["seconds"] == LONGEST
    assert all(word[1] < LONGEST for word in drawn["words"])
    assert "The first 20 s of it are shown." in page


def test_run_json_gives_the_stages_with_their_speed(tmp_path: Path) -> None:
    make_run(tmp_path)
    stages = [
        {"name": "align", "seconds": 2.0, "times_real_time": 30.2, "workers": 2, "rejected": 1},
        {"name": "units", "seconds": 0.1, "times_real_time": None, "workers": 1, "rejected": 0},
    ]
    (tmp_path / "run.json").write_text(json.dumps({"recipe": "demo", "stages": stages}))
    page = text_of(render(str(tmp_path)))
    assert "<h1>demo</h1>" in page
    numbers = ['<td class="n">2 s</td>', '<td class="n">30×</td>', '<td class="n">2</td>', '<td class="n">1</td>']
    assert "<td>align</td>" + "".join(numbers) in page
    assert '<td>units</td><td class="n">0.1 s</td><td class="n"></td>' in page


def test_the_yield_adds_up_and_rejects_get_their_length_from_the_utterances(tmp_path: Path) -> None:
    names = ["kept", "filtered", "rejected", "silent"]
    write(tmp_path, "utterances", schemas.UTTERANCES, [utterance(i, 1.0 + n) for n, i in enumerate(names)], shards=2)
    write(
        tmp_path,
        "words",
        schemas.WORDS,
        [aligned("kept", 1.0), aligned("filtered", 2.0, kept=False, reason="score_low")],
        2,
    )
    bad = {"id": "rejected", "stage": "align", "code": "text_empty", "message": "no text"}
    write_rejects(tmp_path, "words", [bad], shard_name(0, 2))
    write_rejects(tmp_path, "utterances", [{"id": "x", "stage": "ingest", "code": "audio_empty", "message": "0 bytes"}])
    yields = gather(open_run(str(tmp_path))).yields
    assert (yields.seconds, yields.aligned_seconds, yields.kept_seconds) == (10.0, 3.0, 1.0)
    assert yields.losses["align", "score_low"].seconds == 2.0
    assert yields.losses["align", "text_empty"].seconds == 3.0
    assert yields.losses["ingest", "audio_empty"].unknown == 1
    assert yields.unaligned_seconds == 4.0
    bars = waterfall(yields)["data"][0]
    assert bars["y"] == ["ingested", "text_empty", "score_low", "not aligned", "kept"]
    assert bars["base"][1:4] == [7.0, 5.0, 1.0]


def test_runs_of_units_are_counted_within_their_utterance(tmp_path: Path) -> None:
    rows = [[0, 0, 1], [1, 1, 1, 3], [], [3]]
    write(
        tmp_path,
        "units",
        schemas.units_schema(5),
        [{"id": str(i), "units": u, "codebook": "c"} for i, u in enumerate(rows)],
        k=5,
    )
    units = gather(open_run(str(tmp_path))).units
    assert units is not None
    assert units.counts.tolist() == [2, 4, 0, 2, 0]
    assert units.dead == [2, 4]
    assert (units.frames, units.run_count) == (8, 5)
    assert units.runs[1:4].tolist() == [3, 1, 1]
    share = np.array([0.25, 0.5, 0.25])
    assert units.perplexity == pytest.approx(np.exp(-(share * np.log(share)).sum()))


def test_speech_and_text_tokens_are_counted_for_a_second(tmp_path: Path) -> None:
    page = render(str(make_run(tmp_path)))
    bars = data_of(page)["figures"]["compression"]["data"][0]
    rates = dict(zip(bars["y"], bars["x"], strict=True))
    assert rates["frames"] == 100
    assert rates["run-length units"] == pytest.approx(24, abs=1)
    assert rates["speech subwords"] == pytest.approx(20, abs=0.3)
    assert rates["text tokens"] == pytest.approx(4, abs=0.3)


def test_without_token_rows_the_rates_measured_in_training_are_shown(tmp_path: Path) -> None:
    units = [{"id": "a", "units": [0, 0, 1, 1], "codebook": "c"}]
    grid = {"sample_rate": 16000, "stride": 160, "window": 400, "padded": False}
    write(tmp_path, "units", schemas.units_schema(K), units, k=K, grid=grid)
    told = {"speech": {"tokens_per_second": 15.5}, "text": {"tokens_per_second": 4.5}}
    declare(tmp_path, "subword", coverage={"compression": told})
    bars = data_of(render(str(tmp_path)))["figures"]["compression"]["data"][0]
    assert dict(zip(bars["y"], bars["x"], strict=True)) == {
        "frames": 100.0,
        "run-length units": 50.0,
        "speech subwords": 15.5,
        "text tokens": 4.5,
    }


def test_what_the_clustering_and_the_index_found_out_is_shown(tmp_path: Path) -> None:
    run = make_run(tmp_path)
    told = {"frames_used": 900, "frames_seen": 1000, "duplicate_units": 3, "words": {"pnmi": 0.251}}
    declare(run, "codebook", k=K, **told)
    declare(run, "subword", size=50, ranges={"special": [0, 16], "unit": [16, 50]})
    page = text_of(render(str(run)))
    assert "900 of 1,000 sampled" in page
    assert "25.1\u00a0%" in page
    assert "50 tokens: 16 special, 34 unit" in page
    assert "98\u00a0%" in page


def test_an_index_brings_its_own_vectors(tmp_path: Path) -> None:
    vectors = [
        {"id": str(i), "t0": 0.0, "t1": 1.0, "vector": v, "caption": f"c{i}"}
        for i, v in enumerate(([1.0, 0.0], [0.0, 1.0]))
    ]
    write(tmp_path, "index", schemas.vector_schema(2), vectors, self_retrieval_at_1=1.0)
    page = text_of(render(str(tmp_path)))
    assert "2, vectors of 2 dimensions" in page
    assert "items that their own text finds first" in page


def test_tokens_outside_the_runs_are_markers(tmp_path: Path) -> None:
    write(tmp_path, "tokens", schemas.TOKENS, [token_row("a", "ast", [("unit", 5, 1.0), ("text", 2, 0.5)], markers=3)])
    tokens = gather(open_run(str(tmp_path))).tokens
    assert tokens is not None
    assert tokens["ast"].modality == {"unit": 5, "text": 2, "marker": 3}


def test_padding_is_no_token(tmp_path: Path) -> None:
    packed = gather(open_run(str(make_run(tmp_path)))).packed
    assert packed == Packed(3, {0: 3, 1: 6, 2: 9}, 6)  # type: ignore[arg-type]
    assert packed.fill == 0.75


def test_best_typical_and_worst_are_three_different_utterances(tmp_path: Path) -> None:
    run = open_run(str(make_run(tmp_path, n=9, shards=2)))
    chosen = choose(run, gather(run).speech)
    assert [each.why for each in chosen] == ["Best aligned", "Typical", "Worst kept"]
    assert [each.utterance["id"] for each in chosen] == ["utt-008", "utt-004", "utt-000"]


def test_without_scores_utterances_are_drawn_by_lot(tmp_path: Path) -> None:
    ids = ["a", "b", "c", "d", "e"]
    write(tmp_path, "utterances", schemas.UTTERANCES, [utterance(i, 1.0) for i in ids])
    write(tmp_path, "words", schemas.WORDS, [aligned(i, 1.0, None) for i in ids])
    run = open_run(str(tmp_path))
    chosen = choose(run, gather(run).speech)
    assert {each.why for each in chosen} == {"Drawn by lot"}
    assert len({each.utterance["id"] for each in chosen}) == 3


def test_utterances_of_equal_score_are_chosen_by_their_id(tmp_path: Path) -> None:
    ids = [f"{i:02d}" for i in range(20)]
    write(tmp_path, "utterances", schemas.UTTERANCES, [utterance(i, 1.0) for i in reversed(ids)])
    write(tmp_path, "words", schemas.WORDS, [aligned(i, 1.0, 1.0) for i in reversed(ids)])
    run = open_run(str(tmp_path))
    assert [each.utterance["id"] for each in choose(run, gather(run).speech)] == ["01", "00", "02"]


def test_the_index_finds_what_was_put_in(tmp_path: Path) -> None:
    embeddings = open_run(str(make_run(tmp_path, n=9, shards=2))).get("embeddings")
    assert embeddings is not None
    found = measure(embeddings)
    assert found is not None
    assert (found.rows, found.dim, found.queries, found.self_found) == (9, 6, 9, 9)
    assert found.example is not None
    asked, others = found.example
    assert asked.startswith("caption of utt-00")
    assert len(others) == 3
    assert asked not in {caption for _, _, caption in others}
    assert [cosine for cosine, *_ in others] == sorted((cosine for cosine, *_ in others), reverse=True)


@settings(max_examples=30)
@example([0.0, 8192.0, -5e-324], random.Random(0))
@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=60), st.randoms())
def test_a_histogram_does_not_depend_on_order_or_batches(values: list[float], order: Any) -> None:
    whole, pieces = Histogram(), Histogram()
    whole.add(values)
    order.shuffle(values)
    for value in values:
        pieces.add([value])
    assert whole.width == pieces.width
    assert (whole.bins == pieces.bins).all()
    assert whole.bins.sum() == len(values)
    assert sum(whole.bars().counts) == len(values)
    median = np.sort(values)[(len(values) - 1) // 2]
    assert abs(whole.quantile(0.5) - median) <= whole.width


def test_a_histogram_leaves_out_what_is_not_a_number() -> None:
    values = Histogram()
    values.add([np.nan, np.inf, 1.0])
    assert (values.count, values.mean) == (1, 1.0)
    assert histogram(values, "x")["data"][0]["y"] == [1]


def test_a_largest_value_on_an_edge_gets_no_bar_beyond_it() -> None:
    shares = Histogram()
    shares.add([0.5, 0.75, *[1.0] * 20])
    bars = shares.bars()
    assert bars.left + len(bars.counts) * bars.width == pytest.approx(1.0)
    assert (bars.counts[0], bars.counts[-1], sum(bars.counts)) == (1, 20, 22)


def test_an_envelope_holds_every_extreme() -> None:
    samples = np.zeros(5000, np.float32)
    samples[1234], samples[4999] = 0.5, -0.25
    both = envelope(samples, 100)
    assert both.shape == (100, 2)
    assert both.max() == 1.0
    assert both.min() == -0.5
    assert envelope(np.zeros(0, np.float32)).shape == (1, 2)


def test_figures_bear_empty_data() -> None:
    waterfall(Yield())
    compression({})
    mixture({"ast": Kind()})
    packed_mixture(replace(Packed(), padding=5), {})
