"""Real Whisper weights in their three forms: equal identity, frames and texts.

SPEECHPREP_WHISPER is the folder of scripts/fetch_whisper.py; without it these tests skip. `make whisper` sets it.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest

from speechprep.artifacts.codebook import Codebook
from speechprep.artifacts.media import audio
from speechprep.demo import corpus_path
from speechprep.errors import ConfigError
from speechprep.pipelines.backends import Language
from speechprep.pipelines.backends.extractors.whisper import WhisperExtractor
from speechprep.pipelines.backends.recognisers.choose import whisper_model
from speechprep.pipelines.backends.recognisers.whisper_model import Decoding
from speechprep.pipelines.backends.whisper.convert import convert
from speechprep.pipelines.backends.whisper.facts import facts
from speechprep.pipelines.backends.whisper.forms import open_weights

pytestmark = [pytest.mark.whisper, pytest.mark.filterwarnings("ignore")]
RATE = 16_000
CLIPS = 8


@pytest.fixture(scope="module")
def weights() -> Path:
    folder = os.environ.get("SPEECHPREP_WHISPER")
    if not folder:
        pytest.skip("no Whisper weights: set SPEECHPREP_WHISPER to the folder of scripts/fetch_whisper.py")
    for package in ("torch", "transformers", "faster_whisper", "whisperx", "whisper"):
        pytest.importorskip(package)
    return Path(folder)


@pytest.fixture(scope="module")
def speech() -> list[np.ndarray]:
    rows = [json.loads(line) for line in (corpus_path() / "manifest.jsonl").read_text(encoding="utf-8").splitlines()]
    spoken = [row for row in rows if row["text"]]
    return [audio.decode(corpus_path() / row["audio"], sample_rate=RATE) for row in spoken[:CLIPS]]


def forms(weights: Path, name: str) -> list[Path]:
    return [weights / f"whisper-{name}-ct2", weights / f"whisper-{name}-transformers", weights / f"{name}.pt"]


@pytest.mark.parametrize(("name", "languages"), [("tiny.en", 1), ("base", 99)])
def test_the_three_forms_have_one_identity(weights, name, languages):
    found = [facts(open_weights(path)) for path in forms(weights, name)]
    assert {fact["encoder_sha256"] for fact in found} == {found[0]["encoder_sha256"]}
    assert {fact["decoder_sha256"] for fact in found} == {found[0]["decoder_sha256"]}
    assert {(fact["size"], len(fact["languages"])) for fact in found} == {(name, languages)}


def test_frames_are_bit_identical_and_a_codebook_of_one_form_serves_each(weights, speech):
    frames, extractors = [], []
    for path in forms(weights, "tiny.en"):
        extractor = WhisperExtractor(str(path), 4, device="cpu")
        extractor.load()
        frames.append(np.concatenate(extractor.extract(speech[:2])))
        extractors.append(extractor)
    assert np.array_equal(frames[0], frames[1])
    assert np.array_equal(frames[0], frames[2])
    book = Codebook(frames[0][:20].copy(), extractors[0].identity(), extractors[0].grid)
    for extractor in extractors:
        book.check(extractor)


def test_encoder_outputs_of_the_libraries_agree_and_greedy_texts_are_equal(weights, speech):
    paths = forms(weights, "tiny.en")
    made = [whisper_model(str(path), "cpu", "float32", Decoding(1), 1, 1) for path in paths]
    encoded = [np.asarray(next(one._features(speech[:1]))) for one in made]
    for found in encoded[1:]:
        assert np.abs(found - encoded[0]).max() <= 2e-4 * np.abs(encoded[0]).max()
    english = Language("en", None, given=True)
    texts = [[found.text.strip() for found in one.texts(speech, english)[0]] for one in made]
    assert texts[0] == texts[1] == texts[2]
    assert sum(len(text.split()) for text in texts[0]) > 4 * CLIPS


def test_a_multilingual_model_hears_the_language_and_an_english_only_model_sets_it(weights, speech):
    made = whisper_model(str(weights / "whisper-base-ct2"), "cpu", "float32", Decoding(1), 1, 1)
    found = made.language(speech[0])
    assert (found.code, found.probability > 0.5) == ("en", True)
    english = whisper_model(str(weights / "whisper-tiny.en-ct2"), "cpu", "float32", Decoding(1), 1, 1)
    assert english.language(speech[0]) == Language("en", None)
    with pytest.raises(ConfigError, match="English-only"):
        english.check_language("whisperx", "de")


def test_weights_converted_from_a_pt_to_a_folder_of_faster_whisper_give_the_same_texts(weights, speech, tmp_path):
    made = convert(weights / "tiny.en.pt", tmp_path / "ct2", "ct2")
    stock = open_weights(weights / "whisper-tiny.en-ct2")
    assert made.digest("decoder") == stock.digest("decoder")
    ours, theirs = (json.loads((one.path / "config.json").read_text()) for one in (made, stock))
    for key in ("suppress_ids", "suppress_ids_begin", "alignment_heads"):
        assert sorted(ours[key]) == sorted(theirs[key]), key
    english = Language("en", None, given=True)
    texts = [
        whisper_model(str(w.path), "cpu", "float32", Decoding(1), 1, 1).texts(speech[:3], english)[0]
        for w in (made, stock)
    ]
    assert texts[0] == texts[1]


def test_an_int8_copy_has_another_identity_and_says_so(weights, speech, tmp_path, caplog):
    from ctranslate2.converters import TransformersConverter

    folder = weights / "whisper-tiny.en-transformers"
    TransformersConverter(str(folder)).convert(str(tmp_path / "int8"), quantization="int8")
    plain = WhisperExtractor(str(folder), 4, device="cpu")
    small = WhisperExtractor(str(tmp_path / "int8"), 4, device="cpu")
    plain.load()
    small.load()
    assert "dequantised" in caplog.text
    assert small.identity()["weights"] != plain.identity()["weights"]
    frames = [extractor.extract(speech[:1])[0] for extractor in (plain, small)]
    assert 0 < np.abs(frames[0] - frames[1]).mean() < 0.1 * np.abs(frames[0]).mean()
