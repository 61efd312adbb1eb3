"""Whisper in both formats: the same chunks, the same contract, the language it hears, and files that are no model."""

from __future__ import annotations

import json
import shutil
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from helpers import ctc_models
from hypothesis import given
from hypothesis import strategies as st

from speechprep import registry
from speechprep.artifacts.media import audio
from speechprep.demo import corpus_path
from speechprep.errors import BadInput, ConfigError, MissingBackend
from speechprep.pipelines.backends import Language
from speechprep.pipelines.backends.recognisers.choose import whisper_model
from speechprep.pipelines.backends.recognisers.voice_activity import merged
from speechprep.pipelines.backends.recognisers.whisper_model import Decoding

RATE = 16_000
SAYS = "it was the best of times"
LANGUAGE = "fr"
PLAIN = ("cpu", "float32", Decoding(1), 2, 1)  # device, compute_type, beam_size, batch_size, threads
reference = [pytest.mark.reference, pytest.mark.filterwarnings("ignore")]

SPANS = st.lists(st.tuples(st.floats(0.01, 40), st.floats(0, 20)), max_size=12)


def laid_out(lengths):
    """Stretches of speech, each after a pause, of at most 30 s."""
    spans, at = [], 0.0
    for length, pause in lengths:
        spans.append((at + pause, at + pause + min(length, 30.0)))
        at = spans[-1][1]
    return spans


@given(SPANS)
def test_chunks_hold_all_speech_in_order_and_are_as_long_as_may_be(lengths):
    spans = laid_out(lengths)
    chunks = merged(spans)
    held = [[span for span in spans if start <= span[0] and span[1] <= end] for start, end in chunks]
    assert [span for some in held for span in some] == spans
    for (start, end), some in zip(chunks, held, strict=True):
        assert (start, end) == (some[0][0], some[-1][1])
        assert end - start <= 30.0 + 1e-9
    for some, after in pairwise(held):
        assert after[0][1] - some[0][0] > 30.0  # or it would stand in the chunk before


@pytest.mark.reference
@pytest.mark.filterwarnings("ignore::UserWarning")  # pyannote on a machine without FFmpeg
def test_chunks_are_those_of_whisperx():
    pytest.importorskip("whisperx")
    from whisperx.diarize import Segment
    from whisperx.vads.vad import Vad

    @given(SPANS)
    def agree(lengths):
        spans = laid_out(lengths)
        if spans:
            theirs = Vad.merge_chunks([Segment(*span, "UNKNOWN") for span in spans], 30, 0.5, None)
            assert merged(spans) == [(chunk["start"], chunk["end"]) for chunk in theirs]

    agree()


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """The same in both formats, as far as their words go: they say SAYS and hear LANGUAGE."""
    pytest.importorskip("whisperx")
    base = tmp_path_factory.mktemp("whisper")
    return {
        "ctranslate2": str(ctc_models.whisper_folder(base / "ct2", base / "work", SAYS, LANGUAGE)),
        "openai": str(ctc_models.openai_checkpoint(base / "tiny.pt", SAYS, LANGUAGE)),
        "random": str(ctc_models.openai_checkpoint(base / "random.pt")),
        "align": str(ctc_models.ctc_folder(base / "align", normalise=False)),
    }


@pytest.fixture(scope="module")
def speech():
    rows = [json.loads(line) for line in (corpus_path() / "manifest.jsonl").read_text(encoding="utf-8").splitlines()]
    sounds = [audio.decode(corpus_path() / row["audio"], sample_rate=RATE) for row in rows if row["text"]]
    pause = np.zeros(2 * RATE, np.float32)
    return np.concatenate([piece for sound in sounds[:12] for piece in (sound, pause)])


def with_marks(function):
    for mark in reference:
        function = mark(function)
    return function


@with_marks
@pytest.mark.parametrize("kind", ["ctranslate2", "openai"])
def test_each_chunk_has_its_text_and_the_first_says_the_language(models, speech, kind):
    made = whisper_model(models[kind], *PLAIN)
    chunks = [speech[i : i + RATE] for i in range(0, 5 * RATE, RATE)]
    texts, heard = made.texts(chunks, None)
    assert [one.text.strip() for one in texts] == [SAYS] * 5
    assert all(0 <= one.no_speech_probability <= 1 and one.log_probability < 0 for one in texts)
    assert heard.code == LANGUAGE
    assert 0.5 < heard.probability <= 1
    assert made.language(chunks[0]) == heard
    assert made.texts(chunks[:1], Language("fr", None))[1].probability is None


@with_marks
@pytest.mark.parametrize("beam", [1, 3])
def test_texts_do_not_depend_on_how_many_chunks_are_heard_at_once(models, tmp_path, speech, beam):
    folder = ctc_models.whisper_folder(tmp_path / "ct2", tmp_path / "work")  # says what chance makes it hear
    chunks = [speech[i : i + 3 * RATE] for i in range(0, 15 * RATE, 3 * RATE)]
    english = Language("en", None)
    found = [
        whisper_model(str(folder), "cpu", "float32", Decoding(beam), size, 1).texts(chunks, english)[0]
        for size in (1, 2, 3, 8)
    ]
    assert len(found[0]) == len(chunks)
    texts = [[one.text for one in decoded] for decoded in found]
    assert any(texts[0])
    assert texts == [texts[0]] * 4
    scores = [[one[1:] for one in decoded] for decoded in found]
    np.testing.assert_allclose(scores, [scores[0]] * 4, atol=1e-5)


@with_marks
def test_texts_of_a_checkpoint_are_those_that_openai_whisper_decodes(models, speech):
    package = pytest.importorskip("whisper")
    chunks = [speech[i : i + 4 * RATE] for i in range(0, 12 * RATE, 4 * RATE)]
    for beam in (1, 3):
        found, _ = whisper_model(models["random"], "cpu", "float32", Decoding(beam), 8, 1).texts(
            chunks, Language("en", None)
        )
        model = package.load_model(models["random"])
        options = package.DecodingOptions(
            language="en", beam_size=beam if beam > 1 else None, without_timestamps=True, fp16=False
        )
        mels = [package.pad_or_trim(package.log_mel_spectrogram(chunk, padding=30 * RATE), 3000) for chunk in chunks]
        theirs = [model.decode(mel, options) for mel in mels]
        assert found == [(one.text, one.no_speech_prob, one.avg_logprob, 0.0) for one in theirs]
        assert any(one.text for one in found)


@with_marks
def test_both_formats_give_the_same_words_at_the_same_times(models, speech):
    found = [
        registry.make(
            "aligners", "whisperx", {"whisper": models[kind], "align_model": models["align"], "beam_size": 2}
        ).align(speech, None)
        for kind in ("ctranslate2", "openai")
    ]
    assert len(found[0].words) >= 6
    assert found[0].words == found[1].words
    assert {word.text for word in found[0].words} == set(SAYS.split())
    assert {transcript.language for transcript in found} == {LANGUAGE}


@with_marks
def test_an_align_model_for_each_language_is_chosen_by_what_is_heard(models, speech):
    def made(align_model, **options):
        return registry.make(
            "aligners", "whisperx", {"whisper": models["openai"], "align_model": align_model} | options
        )

    two = made({"en": "/not/needed", "fr": models["align"]})
    for text in (None, "one two three"):
        found = two.align(speech, text)
        assert found.words
        assert (found.language, found.language_probability > 0.5) == (LANGUAGE, True)
    english = made({"en": models["align"]})
    for text in (None, "one two three"):
        with pytest.raises(BadInput, match=r"language is 'fr'.*no model for it, only for en") as error:
            english.align(speech, text)
        assert error.value.code == "no_align_model"
    given = made({"en": models["align"]}, language="en").align(speech, None)
    assert given.words
    assert (given.language, given.language_probability) == (None, None)
    with pytest.raises(ConfigError, match="no align_model for language = 'de'"):
        made({"en": models["align"]}, language="de")
    assert two.align(np.zeros(3 * RATE, np.float32), None).words == []


@with_marks
def test_a_checkpoint_that_is_damaged_or_something_else_is_refused_in_one_line(models, tmp_path):
    torch = pytest.importorskip("torch")
    good = Path(models["openai"]).read_bytes()
    (tmp_path / "cut.pt").write_bytes(good[: len(good) // 2])
    (tmp_path / "text.pt").write_text("not a model")
    (tmp_path / "empty.pt").write_bytes(b"")
    torch.save({"weights": torch.zeros(3)}, tmp_path / "other.pt")
    torch.save(torch.nn.Linear(2, 2), tmp_path / "code.pt")
    read = torch.load(models["openai"], weights_only=True)
    torch.save({**read, "dims": {**read["dims"], "n_text_layer": 2}}, tmp_path / "layers.pt")
    for name in ("cut", "text", "empty", "other", "code", "layers"):
        with pytest.raises(ConfigError, match=f"{name}.pt") as error:
            whisper_model(str(tmp_path / f"{name}.pt"), *PLAIN).language(np.zeros(RATE, np.float32))
        assert "\n" not in str(error.value)
    with pytest.raises(MissingBackend, match="no file"):
        whisper_model(str(tmp_path / "gone.pt"), *PLAIN).identity()


def test_a_checkpoint_runs_in_no_precision_that_its_package_lacks():
    for compute_type in ("int8", "float16"):
        with pytest.raises(ConfigError, match=r"speechprep models convert tiny\.pt tiny-ct2 --to ct2"):
            whisper_model("tiny.pt", "cpu", compute_type, Decoding(5), 8, 1)


def test_a_file_that_is_no_checkpoint_is_no_model(tmp_path):
    (tmp_path / "model.bin").write_bytes(b"x")
    with pytest.raises(ConfigError, match="neither a folder nor a checkpoint"):
        whisper_model(str(tmp_path / "model.bin"), *PLAIN).files()


@with_marks
def test_a_damaged_folder_is_refused_in_one_line(models, tmp_path):
    copy = shutil.copytree(models["ctranslate2"], tmp_path / "ct2")
    (copy / "model.bin").write_bytes((copy / "model.bin").read_bytes()[:1000])
    with pytest.raises(ConfigError, match="cannot be read"):
        whisper_model(str(copy), *PLAIN).language(np.zeros(RATE, np.float32))


@with_marks
def test_who_a_recogniser_is_follows_from_its_format_and_bytes(models):
    known = [whisper_model(models[kind], *PLAIN).identity() for kind in ("ctranslate2", "openai", "random")]
    assert [next(iter(made["packages"])) for made in known] == ["whisperx", "openai-whisper", "openai-whisper"]
    assert len({made["whisper_sha256"] for made in known}) == 3
