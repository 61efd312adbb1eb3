"""The aligner pocketsphinx: exact on known times, a time for every token and no memory of earlier utterances."""

from __future__ import annotations

import json
from itertools import pairwise

import numpy as np
import pytest

from speechprep.artifacts.media import audio
from speechprep.demo import corpus_path
from speechprep.errors import BadInput, ConfigError
from speechprep.pipelines.backends.aligners import sphinx
from speechprep.pipelines.backends.aligners.pocketsphinx import PocketSphinxAligner
from speechprep.pipelines.backends.aligners.timing import WILDCARD, Spoken, interpolated, written_words
from speechprep.pipelines.backends.aligners.webrtc_vad import VoiceActivity
from speechprep.pipelines.backends.sliding_window import SlidingWindow

RATE = 16_000
ROWS = [json.loads(line) for line in (corpus_path() / "manifest.jsonl").read_text(encoding="utf-8").splitlines()]
SPEECH = [row for row in ROWS if row["text"]]
ODD = "— 1984: $5.50 & 30% 🙂 naïve café «привет» 東京 [noise] <unk> …"


def sound(row):
    return audio.decode(corpus_path() / row["audio"], sample_rate=RATE)


def noise(seconds, level=0.1, seed=0):
    return (np.random.default_rng(seed).standard_normal(round(seconds * RATE)) * level).astype(np.float32)


def fresh(**options):
    aligner = PocketSphinxAligner(**options)
    aligner.load()
    return aligner


@pytest.fixture(scope="module")
def aligner():
    return fresh()


@pytest.fixture(scope="module")
def aligned(aligner):
    return [aligner.align(sound(row), row["text"]) for row in SPEECH]


def starts_off(words, labels, names=("start",)):
    return np.array([w.start - label["start"] for w, label in zip(words, labels, strict=True) if not label.get("oov")])


def test_word_starts_of_the_demo_corpus_are_those_of_its_synthesizer(aligned):
    off = np.concatenate([starts_off(t.words, row["true_words"]) for t, row in zip(aligned, SPEECH, strict=True)])
    assert np.mean(np.abs(off) <= 0.05) >= 0.97
    assert abs(np.median(off)) <= 0.01


def test_every_token_is_there_as_written_with_times_in_order(aligned):
    for transcript, row in zip(aligned, SPEECH, strict=True):
        assert [w.text for w in transcript.words] == row["text"].split()
        assert all(w.timing == "aligned" and w.score is not None and w.score <= 0 for w in transcript.words)
        assert all(a.end <= b.start + 1e-9 for a, b in pairwise(transcript.words))
        assert transcript.words[0].start >= 0
        assert transcript.words[-1].end <= row["duration_s"] + 1e-3


def test_order_neighbours_and_a_fresh_decoder_change_nothing(aligner, aligned):
    few = list(range(6))
    again = {i: aligner.align(sound(SPEECH[i]), SPEECH[i]["text"]) for i in reversed(few)}
    assert [again[i] for i in few] == aligned[:6]
    assert fresh().align(sound(SPEECH[3]), SPEECH[3]["text"]) == aligned[3]


def test_a_pronunciation_does_not_depend_on_words_met_before():
    search = sphinx.ForcedSearch(_model())
    wanted = search.phones("zorplings")
    search.find(noise(2.0), ["zorpling", "zorp", "lings"], "open")
    assert search.phones("zorplings") == wanted
    assert search.phones("zorpling") == sphinx.ForcedSearch(_model()).phones("zorpling")


def _model():
    from speechprep.pipelines.backends.aligners.sphinx import model_folder

    return model_folder()


def test_symbols_figures_and_other_scripts_all_get_a_time():
    samples = np.concatenate([sound(row) for row in SPEECH[:3]])
    aligner = PocketSphinxAligner(partial=False)  # nothing of the text is spoken
    aligner.load()
    words = aligner.align(samples, ODD).words
    assert [w.text for w in words] == ODD.split()
    silent = {"—", "🙂", "«привет»", "東京", "[noise]", "<unk>", "…"}
    assert {w.text for w in words if w.timing == "interpolated"} == silent
    assert all(0 <= w.start <= w.end <= len(samples) / RATE for w in words)
    assert all(a.end <= b.start + 1e-9 for a, b in pairwise(words))


def test_words_outside_of_the_dictionary_are_found(aligner):
    row = SPEECH[0]
    misspelt = row["text"].replace("morning", "mawrning").replace("station", "stayshun")
    off = starts_off(aligner.align(sound(row), misspelt).words, row["true_words"])
    assert np.all(np.abs(off) <= 0.06)


@pytest.mark.parametrize("change", [lambda x: x * 0.003, lambda x: x * 0.5 + 0.4, lambda x: np.clip(x * 8, -0.5, 0.5)])
def test_quiet_offset_and_clipped_audio_is_aligned_all_the_same(aligner, aligned, change):
    words = aligner.align(change(sound(SPEECH[1])).astype(np.float32), SPEECH[1]["text"]).words
    assert np.median(np.abs([a.start - b.start for a, b in zip(words, aligned[1].words, strict=True)])) <= 0.02


def test_long_silent_margins_move_the_words_and_nothing_else(aligner, aligned):
    margin = np.zeros(8 * RATE, np.float32)
    samples = sound(SPEECH[1])
    words = aligner.align(np.concatenate([margin, samples, margin]), SPEECH[1]["text"]).words
    assert words[0].start >= 8
    assert words[-1].end <= 8 + len(samples) / RATE
    assert max(abs(a.start - 8 - b.start) for a, b in zip(words, aligned[1].words, strict=True)) <= 0.05


def test_the_transcript_of_another_utterance_scores_low(aligner, aligned):
    right = [np.mean([w.score for w in t.words]) for t in aligned]
    wrong = [
        np.mean([w.score for w in aligner.align(sound(SPEECH[i]), SPEECH[i - 7]["text"]).words])
        for i in range(0, 20, 4)
    ]
    assert min(right) > -3 > -4 > max(wrong)


@pytest.mark.parametrize(
    ("samples", "text", "code"),
    [
        (noise(2.0), "東京 🙂 …", "no_alignable_text"),
        (noise(2.0), "supercalifragilistic " * 400, "text_too_long"),
        (noise(0.05), "hello", "audio_too_short"),
        (np.zeros(0, np.float32), "hello", "audio_too_short"),
        (noise(95.0), "someone else said these words " * 20, "align_failed"),
    ],
)
def test_what_cannot_be_aligned_is_refused_with_its_reason(aligner, samples, text, code):
    with pytest.raises(BadInput) as refused:
        aligner.align(samples, text)
    assert refused.value.code == code


@pytest.mark.parametrize("text", [None, "", "  \n"])
@pytest.mark.parametrize(
    "samples",
    [
        np.zeros(5 * RATE, np.float32),
        noise(5.0),
        noise(5.0, 2e-4),
        np.sin(np.arange(3 * RATE) * 2 * np.pi * 440 / RATE).astype(np.float32) * 0.5,
        np.zeros(1, np.float32),
        np.zeros(0, np.float32),
        np.zeros(399, np.float32),
    ],
    ids=["silence", "hiss", "faint hiss", "tone", "one sample", "nothing", "399 samples"],
)
def test_where_nothing_is_said_there_are_no_words(aligner, samples, text):
    transcript = aligner.align(samples, text)
    assert (transcript.text, transcript.words) == ("", [])


def test_without_a_transcript_speech_is_recognised_and_timed(aligner):
    row = SPEECH[0]
    transcript = aligner.align(sound(row), None)
    heard = {w.text: w.start for w in transcript.words}
    assert transcript.text == " ".join(w.text for w in transcript.words)
    known = {label["w"].lower(): label["start"] for label in row["true_words"]}
    both = heard.keys() & known.keys()
    assert len(both) >= 6
    assert all(w.timing == "aligned" for w in transcript.words)
    assert np.median([abs(heard[w] - known[w]) for w in both]) <= 0.03


@pytest.fixture(scope="module")
def long_speech():
    """The demo corpus as one recording of a minute and a half, with its words."""
    parts, labels, at = [], [], 0.0
    for row in SPEECH:
        samples = sound(row)
        labels += [{**w, "start": w["start"] + at} for w in row["true_words"]]
        parts += [samples, np.zeros(RATE // 4, np.float32)]
        at += len(samples) / RATE + 0.25
    return np.concatenate(parts), labels


def text_of(labels):
    return " ".join(label["w"] for label in labels)


def test_long_audio_is_aligned_as_well_through_a_window(aligner, long_speech):
    samples, labels = long_speech
    words = aligner.align(samples, text_of(labels)).words
    off = starts_off(words, labels)
    assert all(w.timing == "aligned" for w in words)
    assert np.mean(np.abs(off) <= 0.05) >= 0.97
    assert all(a.end <= b.start + 1e-9 for a, b in pairwise(words))


def test_audio_in_blocks_gives_the_same_as_whole(aligner, long_speech):
    samples, labels = long_speech
    blocks = iter(np.split(samples, [1, 7000, 7001, 300_000, 900_001]))
    assert aligner.align_stream(blocks, text_of(labels)) == aligner.align(samples, text_of(labels))


def test_speech_that_the_transcript_lacks_loses_only_itself(aligner, long_speech):
    samples, labels = long_speech
    middle = len(labels) // 2
    missing = [*labels[: middle - 30], *labels[middle + 30 :]]
    words = aligner.align(samples, text_of(missing)).words
    assert np.mean(np.abs(starts_off(words, missing)) <= 0.05) >= 0.85


def test_words_and_minutes_that_are_not_in_the_other_lose_only_themselves(aligner, long_speech):
    samples, labels = long_speech
    at = next(i for i in range(60, len(labels)) if labels[i]["w"][0].isupper())  # a sentence begins
    cut = round((labels[at]["start"] - 0.2) * RATE)
    silence = np.concatenate([samples[:cut], np.zeros(100 * RATE, np.float32), samples[cut:]])
    words = aligner.align(silence, text_of(labels)).words
    late = [{"start": w["start"] + (100 if i >= at else 0)} for i, w in enumerate(labels)]
    assert np.mean(np.abs(starts_off(words, late)) <= 0.05) >= 0.9
    unsaid = [*["copper", "prices", "fell", "sharply", "in", "tokyo"], "today"] * 4
    words = aligner.align(samples, " ".join([text_of(labels[:at]), *unsaid, text_of(labels[at:])])).words
    words = [*words[:at], *words[at + len(unsaid) :]]
    assert np.mean(np.abs(starts_off(words, labels)) <= 0.05) >= 0.8


def test_long_audio_is_recognised_in_pieces(aligner, long_speech):
    samples, _ = long_speech
    words = aligner.align(samples[: 40 * RATE], None).words
    assert len(words) > 60
    assert words[-1].start > 30
    assert all(a.end <= b.start + 1e-9 for a, b in pairwise(words))


def test_the_window_holds_no_more_than_it_must():
    window = SlidingWindow(iter(np.split(np.arange(1000, dtype=np.float32), 10)))
    assert len(window.fill(250)) == 250
    assert not window.is_last(250)
    assert len(window._buffer) <= 400
    window.advance(250)
    assert window.fill(750)[0] == 250
    assert window.is_last(750)
    window.advance(700)
    assert window.skip() == 1000


def test_the_pause_to_cut_at_is_silent():
    samples = np.concatenate([sound(SPEECH[0]), np.zeros(RATE, np.float32), sound(SPEECH[1])])
    cut = VoiceActivity().pause(samples)
    assert not samples[cut - 800 : cut + 800].any()
    assert 0 < VoiceActivity().pause(noise(3.0)) < 3 * RATE


def test_identity_changes_with_every_parameter_and_names_the_model():
    plain = PocketSphinxAligner().identity()
    assert plain == PocketSphinxAligner().identity()
    assert plain["name"] == "pocketsphinx"
    assert len(plain["model_sha256"]) == 64
    assert PocketSphinxAligner(window=20).identity() != plain
    assert PocketSphinxAligner(offset=0.0).identity() != plain
    json.dumps(plain)


@pytest.mark.parametrize("options", [{"window": 5}, {"window": 600}, {"offset": 3}, {"window": float("nan")}])
def test_parameters_that_cannot_work_are_refused(options):
    with pytest.raises(ConfigError, match=r"pocketsphinx: (window|offset) ="):
        PocketSphinxAligner(**options)


def test_the_offset_moves_every_border():
    row = SPEECH[2]
    here, there = (fresh(offset=offset).align(sound(row), row["text"]).words for offset in (0.0, 0.02))
    assert [round(b.start - a.start, 4) for a, b in zip(here, there, strict=True)] == [0.02] * len(here)


def test_untimed_tokens_share_the_gap_between_their_neighbours():
    assert interpolated([(1.0, 2.0), None, None, (3.0, 4.0)], 9) == [(1.0, 2.0), (2.0, 2.5), (2.5, 3.0), (3.0, 4.0)]
    assert interpolated([None, (3.0, 4.0), None, None], 9) == [(2.5, 3.0), (3.0, 4.0), (4.0, 4.5), (4.5, 5.0)]
    assert interpolated([None, (0.1, 0.2), None], 0.2) == [(0.0, 0.1), (0.1, 0.2), (0.2, 0.2)]
    assert interpolated([None, None], 2.0) == [(0.0, 1.0), (1.0, 2.0)]
    assert interpolated([], 2.0) == []


def test_a_token_lasts_from_its_first_to_its_last_spoken_word():
    found = [Spoken(10, 20, -1.0), Spoken(20, 50, -3.0), None]
    words = written_words(["$2", "🙂", "x"], [["two", "dollars"], [], ["x"]], found, 100, 0.01, 0.505)
    assert [(w.start, w.end, w.score, w.timing) for w in words] == [
        (0.11, 0.505, -2.5, "aligned"),
        (0.505, 0.505, None, "interpolated"),
        (0.505, 0.505, None, "interpolated"),
    ]


# -- real speech -------------------------------------------------------------------------------------------------------


def labelled(folder, every):
    rows = [json.loads(line) for line in (folder / "manifest.jsonl").read_text().splitlines()]
    for row in [row for row in rows if row.get("words")][::every]:
        yield audio.decode(folder / row["audio"], sample_rate=RATE), row["words"]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "near", "far"), [("timit-sample", 89, 95), ("ljspeech-aligned", 92, 97), ("longform", 90, 95)]
)
def test_word_starts_of_real_speech_are_where_the_labels_say(shared_data, aligner, name, near, far):
    off, timed = [], True
    for samples, labels in labelled(shared_data / name, every=1):
        words = aligner.align(samples, text_of(labels)).words
        timed &= all(w.timing == "aligned" for w in words)
        off.append(starts_off(words, labels))
    found = np.abs(np.concatenate(off))
    assert timed
    assert 100 * np.mean(found <= 0.05) >= near
    assert 100 * np.mean(found <= 0.1) >= far


@pytest.mark.parametrize("mark", ["<unk>", "[inaudible 00:12]", "«привет»"])
def test_unknown_speech_does_not_stretch_its_neighbours(aligner, aligned, mark):
    compared = 0
    for row, whole in list(zip(SPEECH, aligned, strict=True))[:6]:
        words = row["text"].split()
        first, stop = len(words) // 2 - 1, len(words) // 2 + 1
        if first < 2 or stop > len(words) - 2:
            continue
        found = aligner.align(sound(row), " ".join([*words[:first], mark, *words[stop:]])).words
        outside = [*whole.words[:first], *whole.words[stop:]]
        count = len(mark.split())
        known = [*found[:first], *found[first + count :]]
        assert [w.timing for w in found[first : first + count]] == ["interpolated"] * count
        off = [max(abs(a.start - b.start), abs(a.end - b.end)) for a, b in zip(known, outside, strict=True)]
        assert max(off) <= 0.1, (row["text"], off)
        compared += 1
    assert compared >= 3


def test_markup_of_several_tokens_has_no_spoken_form(aligner, aligned):
    row, whole = SPEECH[0], aligned[0]
    words = row["text"].split()
    for span in ("[background noise]", "(laughs quietly)", "00:00:00.000 --> 00:00:03.500", "<font color='red'>"):
        found = aligner.align(sound(row), " ".join([*words[:2], span, *words[2:]])).words
        count = len(span.split())
        assert [w.timing for w in found[2 : 2 + count]] == ["interpolated"] * count
        assert [(w.start, w.end) for w in [*found[:2], *found[2 + count :]]] == [(w.start, w.end) for w in whole.words]


def test_a_transcript_with_unknown_speech_is_searched_again_without_a_beam():
    """As one without: a text that hardly fits gets times and a low score, so that its score rejects it."""
    search = sphinx.ForcedSearch(sphinx.model_folder())
    audio, words = sound(ROWS[0])[: 24 * 1600], ["nineteen", "eighty", "four", "five", "dollars", "and", "fifty"]
    assert search.find(audio, words) is not None
    placed, _ = search.find(audio, [*words, WILDCARD])
    assert [spoken is None for spoken in placed] == [*[False] * len(words), True]
