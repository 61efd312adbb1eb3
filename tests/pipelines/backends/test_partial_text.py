"""Texts that cover a part of the audio, and audio that covers a part of the text."""

from __future__ import annotations

import json
from itertools import pairwise

import numpy as np
import pytest

from speechprep.artifacts.media import audio
from speechprep.demo import corpus_path
from speechprep.errors import BadInput
from speechprep.pipelines.backends.aligners import partial_text
from speechprep.pipelines.backends.aligners.pocketsphinx import PocketSphinxAligner
from speechprep.pipelines.backends.aligners.timing import Spoken

FOREIGN = "yesterday afternoon several hungry elephants marched slowly through their village"


@pytest.fixture(scope="module")
def aligner():
    aligner = PocketSphinxAligner()
    aligner.load()
    return aligner


@pytest.fixture(scope="module")
def clips():
    """(audio, text, true starts) of three clips of one voice of the demo corpus."""
    rows = map(json.loads, (corpus_path() / "manifest.jsonl").read_text().splitlines())
    rows = [row for row in rows if row["id"].endswith("rms")][:3]
    assert len(rows) == 3
    return [
        (
            audio.decode(corpus_path() / row["audio"], sample_rate=16_000),
            row["text"],
            [word["start"] for word in row["true_words"]],
        )
        for row in rows
    ]


def shares(words, true):
    """Share of the spoken words within 0.1 s of their true start, and share of the others that are not aligned."""
    pairs = list(zip(words, true, strict=True))
    near = [word.timing == "aligned" and abs(word.start - start) <= 0.1 for word, start in pairs if start is not None]
    marked = [word.timing == "interpolated" for word, start in pairs if start is None]
    return np.mean(near), np.mean(marked) if marked else 1.0


@pytest.mark.parametrize("place", [0, 1, 2])
def test_words_without_audio_are_marked_and_the_others_are_found(aligner, clips, place):
    samples, text, starts = clips[0]
    tokens, half = text.split(), len(starts) // 2
    at = (0, half, len(starts))[place]
    foreign = FOREIGN.split()
    words = aligner.align(samples, " ".join([*tokens[:at], *foreign, *tokens[at:]])).words
    near, marked = shares(words, [*starts[:at], *[None] * len(foreign), *starts[at:]])
    assert near >= 0.8
    assert marked >= 0.9


@pytest.mark.parametrize("place", [0, 1, 2])
def test_audio_without_text_moves_no_word(aligner, clips, place):
    parts = [clips[number] for number in (1, 2, 0)]
    whole = np.concatenate([part[0] for part in parts])
    text, true, at = [], [], 0.0
    for number, (samples, written, starts) in enumerate(parts):
        if number != place:
            text.append(written)
            true += [start + at for start in starts]
        at += len(samples) / 16_000
    assert shares(aligner.align(whole, " ".join(text)).words, true)[0] >= 0.85


def test_a_right_transcript_has_the_same_words_with_and_without_the_search(aligner, clips):
    plain = PocketSphinxAligner(partial=False)
    plain.load()
    for samples, text, _ in clips:
        assert aligner.align(samples, text) == plain.align(samples, text)


def test_an_absent_text_gets_no_good_score(aligner, clips):
    samples, _, _ = clips[0]
    try:
        words = aligner.align(samples, " ".join([FOREIGN] * 2)).words
    except BadInput:
        return  # refused
    assert np.mean([word.score for word in words if word.score is not None]) < aligner.min_score


def test_times_ascend_around_passages(aligner, clips):
    samples, text, _ = clips[0]
    words = aligner.align(samples, f"{FOREIGN} {text} {FOREIGN}").words
    assert all(a.start <= b.start and a.end <= b.end for a, b in pairwise(words))


def test_a_closed_alignment_is_doubtful_by_its_mean_a_stretch_or_a_pause():
    good = [Spoken(20 * i, 20 * i + 20, -1.5) for i in range(10)]
    assert not partial_text.doubtful((good, [Spoken(200, 300, -1.0), Spoken(300, 310, -9.0)]))
    assert partial_text.doubtful((good, [Spoken(200, 300, -5.0)]))
    assert partial_text.doubtful(([*good[:8], *[Spoken(0, 20, -6.5)] * 2], []))
    assert partial_text.doubtful(([Spoken(0, 20, -2.6)] * 4, []))


def test_joins_of_timit_clips_are_taken_apart(aligner, shared_data):
    """Three clips, one of them without text, without audio, or with the text of another clip."""
    folder = shared_data / "timit-sample"
    rows = [json.loads(line) for line in (folder / "manifest.jsonl").read_text().splitlines()]
    rows = [row for row in rows if "-sa" not in row["id"]][:48:2]
    near, marked, far = [], [], []
    for first in range(0, len(rows) - 3, 4):
        samples, text, true, at = [], [], [], 0.0
        for number, row in enumerate(rows[first : first + 3]):
            kind = ("text", "audio", "both")[first // 4 % 3] if number == first // 4 % 2 else None
            other = rows[first + 3]
            if kind != "audio":  # this clip, or another one, is spoken
                spoken = other if kind == "both" else row
                samples.append(audio.decode(folder / spoken["audio"], sample_rate=16_000))
            if kind != "text":
                text += [word["w"] for word in row["words"]]
                true += [None if kind else word["start"] + at for word in row["words"]]
            at += len(samples[-1]) / 16_000 if kind != "audio" else 0.0
        words = aligner.align(np.concatenate(samples), " ".join(text)).words
        for word, start in zip(words, true, strict=True):
            if start is None:
                marked.append(word.timing == "interpolated")
            else:
                near.append(word.timing == "aligned" and abs(word.start - start) <= 0.05)
                far.append(word.timing == "aligned" and abs(word.start - start) > 0.5)
    assert np.mean(near) >= 0.85
    assert np.mean(far) <= 0.01
    assert np.mean(marked) >= 0.9
