"""align: one row for each utterance with usable audio, every word timed, filters that only flag."""

from __future__ import annotations

import json
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pyarrow.parquet as pq
import pytest
from hypothesis import given as for_any
from hypothesis import strategies as st

from speechprep import registry
from speechprep.artifacts import manifest
from speechprep.artifacts.media import audio
from speechprep.artifacts.schemas import WORDS
from speechprep.demo import corpus_path
from speechprep.errors import BadInput, ConfigError
from speechprep.pipelines.backends import Aligner, Transcript, Word
from speechprep.pipelines.stages import align, ingest

RATE = 16_000
ROWS = [json.loads(line) for line in (corpus_path() / "manifest.jsonl").read_text(encoding="utf-8").splitlines()]


def spoken(i, **changes):
    """Utterance `i` of the demo corpus as a row for `make_corpus`."""
    row = ROWS[i]
    sound = audio.decode(corpus_path() / row["audio"], sample_rate=RATE)
    return {"id": row["id"], "sound": sound, "text": row["text"], **changes}


def read(folder):
    return {row["id"]: row for file in sorted(folder.glob("part-*")) for row in pq.read_table(file).to_pylist()}


def rejected(folder):
    files = sorted((folder / "_rejects").glob("*.parquet"))
    return {row["id"]: row["code"] for file in files for row in pq.read_table(file).to_pylist()}


def config(**options):
    return align.STAGE.configure(options)


@pytest.fixture
def few(make_corpus):
    hiss = (np.random.default_rng(0).standard_normal(3 * RATE) * 0.1).astype(np.float32)
    return make_corpus(
        [
            spoken(0),
            spoken(1, text=ROWS[9]["text"]),
            spoken(2, text=None),
            {"id": "hiss", "sound": hiss},
            {"id": "japanese", "sound": hiss, "text": "東京"},
            spoken(3, text="", id="empty"),
            {"id": "flood", "sound": hiss, "text": "too many words " * 200},
            {"id": "gone", "audio": "/nowhere/at/all.wav", "duration": 1.0, "text": "hello"},
            spoken(4, text="— $5 🙂 " + ROWS[4]["text"], id="odd"),
        ],
        2,
    )


def test_each_utterance_is_a_row_or_a_reject_with_its_reason(run_stage, few):
    folder = run_stage(align.STAGE, {}, {"utterances": few})
    rows = read(folder)
    assert list(rows) == ["01-rms", "02-slt", "03-awb", "hiss", "empty", "odd"]
    assert rejected(folder) == {"japanese": "no_alignable_text", "flood": "text_too_long", "gone": "audio_missing"}
    assert {id: row["reason"] for id, row in rows.items()} == {
        "01-rms": None,
        "02-slt": "low_score",
        "03-awb": None,
        "hiss": "no_words",
        "empty": "no_words",
        "odd": None,
    }
    assert all(row["kept"] == (row["reason"] is None) for row in rows.values())
    assert pq.read_schema(next(folder.glob("part-*"))).names == WORDS.names


def test_every_token_is_timed_and_written_as_it_was(run_stage, few):
    rows = read(run_stage(align.STAGE, {}, {"utterances": few}))
    for row in rows.values():
        words = row["words"]
        assert row["text"] == " ".join(w["text"] for w in words)
        assert all(0 <= w["start"] <= w["end"] <= row["duration"] for w in words)
        assert all(a["start"] <= b["start"] and a["end"] <= b["end"] for a, b in pairwise(words))
        assert row["words_per_second"] == pytest.approx(len(words) / row["duration"])
    assert rows["odd"]["text"] == "— $5 🙂 " + ROWS[4]["text"]
    timings = [w["timing"] for w in rows["odd"]["words"]]
    assert timings == ["interpolated", "aligned", "interpolated", *["aligned"] * (len(timings) - 3)]
    assert [w["score"] is None for w in rows["odd"]["words"]] == [t == "interpolated" for t in timings]
    assert rows["03-awb"]["source_text"] is None
    assert rows["03-awb"]["wer"] is None
    assert len(rows["03-awb"]["words"]) > 10
    assert rows["01-rms"]["wer"] == 0
    counters = manifest.read(str(next(few.parent.glob("words")))).counters
    assert counters["interpolated"] == 2
    assert counters["kept"] == 3


def test_scores_tell_right_words_from_wrong_ones(run_stage, make_corpus):
    words = [{"text": w["w"], "start": w["start"], "end": w["end"]} for w in ROWS[0]["true_words"]]
    late = [{**w, "start": w["start"] + 0.6 * (i > 3), "end": w["end"] + 0.6 * (i > 3)} for i, w in enumerate(words)]
    corpus = [
        spoken(0),
        spoken(1, text=ROWS[9]["text"]),
        spoken(0, id="true", words=words),
        spoken(0, id="late", words=late),
    ]
    rows = read(run_stage(align.STAGE, {"min_trust": 0.5}, {"utterances": make_corpus([*corpus, spoken(2, text="")])}))
    right, wrong, true, late = (rows[id] for id in ("01-rms", "02-slt", "true", "late"))
    assert wrong["local_score"] < -4 < right["local_score"] <= right["score"]
    assert min(right["trust"], true["trust"]) > 0.5 > late["trust"]
    assert late["uncovered"] > 0.4 > right["uncovered"]
    assert {id: row["reason"] for id, row in rows.items() if row["id"] in ("true", "late")} == {
        "true": None,
        "late": "doubtful_times",
    }
    assert (right["cer"], right["aligned_share"], right["repeated_share"]) == (0, 1, 0)
    assert 0.5 < right["compression_ratio"] < 2
    none = rows["03-awb"]
    assert [none[c] for c in ("local_score", "trust", "uncovered", "aligned_share", "compression_ratio")] == [None] * 5


def test_a_transcript_of_silence_is_flagged_and_soft_speech_is_not(run_stage, make_corpus):
    sound = spoken(0)["sound"]
    hum = (np.random.default_rng(0).standard_normal(len(sound)) * 1e-4).astype(np.float32)
    given_words = [{"text": "hello", "start": 0.5, "end": 1.0}]
    corpus = [
        spoken(0, id="silence", sound=np.zeros_like(sound)),
        spoken(0, id="empty room", sound=hum),
        {"id": "times that came with it", "sound": hum, "text": "hello", "words": given_words},
        spoken(0, id="soft", sound=sound * np.float32(0.01 / np.abs(sound).max())),
    ]
    out = run_stage(align.STAGE, {"min_score": None}, {"utterances": make_corpus(corpus)})
    found = {id: row["reason"] for id, row in read(out).items()} | rejected(out)
    assert found.pop("silence") in ("silent", "align_failed")  # the aligner may refuse it by itself
    assert found == {"empty room": "silent", "times that came with it": "silent", "soft": None}


def test_shards_and_workers_do_not_change_a_row(run_stage, make_corpus, tmp_path):
    rows = [spoken(i) for i in range(5)]
    one = read(run_stage(align.STAGE, {}, {"utterances": make_corpus(rows, 1, "one")}, tmp_path / "a"))
    many = read(
        run_stage(align.STAGE, {}, {"utterances": make_corpus(rows[::-1], 3, "many")}, tmp_path / "b", workers=2)
    )
    assert one == {id: many[id] for id in one}


def test_filters_only_flag(run_stage, make_corpus, tmp_path):
    utterances = make_corpus([spoken(i) for i in range(4)])
    plain = read(run_stage(align.STAGE, {}, {"utterances": utterances}, tmp_path / "plain"))
    strict = {"min_score": -0.01, "max_words_per_second": 0.5}
    flagged = read(run_stage(align.STAGE, strict, {"utterances": utterances}, tmp_path / "strict"))
    assert {row["reason"] for row in flagged.values()} == {"low_score"}
    for id, row in flagged.items():
        assert {**row, "kept": True, "reason": None} == plain[id]


def test_always_transcribing_keeps_the_human_transcript_beside_it(run_stage, make_corpus):
    utterances = make_corpus([spoken(7), spoken(16)])
    rows = read(run_stage(align.STAGE, {"transcribe": "always", "max_wer": 0.01}, {"utterances": utterances}))
    for row, source in zip(rows.values(), (ROWS[7], ROWS[16]), strict=True):
        assert row["source_text"] == source["text"]
        assert row["text"] == row["text"].lower() != source["text"]
        assert 0 < row["wer"] <= 1
        assert row["reason"] == "high_wer"


def test_never_transcribing_leaves_a_row_without_words(run_stage, make_corpus):
    rows = read(run_stage(align.STAGE, {"transcribe": "never"}, {"utterances": make_corpus([spoken(0, text=None)])}))
    assert [(r["text"], r["words"], r["kept"], r["reason"]) for r in rows.values()] == [("", [], False, "no_words")]


def test_word_times_of_the_corpus_are_taken_over_or_set_aside(run_stage, make_corpus, tmp_path):
    labels = [{"text": w["w"].lower(), "start": w["start"], "end": w["end"]} for w in ROWS[0]["true_words"]]
    utterances = make_corpus([spoken(0, words=labels)])
    given = read(run_stage(align.STAGE, {}, {"utterances": utterances}, tmp_path / "given"))["01-rms"]
    assert [(w["start"], w["end"]) for w in given["words"]] == [(w["start"], w["end"]) for w in labels]
    assert given["text"] == ROWS[0]["text"]
    assert {(w["timing"], w["score"]) for w in given["words"]} == {("given", None)}
    assert (given["score"], given["kept"]) == (None, True)
    options = {"given_words": "ignore"}
    own = read(run_stage(align.STAGE, options, {"utterances": utterances}, tmp_path / "own"))["01-rms"]
    assert {w["timing"] for w in own["words"]} == {"aligned"}


def test_given_words_of_a_part_of_the_text_keep_their_times_and_the_others_are_aligned(run_stage, make_corpus):
    labels = [{"text": w["w"].lower(), "start": w["start"], "end": w["end"]} for w in ROWS[0]["true_words"]]
    part = labels[2:4]
    others = [{"text": text, "start": 0.1, "end": 0.2} for text in ("totally", "other")]
    corpus = make_corpus([spoken(0, words=part), spoken(0, id="other", words=others)])
    out = run_stage(align.STAGE, {"min_score": None}, {"utterances": corpus})
    row = read(out)["01-rms"]
    assert row["text"] == ROWS[0]["text"]
    timings = [w["timing"] for w in row["words"]]
    assert timings == ["given" if 2 <= i < 4 else "aligned" for i in range(len(labels))]
    assert [(w["start"], w["end"]) for w in row["words"][2:4]] == [(w["start"], w["end"]) for w in part]
    assert all(abs(w["start"] - label["start"]) < 0.15 for w, label in zip(row["words"], labels, strict=True))
    assert rejected(out) == {"other": "words_differ"}


def test_figures_case_and_punctuation_do_not_count_as_errors():
    said = "in nineteen eighty four mister smith paid five dollars"
    assert align.spoken_errors("In 1984, Mr. Smith paid $5.", said) == (0, 0)
    assert align.spoken_errors("one two three four", "one two tree") == (0.5, 6 / 18)


@for_any(st.lists(st.tuples(st.floats(-1, 12), st.floats(-1, 12)), max_size=8))
def test_times_never_go_backwards_nor_leave_the_audio(times):
    words = align.monotone([Word("w", start, end, None, "given") for start, end in times], 10.0)
    assert len(words) == len(times)
    assert all(0 <= w.start <= w.end <= 10 for w in words)
    assert all(a.start <= b.start and a.end <= b.end for a, b in pairwise(words))


def test_thresholds_are_judged_in_order_and_may_be_off():
    row = {"words": [1], "score": -5.0, "words_per_second": 9.0, "wer": 0.6}
    assert align.verdict(config(min_score=-4), row) == "low_score"
    assert align.verdict(config(min_score=None), row) is None
    assert align.verdict(config(min_score=None, max_words_per_second=8, max_wer=0.5), row) == "too_fast"
    assert align.verdict(config(min_score=None, max_wer=0.5), row) == "high_wer"
    assert align.verdict(config(min_score=None, min_words_per_second=10), row) == "too_slow"
    assert align.verdict(config(min_score=-4), {**row, "score": None}) is None
    assert align.verdict(config(min_score=None), {**row, "words": []}) == "no_words"


def test_the_least_score_is_the_aligners_own_unless_another_is_given():
    class OnAnotherScale(Aligner):
        sample_rate = RATE

        def identity(self):
            return {"name": "another scale"}

        def align(self, audio, text):
            raise NotImplementedError

    own = registry.make("aligners", "pocketsphinx", {})
    assert config().judging(own).min_score == -4
    assert config().judging(OnAnotherScale()).min_score is None
    assert config(min_score=-1).judging(own).min_score == -1
    assert config(min_score=None).judging(own).min_score is None
    with pytest.raises(ConfigError, match="min_score"):
        config(min_score="low")


class HearingAligner(Aligner):
    """Hears French in everything, and is not quite sure."""

    sample_rate = RATE

    def identity(self):
        return {"name": "hearing"}

    def align(self, samples, text):
        made = [Word("bonjour", 0.0, 1.0, 0.4, "aligned")]
        return Transcript(text or "bonjour", made, "fr", 0.75)


def test_the_language_that_was_heard_stands_before_that_of_the_corpus(run_stage, make_corpus, tmp_path):
    rows = [spoken(0, language="en"), spoken(1, text=None)]
    plain = read(run_stage(align.STAGE, {}, {"utterances": make_corpus(rows)}, tmp_path / "plain"))
    assert [(r["language"], r["language_probability"]) for r in plain.values()] == [("en", None), (None, None)]
    work = align.STAGE.configure({"language": "en", "min_language_probability": 0.7})
    row = {"id": "a", "text": None, "language": "en"}
    heard = align.words_row(
        work.judging(HearingAligner()), row, HearingAligner().align(None, None), 2.0, np.ones(200, np.float32)
    )
    assert (heard["language"], heard["language_probability"]) == ("fr", 0.75)
    assert heard["reason"] == "other_language"
    unsure = align.STAGE.configure({"min_language_probability": 0.8}).judging(HearingAligner())
    made = align.words_row(unsure, row, HearingAligner().align(None, None), 2.0, np.ones(200, np.float32))
    assert made["reason"] == "doubtful_language"


class WholeAligner(Aligner):
    """An aligner that cannot stream."""

    sample_rate = RATE

    def identity(self):
        return {"name": "whole"}

    def align(self, samples, text):
        if not len(samples):
            raise BadInput("audio_too_short", "nothing")
        return Transcript(
            text or "", [Word(w, 0.0, len(samples) / RATE, -1.0, "aligned") for w in (text or "").split()]
        )


def test_an_aligner_that_cannot_stream_gets_the_audio_whole():
    blocks = iter([np.zeros(RATE, np.float32), np.zeros(RATE, np.float32)])
    assert WholeAligner().align_stream(blocks, "a").words[0].end == 2.0
    with pytest.raises(BadInput):
        WholeAligner().align_stream(iter([]), "a")


def test_an_unknown_aligner_or_parameter_is_named():
    with pytest.raises(ConfigError, match=r"there are: .*pocketsphinx"):
        align.backend(config(backend="sphinx"), {})
    with pytest.raises(ConfigError, match="beams"):
        align.backend(config(options={"beams": 3}), {})


@pytest.mark.slow
def test_hostile_audio_and_transcripts(run_stage, shared_data, tmp_path):
    utterances = run_stage(ingest.STAGE, {}, out=tmp_path / "utterances", sources=[shared_data / "hostile"])
    folder = run_stage(align.STAGE, {}, {"utterances": utterances}, workers=2)
    rows, bad = read(folder), rejected(folder)
    ids = {i for file in utterances.glob("part-*") for i in pq.read_table(file, columns=["id"]).column(0).to_pylist()}
    assert set(rows) | set(bad) == ids
    assert not set(rows) & set(bad)
    assert bad["long-transcript.flac"] == "text_too_long"
    for id in (
        "silence-5s.flac",
        "noise-floor-5s.flac",
        "white-noise-5s.ogg",
        "tone-440hz.flac",
    ):
        assert (rows[id]["text"], rows[id]["words"]) == ("", [])
    assert rows["empty-transcript.flac"]["text"]  # an empty transcript is none, so the speech was recognised
    for id in ("wrong-transcript.flac", "odd-transcript.flac"):
        assert rows[id]["reason"] == "low_score"
    assert len(rows["odd-transcript.flac"]["words"]) == 13
    assert sum(w["timing"] == "interpolated" for w in rows["odd-transcript.flac"]["words"]) == 7
    margins = rows["long-margins.flac"]["words"]
    assert margins[0]["start"] >= 8
    assert margins[-1]["end"] <= 8 + rows["good.wav"]["duration"]
    good = [w["start"] for w in rows["good.wav"]["words"]]
    for id in ("very-quiet.wav", "clipped.wav", "dc-offset.wav", "speech.opus", "rate-8k.wav", "UPPER.FLAC"):
        assert rows[id]["kept"], id
        assert np.abs(np.subtract([w["start"] for w in rows[id]["words"]], good)).max() <= 0.12


# -- recogniser and aligner --------------------------------------------------------------------------------------------


IN_THREADS = replace(align.STAGE, local="thread")  # other processes do not see backends of a test


@pytest.fixture
def plain(monkeypatch):
    """A recogniser and an aligner of another package, at 8 kHz."""
    for family, name in (("recognisers", "PlainRecogniser"), ("aligners", "PlainAligner")):
        monkeypatch.setitem(registry.FAMILIES[family], "plain", f"helpers.plain_backends:{name}")
    return {"recogniser": "plain", "aligner": "plain", "min_level": None}


def hum(seconds, **row):
    return {"sound": np.full(round(seconds * RATE), 0.1, np.float32), "id": f"{seconds}", **row}


def test_recognised_text_is_timed_by_the_aligner_and_the_corpus_transcript_stays(run_stage, make_corpus, plain):
    corpus = make_corpus([hum(3.0, text="noise zero noise one"), hum(2.0, text=None), hum(0.5, text=None)])
    rows = read(run_stage(IN_THREADS, {**plain, "transcribe": "always"}, {"utterances": corpus}))
    assert rows["3.0"]["text"] == "noise 0 noise 1 noise 2"
    assert rows["3.0"]["source_text"] == "noise zero noise one"
    assert rows["3.0"]["wer"] == pytest.approx(2 / 4)
    assert [(w["text"], w["start"], w["end"]) for w in rows["2.0"]["words"]] == [
        ("noise", 0.0, 0.5), ("0", 0.5, 1.0), ("noise", 1.0, 1.5), ("1", 1.5, 2.0),
    ]  # fmt: skip
    assert (rows["2.0"]["language"], rows["2.0"]["language_probability"]) == ("en", pytest.approx(0.9))
    assert (rows["3.0"]["no_speech_probability"], rows["3.0"]["log_probability"]) == (pytest.approx(0.2), -2.0)
    assert (rows["0.5"]["reason"], rows["0.5"]["no_speech_probability"]) == ("no_words", None)


@pytest.mark.parametrize(
    ("options", "reason"),
    [({"max_no_speech_probability": 0.15}, "no_speech"), ({"min_log_probability": -1.5}, "doubtful_text")],
)
def test_the_scores_of_the_recogniser_have_thresholds(run_stage, make_corpus, plain, options, reason):
    corpus = make_corpus([hum(3.0, text=None), hum(2.0, text=None), hum(1.0, text="given")])
    rows = read(run_stage(IN_THREADS, {**plain, **options}, {"utterances": corpus}))
    assert {id: row["reason"] for id, row in rows.items()} == {"3.0": reason, "2.0": None, "1.0": None}


def test_without_a_recogniser_speech_without_a_transcript_has_no_words(run_stage, make_corpus, plain):
    corpus = make_corpus([hum(3.0, text="a hum"), hum(2.0, text=None)])
    rows = read(run_stage(IN_THREADS, {**plain, "recogniser": "none"}, {"utterances": corpus}))
    assert {id: row["reason"] for id, row in rows.items()} == {"3.0": None, "2.0": "no_words"}


def test_the_older_names_of_the_options_stay_and_are_those_of_manifests():
    older = config(backend="ctc", options={"model": "m"})
    assert older == config(aligner="ctc", aligner_options={"model": "m"})
    stored = older.stored()
    assert (stored["backend"], stored["options"]) == ("ctc", {"model": "m"})
    assert not {"aligner", "aligner_options", "recogniser", "recogniser_options"} & set(stored)
    assert config(recogniser="whisper").stored()["recogniser"] == "whisper"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"recogniser": "none", "transcribe": "always"}, "transcribe = 'always' needs a recogniser"),
        ({"recogniser_options": {"model": "m"}}, "recogniser_options have no recogniser: recogniser = 'aligner'"),
        ({"recogniser": "vosk"}, "unknown recogniser 'vosk'; there are: whisper"),
        ({"recogniser": "whisper"}, "recogniser 'whisper' needs a value for model"),
        ({"recogniser": "whisper", "recogniser_options": {"model": "m", "beam": 3}}, "no option 'beam'"),
        ({"aligner": "whisper", "aligner_options": {"model": "m"}}, "has no recogniser .* set recogniser=whisper"),
        ({"aligner": "whisperx"}, "has no recogniser .* set recogniser=whisper"),
        ({"recogniser": "plain", "aligner": "pocketsphinx"}, "at 8000 Hz, aligner 'pocketsphinx' at 16000 Hz"),
    ],
)
def test_two_options_that_do_not_fit_are_one_line(plain, options, message):
    with pytest.raises(ConfigError, match=message) as error:
        align.backend(config(**options), {})
    assert "\n" not in str(error.value)


def test_errors_hold_for_every_script():
    assert align.spoken_errors("Привет мир сегодня", "совсем другое", "ru")[0] == 1.0
    assert align.spoken_errors("你好世界", "再见", "zh") == (1.0, 1.0)
    assert align.spoken_errors("你 好 世 界", "你好，世界！") == (0, 0)
    assert align.spoken_errors("Привет, мир!", "привет мир") == (0, 0)
    assert align.spoken_errors("yes [background noise]", "Yes.") == (0, 0)


def test_the_words_of_every_script_are_measured_against_the_loudness():
    power = np.full(400, 1e-3, np.float32)
    words = [Word(text, i, i + 1, None, "given") for i, text in enumerate(("привет", "мир"))]
    latin = [Word(text, i, i + 1, None, "given") for i, text in enumerate(("privet", "mir"))]
    assert align._trust(words, power, "ru") == align._trust(latin, power, "en")
