"""The aligner whisperx, through the real libraries on small models with random weights, without any network."""

from __future__ import annotations

import json
import shutil
import socket
from itertools import pairwise

import numpy as np
import pyarrow.parquet as pq
import pytest
from helpers import ctc_models

from speechprep import registry
from speechprep.artifacts.media import audio
from speechprep.demo import corpus_path
from speechprep.errors import BadInput, ConfigError, MissingBackend
from speechprep.pipelines.backends.aligners.whisperx import WhisperxAligner
from speechprep.pipelines.stages import align

pytestmark = [pytest.mark.reference, pytest.mark.filterwarnings("ignore")]
RATE = 16_000


@pytest.fixture(scope="module", autouse=True)
def no_network(tmp_path_factory):
    """Whatever asks for an address is written down; there is a sentence splitter for WhisperX's own align."""
    pytest.importorskip("whisperx")
    nltk = pytest.importorskip("nltk")
    asked = []

    def refuse(host, *args, **kwargs):
        asked.append(host)
        raise socket.gaierror("no network in tests")

    punkt = tmp_path_factory.mktemp("nltk") / "tokenizers" / "punkt_tab" / "english"
    punkt.mkdir(parents=True)
    for name in ("abbrev_types.txt", "collocations.tab", "sent_starters.txt", "ortho_context.tab"):
        (punkt / name).write_text("")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(socket, "getaddrinfo", refuse)
        patch.setattr(nltk.data, "path", [str(punkt.parents[2])])
        patch.setenv("PYANNOTE_METRICS_ENABLED", "0")
        yield asked


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    base = tmp_path_factory.mktemp("models")
    whisper = ctc_models.whisper_folder(base / "whisper", base / "work")
    return str(whisper), str(ctc_models.ctc_folder(base / "align", normalise=False))


@pytest.fixture(scope="module")
def make(folders):
    def made(**options):
        options = {"language": "en", "beam_size": 1, **options}
        aligner = registry.make("aligners", "whisperx", {"whisper": folders[0], "align_model": folders[1], **options})
        aligner.load()
        return aligner

    return made


@pytest.fixture(scope="module")
def speech():
    """Half a minute of the demo corpus with pauses, and all of its speech."""
    rows = [json.loads(line) for line in (corpus_path() / "manifest.jsonl").read_text(encoding="utf-8").splitlines()]
    sounds = [audio.decode(corpus_path() / row["audio"], sample_rate=RATE) for row in rows if row["text"]]
    pause = np.zeros(RATE, np.float32)
    parts = [piece for sound in sounds for piece in (sound, pause)]
    return np.concatenate(parts[:14]), np.concatenate(parts)


def test_in_its_own_mode_the_words_are_those_of_whisperx(make, folders, speech):
    import whisperx

    pipeline = whisperx.load_model(
        folders[0], "cpu", compute_type="float32", language="en", asr_options={"beam_size": 1},
        vad_model=ctc_models.silero_for_whisperx(),
    )  # fmt: skip
    segments = pipeline.transcribe(speech[0], batch_size=8, chunk_size=30)["segments"]
    model, meta = whisperx.load_align_model("en", "cpu", model_name=folders[1])
    theirs = whisperx.align(segments, model, meta, speech[0], "cpu")["word_segments"]
    found = make(mode="whisperx").align(speech[0], None)
    timed = [w for w in found.words if w.timing == "aligned"]
    expected = [(w["word"], w["start"], w["end"], w["score"]) for w in theirs if "score" in w]
    assert len(expected) > 5
    assert [(w.text, w.start, w.end, w.score) for w in timed] == expected


@pytest.mark.parametrize("mode", ["ctc", "whisperx"])
def test_every_word_has_a_time_and_nothing_asks_the_network(make, speech, no_network, mode):
    found = make(mode=mode).align(speech[0], None)
    assert found.words
    assert found.text == " ".join(w.text for w in found.words)
    assert all(0 <= w.start <= w.end <= len(speech[0]) / RATE for w in found.words)
    assert all((w.score is None) == (w.timing == "interpolated") for w in found.words)
    assert no_network == []


def test_long_audio_goes_through_in_pieces(make, speech):
    whole = speech[1]
    aligner = make(piece=90.0)
    sizes = []
    chunks = aligner.recogniser.detector.chunks
    aligner.recogniser.detector.chunks = lambda piece: sizes.append(len(piece)) or chunks(piece)
    blocks = (np.tile(whole, 2)[i : i + 7000] for i in range(0, 2 * len(whole), 7000))
    found = aligner.align_stream(blocks, None)
    assert len(sizes) > 1
    assert max(sizes) <= 90 * RATE
    assert found.words[-1].end > len(whole) / RATE
    starts = [w.start for w in found.words]
    assert all(a <= b + 1e-6 for a, b in pairwise(starts))
    once = make().align(speech[0], None)
    assert aligner.align_stream(iter([speech[0]]), None) == once


@pytest.mark.parametrize("mode", ["ctc", "whisperx"])
def test_a_given_transcript_keeps_its_tokens(make, speech, mode):
    text = "Hello,  there are 42 of them \u2014 really"
    found = make(mode=mode).align(speech[0], text)
    assert [w.text for w in found.words] == text.split()
    assert make(mode=mode).align(speech[0], " ").words == []


def test_silence_has_no_words_and_a_moment_is_refused(make):
    aligner = make()
    assert aligner.align(np.zeros(5 * RATE, np.float32), None).words == []
    for text in (None, "hello"):
        with pytest.raises(BadInput) as error:
            aligner.align(np.zeros(100, np.float32), text)
        assert error.value.code == "audio_too_short"
    with pytest.raises(BadInput, match="fit"):
        make(mode="whisperx").align(np.zeros(4000, np.float32), "far too long for a quarter of a second")


def test_pyannote_finds_speech_too_and_tells_nobody(make, speech, no_network):
    assert make(vad="pyannote").align(speech[0], None).words
    assert no_network == []


@pytest.mark.parametrize("name", ["model.bin", "config.json", "tokenizer.json", "vocabulary.json"])
def test_a_whisper_folder_with_a_file_missing_is_refused(folders, tmp_path, name):
    copy = shutil.copytree(folders[0], tmp_path / "whisper")
    (copy / name).unlink()
    aligner = WhisperxAligner(str(copy), folders[1])
    for action in (aligner.identity, aligner.load):
        with pytest.raises(MissingBackend, match="lacks"):
            action()


def test_identity_names_every_parameter_and_bad_ones_are_refused(folders):
    first = WhisperxAligner(*folders).identity()
    assert json.loads(json.dumps(first)) == first
    for options in ({"mode": "whisperx"}, {"vad": "pyannote"}, {"beam_size": 1}, {"compute_type": "int8"}):
        assert WhisperxAligner(*folders, **options).identity() != first
    for options in ({"mode": "dtw"}, {"vad": "none"}, {"vad_onset": 0}, {"piece": 30}):
        with pytest.raises(ConfigError, match="choose"):
            WhisperxAligner(*folders, **options)


def test_the_align_stage_runs_with_it_and_rejects_with_a_reason(folders, run_stage, make_corpus, speech):
    silence = np.zeros(3 * RATE, np.float32)
    rows = [
        {"id": "said", "sound": speech[0][: 8 * RATE], "text": None},
        {"id": "given", "sound": speech[0][: 8 * RATE], "text": "Hello, 42"},
        {"id": "silent", "sound": silence, "text": None},
        {"id": "unsaid", "sound": silence, "text": "\u6771\u4eac"},
        {"id": "flood", "sound": silence, "text": "too many words " * 20},
    ]
    options = {"whisper": folders[0], "align_model": folders[1], "beam_size": 1}
    limits = ("min_log_probability", "max_no_speech_probability", "min_language_probability")  # of a random model
    config = {"backend": "whisperx", "options": options, **dict.fromkeys(limits)}
    made = run_stage(align.STAGE, config, {"utterances": make_corpus(rows)})
    found = {row["id"]: row for row in pq.read_table(next(made.glob("part-*"))).to_pylist()}
    # Words in another script are aligned as unknown speech, and the row is then silent.
    reasons = {"said": None, "given": None, "silent": "no_words", "unsaid": "silent"}
    assert {id: row["reason"] for id, row in found.items()} == reasons
    assert found["said"]["words"]
    for id in ("said", "given"):
        assert len(found[id]["language"]) in (2, 3)
        assert 0 < found[id]["language_probability"] <= 1
    assert found["silent"]["language"] is None
    refused = pq.read_table(next((made / "_rejects").glob("*.parquet"))).to_pylist()
    assert {row["id"]: row["code"] for row in refused} == {"flood": "text_too_long"}
