"""The demo corpus in the package: files, manifest and word times agree with each other and with the audio."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from speechprep.demo import corpus_path

SCRIPTS = Path(__file__).resolve().parents[1] / "scripts"
ROWS: list[dict[str, Any]] = [
    json.loads(line) for line in (corpus_path() / "manifest.jsonl").read_text(encoding="utf-8").splitlines()
]
SPEECH = [row for row in ROWS if row["text"] is not None]
SOUNDS = [row for row in ROWS if row["text"] is None]


def test_the_corpus_is_twenty_utterances_and_twelve_sounds_under_two_megabytes() -> None:
    assert (len(SPEECH), len(SOUNDS)) == (20, 12)
    assert 75 <= sum(row["duration_s"] for row in SPEECH) <= 100
    assert all(2 <= row["duration_s"] <= 4 for row in SOUNDS)
    assert len({row["speaker"] for row in SPEECH}) == 3
    size = sum(path.stat().st_size for path in corpus_path().rglob("*") if path.suffix != ".pyc" and path.is_file())
    assert size < 2_000_000


def test_every_file_is_in_the_manifest_once_and_every_line_has_its_file() -> None:
    listed = [row["audio"] for row in ROWS]
    found = {path.relative_to(corpus_path()).as_posix() for path in corpus_path().rglob("*.opus")}
    assert len(set(listed)) == len(listed) == len({row["id"] for row in ROWS})
    assert set(listed) == found


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row["id"])
def test_the_audio_decodes_to_the_stated_length_and_rate_and_is_not_silent(row: dict[str, Any]) -> None:
    samples, rate = soundfile.read(corpus_path() / row["audio"], dtype="float32", always_2d=True)
    assert (rate, samples.shape[1]) == (row["sample_rate"], 1)
    assert rate == (48_000 if row in SOUNDS else 16_000)
    assert len(samples) / rate == pytest.approx(row["duration_s"], abs=1e-5)
    assert 0.1 < np.abs(samples).max() <= 1.0
    assert row["licence"].startswith("CC0-1.0")


@pytest.mark.parametrize("row", SPEECH, ids=lambda row: row["id"])
def test_the_true_words_are_the_tokens_of_the_text_in_order_and_inside_the_file(row: dict[str, Any]) -> None:
    words = row["true_words"]
    assert [word["w"] for word in words] == row["text"].split()
    assert "words" not in row  # ingest would take it for the corpus's own word times and nothing would be aligned
    assert words[0]["start"] > 0
    assert words[-1]["end"] < row["duration_s"]
    assert all(0.02 <= word["end"] - word["start"] <= 2 for word in words)
    assert all(left["end"] <= right["start"] for left, right in pairwise(words))


@pytest.mark.parametrize("row", SPEECH, ids=lambda row: row["id"])
def test_speech_lies_where_the_true_words_say(row: dict[str, Any]) -> None:
    samples, rate = soundfile.read(corpus_path() / row["audio"], dtype="float32")
    first, last = round(row["true_words"][0]["start"] * rate), round(row["true_words"][-1]["end"] * rate)
    margin = round(0.05 * rate)
    outside = np.concatenate([samples[: first - margin], samples[last + margin :]])
    assert np.sqrt(np.mean(samples[first:last] ** 2)) > 10 * np.sqrt(np.mean(outside**2))


def test_the_sentences_hold_what_a_real_transcript_holds() -> None:
    text = " ".join(row["text"] for row in SPEECH)
    for form in ("$5.50", "1984", "40%", "6:30", "Dr.", "o'clock", "twenty-one", "blacksmith's", "Zambonari"):
        assert form in text


def test_every_sound_has_captions_and_labels() -> None:
    for row in SOUNDS:
        assert len(row["captions"]) == 2
        assert all(re.fullmatch(r"[A-Z].*\.", caption) for caption in row["captions"])
        assert row["labels"]


def test_forced_alignment_finds_the_words_where_the_synthesizer_put_them() -> None:
    pocketsphinx = pytest.importorskip("pocketsphinx")
    decoder = pocketsphinx.Decoder(
        lm=None, bestpath=False, beam=1e-200, pbeam=1e-200, wbeam=1e-200, loglevel="FATAL", samprate=16_000
    )
    errors: list[float] = []
    for row in SPEECH:
        tokens = re.sub(r"[.,]", "", row["text"].lower()).split()
        if any(decoder.lookup_word(token) is None for token in tokens):
            continue  # numbers, hyphens and invented names are the aligner's own tests
        samples, _ = soundfile.read(corpus_path() / row["audio"], dtype="int16")
        decoder.set_align_text(" ".join(tokens))
        decoder.start_utt()
        decoder.process_raw(samples.tobytes(), full_utt=True)
        decoder.end_utt()
        starts = [s.start_frame / 100 for s in decoder.seg() if s.word[0] not in "<(["]
        errors += [abs(start - word["start"]) for start, word in zip(starts, row["true_words"], strict=True)]
    assert len(errors) > 100
    assert np.mean(errors) < 0.018
    assert np.mean(np.array(errors) <= 0.05) > 0.95


@pytest.fixture
def scripts_on_path(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(SCRIPTS))


@pytest.mark.usefixtures("scripts_on_path")
def test_a_sound_depends_on_its_seed_alone() -> None:
    import demo_sounds

    for sound in demo_sounds.SOUNDS:
        once, again, other = (sound.make(np.random.default_rng(seed)) for seed in (1, 1, 2))
        assert np.array_equal(once, again)
        assert np.isfinite(once).all()
        assert not np.array_equal(once, other)


@pytest.mark.usefixtures("scripts_on_path")
def test_without_flite_the_script_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    import make_demo_corpus

    def absent(name: str) -> None:
        raise OSError(name)

    monkeypatch.setattr(make_demo_corpus.ctypes, "CDLL", absent)
    with pytest.raises(SystemExit, match="apt install flite"):
        make_demo_corpus.Flite()


@pytest.mark.reference
def test_the_script_makes_the_shipped_manifest_again(tmp_path: Path) -> None:
    if shutil.which("flite") is None or shutil.which("opusenc") is None:
        pytest.skip("flite and opusenc are not both installed here")
    command = [sys.executable, str(SCRIPTS / "make_demo_corpus.py"), "--out", str(tmp_path)]
    subprocess.run(command, check=True, capture_output=True)
    made = (tmp_path / "manifest.jsonl").read_text(encoding="utf-8").splitlines()
    assert [json.loads(line) for line in made] == ROWS
