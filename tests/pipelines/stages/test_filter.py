"""filter: a new verdict over stored scores, and the view of what thresholds would keep."""

from __future__ import annotations

import time

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from helpers import rowmaking as made
from hypothesis import given
from hypothesis import strategies as st

from speechprep.artifacts import manifest, shards
from speechprep.artifacts.schemas import DUPLICATES, QUALITY, WORDS
from speechprep.errors import ConfigError, StaleArtifact
from speechprep.pipelines import filter_survey, thresholds
from speechprep.pipelines.engine.recipe import single
from speechprep.pipelines.stages import filter as stage
from speechprep.pipelines.stages.align import STAGE as ALIGN
from speechprep.pipelines.stages.interleave import STAGE as INTERLEAVE

WORD = {"text": "a", "start": 0.0, "end": 1.0, "score": -1.0, "timing": "aligned"}


def row(id, **scores):
    known = {"id": id, "text": "a", "words": [WORD], "duration": 10.0, "score": -1.0, "words_per_second": 2.0}
    return {**dict.fromkeys(WORDS.names), **known, "kept": True, "reason": None, **scores}


ROWS = [
    row("good", trust=0.9, cer=0.0),
    row("noisy", score=-5.0, trust=0.8, kept=False, reason="low_score"),
    row("shifted", trust=0.1, cer=0.0, duration=20.0),
    row("both", score=-6.0, trust=0.2, duration=5.0),
    row("silent", words=[], score=None, words_per_second=0.0, kept=False, reason="no_words"),
]


@pytest.fixture
def words(tmp_path):
    return made.write_dataset(tmp_path / "words", "words", WORDS, [ROWS[:2], ROWS[2:]])


def config(**options):
    return stage.STAGE.configure(options)


def read(folder):
    return [r for file in sorted(folder.glob("part-*")) for r in pq.read_table(file).to_pylist()]


def test_only_the_verdict_changes_and_rows_stay_in_their_shards(run_stage, words, tmp_path):
    out = run_stage(stage.STAGE, {"min_trust": 0.5}, {"words": words}, tmp_path / "out", workers=2)
    assert [p.name for p in sorted(out.glob("part-*"))] == [p.name for p in sorted(words.glob("part-*"))]
    before, after = read(words), read(out)
    for old, new in zip(before, after, strict=True):
        assert {**old, "kept": None, "reason": None} == {**new, "kept": None, "reason": None}
    assert {r["id"]: r["reason"] for r in after} == {
        "good": None,
        "noisy": None,
        "shifted": "doubtful_times",
        "both": "doubtful_times",
        "silent": "no_words",
    }
    assert all(r["kept"] == (r["reason"] is None) for r in after)
    assert manifest.read(str(out)).counters["kept"] == 2


def test_refine_leaves_what_is_not_kept_as_it_is(run_stage, words, tmp_path):
    out = run_stage(stage.STAGE, {"min_trust": 0.5, "refine": True}, {"words": words}, tmp_path / "out")
    assert [r["reason"] for r in read(out)] == [None, "low_score", "doubtful_times", "doubtful_times", "no_words"]


def test_the_survey_says_what_each_threshold_costs_and_what_it_costs_alone(words):
    found = filter_survey.survey(filter_survey.load(str(words)), config(min_score=-4, min_trust=0.5))
    assert (found["rows"], found["seconds"], found["kept_rows"], found["kept_seconds"]) == (5, 55.0, 1, 10.0)
    reasons = {r["reason"]: r for r in found["reasons"]}
    assert list(reasons) == ["no_words", "low_score", "doubtful_times"]
    assert (reasons["low_score"]["rows"], reasons["low_score"]["seconds"]) == (2, 15.0)
    assert (reasons["low_score"]["alone_rows"], reasons["low_score"]["alone_seconds"]) == (1, 10.0)
    assert (reasons["doubtful_times"]["rows"], reasons["doubtful_times"]["alone_rows"]) == (1, 1)
    assert reasons["doubtful_times"]["unscored_rows"] == 1
    refined = filter_survey.survey(filter_survey.load(str(words)), config(min_trust=0.5, refine=True))
    assert [(r["reason"], r["rows"]) for r in refined["reasons"]] == [
        ("low_score", 1),
        ("no_words", 1),
        ("no_words", 0),
        ("doubtful_times", 2),
    ]


def test_the_survey_and_the_stage_agree(run_stage, words, tmp_path):
    for number, options in enumerate([{}, {"min_score": -4, "max_cer": 0.5}, {"max_duration": 15, "refine": True}]):
        out = run_stage(stage.STAGE, options, {"words": words}, tmp_path / str(number))
        found = filter_survey.survey(filter_survey.load(str(words)), config(**options))
        assert found["kept_rows"] == sum(r["kept"] for r in read(out))


def test_rows_are_kept_by_the_language_and_how_surely_it_was_heard(run_stage, tmp_path):
    rows = [
        row("english", language="en", language_probability=0.9),
        row("british", language="en-GB"),
        row("unsure", language="en", language_probability=0.4),
        row("german", language="de", language_probability=0.99),
        row("unknown"),
    ]
    words = made.write_dataset(tmp_path / "words", "words", WORDS, [rows])
    limits = {"language": "en", "min_language_probability": 0.5}
    out = run_stage(stage.STAGE, limits, {"words": words}, tmp_path / "out")
    assert {r["id"]: r["reason"] for r in read(out)} == {
        "english": None,
        "british": None,
        "unsure": "doubtful_language",
        "german": "other_language",
        "unknown": None,
    }
    scored = filter_survey.load(str(words))
    found = {r["reason"]: r for r in filter_survey.survey(scored, config(**limits))["reasons"]}
    assert (found["other_language"]["limit"], found["other_language"]["unscored_rows"]) == ("en", 1)
    assert found["doubtful_language"]["unscored_rows"] == 2
    swept = filter_survey.sweep(
        scored, config(language=["EN"]), *filter_survey.parse_sweep("language_probability=0.3:0.95:0.65")
    )
    assert [r["kept_rows"] for r in swept] == [4, 2]


def test_what_stands_in_the_dataset_is_shown_with_quantiles(words):
    found = filter_survey.stored(filter_survey.load(str(words)))
    assert (found["kept_rows"], found["kept_seconds"]) == (3, 35.0)
    assert {r["reason"]: r["rows"] for r in found["reasons"]} == {"low_score": 1, "no_words": 1}
    assert found["quantiles"]["score"]["0.5"] == -3
    assert found["quantiles"]["wer"] == {}


def test_a_sweep_keeps_the_other_thresholds(words):
    option, values = filter_survey.parse_sweep("trust=0:1:0.5")
    assert (option, values) == ("min_trust", [0.0, 0.5, 1.0])
    rows = filter_survey.sweep(filter_survey.load(str(words)), config(min_score=-4), option, values)
    assert [r["kept_seconds"] for r in rows] == [30.0, 10.0, 0.0]
    assert rows[1]["lost"] == {"no_words": 10.0, "low_score": 15.0, "doubtful_times": 20.0}


def test_a_sweep_is_read_or_refused():
    assert filter_survey.parse_sweep("max_cer=.05:.4") == (
        "max_cer",
        pytest.approx(np.linspace(0.05, 0.4, filter_survey.SWEEP_VALUES).tolist()),
    )
    assert filter_survey.parse_sweep("score=-1:-2:-0.5")[1] == [-1, -1.5, -2]
    for bad in ("score", "score=1", "score=a:b", "score=0:nan", "score=1:2:3:4", "score=0:1:-1", "score=0:1:0"):
        with pytest.raises(ConfigError, match="--sweep"):
            filter_survey.parse_sweep(bad)
    with pytest.raises(ConfigError, match="two thresholds; choose one of: min_words_per_second, max_words_per_second"):
        filter_survey.parse_sweep("words_per_second=1:2")
    with pytest.raises(ConfigError, match="no threshold"):
        filter_survey.parse_sweep("beauty=1:2")


def test_a_limit_is_not_beyond_itself():
    """0.1 as a float32 is more than 0.1."""
    limits = config(max_cer=0.1)
    assert thresholds.verdict(limits, row("a", cer=0.1)) is None
    columns = {name: np.array([2.0], np.float32) for name in thresholds.COLUMNS} | {"cer": np.array([0.1], np.float32)}
    assert not any(f.any() for f in thresholds.failures(limits, columns, pa.nulls(1, pa.string())).values())


VALUES = st.one_of(st.none(), st.floats(0, 1, width=32))
LANGUAGES = st.sampled_from(["en", "EN-gb", "en_US", "de", "deu", "zh-Hant", ""])
LIMITS = st.fixed_dictionaries(
    {},
    optional={
        **{c.option: st.floats(0.01, 1) for c in thresholds.CHECKS},
        "language": st.one_of(LANGUAGES, st.lists(LANGUAGES)),
    },
)


@given(st.fixed_dictionaries(dict.fromkeys(thresholds.COLUMNS, VALUES)), LIMITS, st.one_of(st.none(), LANGUAGES))
def test_rows_and_columns_get_the_same_verdict(scores, limits, language):
    limits = config(**limits)
    scores = {**scores, "words_per_second": scores["words_per_second"] or 0.5, "language": language}
    batch = pa.RecordBatch.from_pylist([row("a", **scores)], schema=WORDS)
    assert stage.judged(limits, batch).column("reason")[0].as_py() == thresholds.verdict(limits, row("a", **scores))


def test_every_check_has_its_option_its_column_and_one_reason():
    options = set(thresholds.Thresholds.model_fields)
    assert {c.option for c in thresholds.CHECKS} | {"language"} == options
    assert set(thresholds.COLUMNS) <= set(WORDS.names)
    assert len({c.reason for c in thresholds.CHECKS}) == len(thresholds.CHECKS)
    assert options <= set(ALIGN.config.model_fields)
    for check in thresholds.CHECKS:
        assert (check.sign < 0) == check.option.startswith("min_")


def test_interleave_takes_the_filtered_words_when_they_are_named(run_stage, words, tmp_path):
    out = run_stage(stage.STAGE, {"min_trust": 0.5}, {"words": words}, tmp_path / "filtered")
    for kind in ("units", "subword"):
        made.write_dataset(tmp_path / kind, kind, WORDS, [[]])
    chosen = single(INTERLEAVE, {}, 0, [str(tmp_path), str(out)], str(tmp_path / "tokens"))
    assert chosen[-1].inputs["words"] == str(out)
    alone = single(INTERLEAVE, {}, 0, [str(tmp_path)], str(tmp_path / "tokens"))
    assert alone[-1].inputs["words"] == str(words)


def test_words_without_the_scores_are_refused(tmp_path, run_stage):
    old = pa.schema([f for f in WORDS if f.name not in ("trust", "cer")])
    folder = made.write_dataset(tmp_path / "words", "words", old, [[{n: r[n] for n in old.names} for r in ROWS]])
    with pytest.raises(StaleArtifact, match=r"no column cer, trust.*run align again"):
        filter_survey.load(str(folder))


def test_a_folder_without_words_is_refused(words, tmp_path):
    assert filter_survey.words_folder(str(words)) == filter_survey.words_folder(str(tmp_path)) == str(words)
    with pytest.raises(StaleArtifact, match="no finished words"):
        filter_survey.words_folder(str(tmp_path / "nothing"))


def test_an_empty_dataset_has_no_hours(tmp_path):
    folder = made.write_dataset(tmp_path / "words", "words", WORDS, [[]])
    scored = filter_survey.load(str(folder))
    assert filter_survey.survey(scored, config(min_trust=0.5))["kept_rows"] == 0
    assert filter_survey.stored(scored)["reasons"] == []


def many(folder, rows, n_shards=8):
    """A dataset of random scores, written by columns."""
    rng = np.random.default_rng(0)
    folder.mkdir()
    written = []
    for i in range(n_shards):
        n = rows // n_shards
        ids = pa.array(np.char.add("u", np.arange(i * n, (i + 1) * n).astype(str)))
        word = pa.array([[WORD] * 5], WORDS.field("words").type).take(pa.array(np.zeros(n, np.int64)))
        floats = [f.name for f in WORDS if pa.types.is_float32(f.type)]
        values = {name: pa.array(rng.random(n).astype(np.float32)) for name in floats}
        duration = pa.array(rng.uniform(1, 20, n))
        columns = {**values, "id": ids, "words": word, "duration": duration, "kept": pa.array(np.ones(n, bool))}
        name = shards.shard_name(i, n_shards)
        with shards.ShardWriter(str(folder / name), WORDS) as writer:
            writer.write(pa.table([columns.get(f.name, pa.nulls(n, f.type)) for f in WORDS], schema=WORDS))
        written.append(manifest.Shard(name, name, writer.sha256, writer.size, rows=n))
    manifest.write(str(folder), manifest.Manifest("words", "f", "c", {}, written, {}, [], {}, {}))
    return folder


@pytest.mark.slow
def test_a_million_rows_are_surveyed_and_swept_in_seconds(tmp_path):
    folder = many(tmp_path / "words", 1_000_000)
    began = time.process_time()
    scored = filter_survey.load(str(folder))
    limits = config(min_trust=0.2, max_cer=0.8, min_score=0.1)
    found = filter_survey.survey(scored, limits)
    filter_survey.sweep(scored, limits, *filter_survey.parse_sweep("score=0:1"))
    took = time.process_time() - began
    assert found["kept_rows"] == pytest.approx(1e6 * 0.8 * 0.8 * 0.9, rel=0.01)
    assert took < 10


@pytest.fixture
def duplicates(tmp_path):
    marks = {"good": (None, None), "noisy": ("good", None), "shifted": (None, "good"), "both": ("good", "good")}
    rows = [
        {**dict.fromkeys(DUPLICATES.names), "id": id, "audio_duplicate_of": audio, "text_duplicate_of": text}
        for id, (audio, text) in marks.items()
    ]
    return made.write_dataset(tmp_path / "duplicates", "duplicates", DUPLICATES, [rows[:2], rows[2:]])


@pytest.mark.parametrize(
    ("which", "dropped"),
    [
        ("audio", {"noisy": "duplicate_audio", "both": "duplicate_audio"}),
        ("text", {"shifted": "duplicate_text", "both": "duplicate_text"}),
        ("any", {"noisy": "duplicate_audio", "both": "duplicate_audio", "shifted": "duplicate_text"}),
    ],
)
def test_marked_duplicates_are_not_kept(run_stage, words, duplicates, tmp_path, which, dropped):
    inputs = {"words": words, "duplicates": duplicates}
    out = run_stage(stage.STAGE, {"duplicates": which}, inputs, tmp_path / "out")
    reasons = {r["id"]: r["reason"] for r in read(out) if not r["kept"]}
    assert reasons == {**dropped, "silent": "no_words"}
    marked, folders = filter_survey.read_marks(str(tmp_path), str(words), config(duplicates=which))
    assert folders == [str(duplicates)]
    scored = filter_survey.load(str(words), marked)
    survey = filter_survey.survey(scored, config(duplicates=which))
    assert survey["kept_rows"] == len(ROWS) - len(reasons)
    assert {r["reason"] for r in survey["reasons"] if r["rows"]} == set(reasons.values())


def test_without_marks_the_option_names_the_command(words, tmp_path):
    with pytest.raises(StaleArtifact, match="speechprep dedup"):
        filter_survey.read_marks(str(tmp_path), str(words), config(duplicates="any"))
    with pytest.raises(ConfigError, match="duplicates"):
        single(stage.STAGE, {"duplicates": "audio"}, 0, [str(words)], str(tmp_path / "out"))


@pytest.fixture
def quality(tmp_path):
    """Scores of four rows; `both` has none, and further rows of `words` are absent."""
    scores = {"good": (30.0, 0.0), "noisy": (9.0, 0.0), "shifted": (25.0, 0.02), "both": (None, None)}
    rows = [
        {**dict.fromkeys(QUALITY.names), "id": id, "snr_db": snr, "clipped_share": clipped}
        for id, (snr, clipped) in scores.items()
    ]
    return made.write_dataset(tmp_path / "quality", "quality", QUALITY, [rows[:2], rows[2:]])


@pytest.mark.parametrize(
    ("options", "dropped"),
    [
        ({"min_snr_db": 10}, {"noisy": "low_snr"}),
        ({"min_snr_db": 9}, {}),
        ({"max_clipped_share": 0.01}, {"shifted": "clipped"}),
        ({"min_snr_db": 26, "max_clipped_share": 0.01}, {"noisy": "low_snr", "shifted": "low_snr"}),
        ({"min_dnsmos": 3}, {}),
    ],
)
def test_recordings_beyond_the_limits_are_not_kept(run_stage, words, quality, tmp_path, options, dropped):
    out = run_stage(stage.STAGE, options, {"words": words, "quality": quality}, tmp_path / "out")
    reasons = {r["id"]: r["reason"] for r in read(out) if not r["kept"]}
    assert reasons == {**dropped, "silent": "no_words"}
    marked, folders = filter_survey.read_marks(str(tmp_path), str(words), config(**options))
    assert folders == [str(quality)]
    survey = filter_survey.survey(filter_survey.load(str(words), marked), config(**options))
    assert survey["kept_rows"] == len(ROWS) - len(reasons)
    by_option = {r["option"]: r for r in survey["reasons"]}
    for option, limit in options.items():
        with_score = 0 if option == "min_dnsmos" else 3
        assert (by_option[option]["limit"], by_option[option]["unscored_rows"]) == (limit, len(ROWS) - with_score)


def test_without_quality_a_limit_of_it_names_the_command(words, tmp_path):
    with pytest.raises(StaleArtifact, match="speechprep quality"):
        filter_survey.read_marks(str(tmp_path), str(words), config(min_snr_db=5))
    with pytest.raises(ConfigError, match="quality"):
        single(stage.STAGE, {"min_snr_db": 5}, 0, [str(words)], str(tmp_path / "out"))
