"""The contract of each family, run over every registered backend, and over one with the required methods only."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from helpers.small_backends import SMALL, loaded

from speechprep.artifacts.media import audio as media
from speechprep.demo import corpus_path
from speechprep.errors import ConfigError
from speechprep.pipelines.backends import Aligner, Embedder, Extractor, ImageCodec, Quantizer, Recogniser
from speechprep.pipelines.backends.aligners.recognised import RecognisedAligner
from speechprep.tokenizers.english.spoken import tokens
from speechprep.tokenizers.kmeans.nearest import Centroids

pytestmark = pytest.mark.filterwarnings("ignore")  # of the libraries


# -- recognisers -------------------------------------------------------------------------------------------------------


def test_passages_are_parts_of_the_recording_in_order_also_for_audio_in_blocks(recogniser: Recogniser) -> None:
    rate = recogniser.sample_rate
    sound = np.concatenate([audio for audio, _ in speech(rate)])
    whole = list(recogniser.passages(iter([sound])))
    assert whole
    for passage in whole:
        assert 0 <= passage.start < passage.end <= len(sound) / rate + 1e-9
        assert abs(len(passage.audio) / rate - (passage.end - passage.start)) < 0.002
        first = round(passage.start * rate)
        assert np.array_equal(passage.audio[8:-8], sound[first : first + len(passage.audio)][8:-8])
    assert all(a.end <= b.start + 1e-9 for a, b in pairwise(whole))
    blocks = list(recogniser.passages(sound[i : i + 5000] for i in range(0, len(sound), 5000)))
    assert [(p.start, p.end, p.text, p.language) for p in blocks] == [
        (p.start, p.end, p.text, p.language) for p in whole
    ]


def test_a_recogniser_and_an_aligner_are_one_aligner(recogniser: Recogniser) -> None:
    aligner = loaded("aligners", "plain" if recogniser.sample_rate == 8_000 else "pocketsphinx")
    both = RecognisedAligner(recogniser, aligner)
    both.check()
    sound = np.concatenate([audio for audio, _ in speech(recogniser.sample_rate)])
    found = both.align(sound, None)
    passages = list(recogniser.passages(iter([sound])))
    assert found.text.split() == [word for passage in passages for word in tokens(passage.text)]
    assert found.text == " ".join(word.text for word in found.words)
    assert all(0 <= w.start <= w.end <= len(sound) / recogniser.sample_rate + 1e-3 for w in found.words)
    assert found.no_speech_probability == max(p.no_speech_probability for p in passages)
    assert found.log_probability == min(p.log_probability for p in passages)
    assert both.align(sound, "one two") == aligner.align(sound, "one two")


# -- aligners ----------------------------------------------------------------------------------------------------------


def speech(rate: int, count: int = 2) -> list[tuple[np.ndarray, str]]:
    lines = (corpus_path() / "manifest.jsonl").read_text(encoding="utf-8").splitlines()
    rows = [row for row in map(json.loads, lines) if row["text"]][:count]
    return [(media.decode(str(corpus_path() / row["audio"]), sample_rate=rate), row["text"]) for row in rows]


def test_every_token_has_a_time_within_the_audio(aligner: Aligner) -> None:
    for audio, text in speech(aligner.sample_rate):
        transcript = aligner.align(audio, text)
        assert [word.text for word in transcript.words] == text.split() == transcript.text.split()
        for word in transcript.words:
            assert 0 <= word.start <= word.end <= len(audio) / aligner.sample_rate
            assert word.timing in ("aligned", "interpolated")


def test_a_stream_gives_the_words_of_the_whole_and_earlier_audio_changes_nothing(aligner: Aligner) -> None:
    (first, text), (second, other) = speech(aligner.sample_rate)
    whole = aligner.align(first, text)
    aligner.align(second, other)
    assert aligner.align(first, text) == whole
    assert aligner.align_stream(np.array_split(first, 7), text) == whole


def test_audio_without_a_transcript_is_recognised_and_the_audio_is_unchanged(aligner: Aligner) -> None:
    ((audio, _),) = speech(aligner.sample_rate, 1)
    before = audio.copy()
    if not aligner.recognises:
        with pytest.raises(ConfigError, match="no recogniser for speech without a transcript"):
            aligner.align(audio, None)
        return
    transcript = aligner.align(audio, None)
    assert aligner.align(audio, None) == transcript
    assert transcript.text == " ".join(word.text for word in transcript.words)
    assert np.array_equal(audio, before)


@pytest.mark.parametrize("name", list(SMALL["aligners"]))
def test_two_aligners_made_alike_give_the_same_words(name: str) -> None:
    first, second = loaded("aligners", name), loaded("aligners", name)
    ((audio, text),) = speech(first.sample_rate, 1)
    assert first.align(audio, text) == second.align(audio, text)


def test_a_thread_safe_aligner_gives_the_same_words_in_several_threads(aligner: Aligner) -> None:
    if not aligner.thread_safe:
        pytest.skip("each thread loads its own")
    clips = speech(aligner.sample_rate, 4)
    alone = [aligner.align(*clip) for clip in clips]
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(lambda clip: aligner.align(*clip), clips)) == alone


# -- extractors --------------------------------------------------------------------------------------------------------


def clips(extractor: Extractor) -> list[np.ndarray]:
    """Mixed lengths: one frame, a little more, odd ones, some seconds; one silent, one loud."""
    rng = np.random.default_rng(7)
    grid = extractor.grid
    lengths = [grid.window, grid.window + grid.stride - 1, 3 * grid.window + 1, 20_011, 48_000, 16_000]
    audio = [(rng.standard_normal(n) * 0.1).astype(np.float32) for n in lengths]
    audio[-1][:] = 0
    audio[-2] = np.clip(audio[-2] * 20, -1, 1)
    return audio


def test_frames_are_float32_and_as_many_as_the_grid_states(extractor: Extractor) -> None:
    for audio, frames in zip(clips(extractor), extractor.extract(clips(extractor)), strict=True):
        assert frames.shape == (extractor.grid.num_frames(len(audio)), extractor.dim)
        assert frames.dtype == np.float32
        assert np.isfinite(frames).all()


def test_neighbours_in_a_batch_do_not_change_a_frame(extractor: Extractor) -> None:
    audio = clips(extractor)
    together = extractor.extract(audio)
    backwards = extractor.extract(audio[::-1])[::-1]
    for alone, first, second in zip((extractor.extract([a])[0] for a in audio), together, backwards, strict=True):
        assert np.array_equal(alone, first)
        assert np.array_equal(alone, second)


def test_a_stream_gives_the_frames_of_the_whole(extractor: Extractor) -> None:
    for audio in clips(extractor):
        streamed = np.concatenate(list(extractor.extract_stream(np.array_split(audio, 5))))
        assert np.array_equal(streamed, extractor.extract([audio])[0])


def test_units_are_the_nearest_centroids_of_the_frames_one_by_one_in_a_batch_and_in_a_stream(
    extractor: Extractor,
) -> None:
    audio = clips(extractor)
    frames = extractor.extract(audio)
    centroids = Centroids(np.ascontiguousarray(frames[4][::9][:16]))
    expected = [centroids.assign(part) for part in frames]
    for one, wanted, together in zip(audio, expected, extractor.units(audio, centroids), strict=True):
        streamed = np.concatenate(list(extractor.units_stream(np.array_split(one, 3), centroids)))
        assert np.array_equal(together, wanted)
        assert np.array_equal(streamed, wanted)
        assert together.dtype == streamed.dtype == wanted.dtype


def test_a_thread_safe_extractor_gives_the_same_bits_in_several_threads(extractor: Extractor) -> None:
    if not extractor.thread_safe:
        pytest.skip("each thread loads its own")
    audio = clips(extractor)
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(lambda one: extractor.extract([one])[0], audio))
    assert all(map(np.array_equal, together, extractor.extract(audio)))


def test_padded_frames_begin_with_the_frames_of_the_utterance(extractor: Extractor) -> None:
    audio = clips(extractor)
    for one, together in zip(audio, extractor.extract_padded_batch(audio), strict=True):
        alone = list(extractor.extract_padded(iter([one])))
        for blocks in (alone, together):
            valid = np.concatenate([frames[:n] for frames, n in blocks])
            np.testing.assert_allclose(valid, extractor.extract([one])[0], atol=1e-5)
        assert sum(len(frames) for frames, _ in alone) == sum(len(frames) for frames, _ in together)


def test_the_audio_given_is_left_as_it_was(extractor: Extractor) -> None:
    audio = clips(extractor)
    before = [a.copy() for a in audio]
    extractor.extract(audio)
    assert all(np.array_equal(a, b) for a, b in zip(audio, before, strict=True))


@pytest.mark.parametrize("name", list(SMALL["extractors"]))
def test_two_extractors_made_alike_give_the_same_bits(name: str) -> None:
    first, second = loaded("extractors", name), loaded("extractors", name)
    assert first.identity() == second.identity()
    for a, b in zip(first.extract(clips(first)), second.extract(clips(second)), strict=True):
        assert np.array_equal(a, b)


# -- embedders ---------------------------------------------------------------------------------------------------------


def test_texts_become_unit_vectors_that_do_not_depend_on_their_neighbours(embedder: Embedder) -> None:
    texts = ["a dog barks", "Rain on a tin roof", "", "wind", "a dog barks"]
    together = embedder.embed_text(texts)
    assert together.shape == (5, embedder.dim)
    assert together.dtype == np.float32
    lengths = np.linalg.norm(together, axis=1)
    assert np.allclose(lengths[[0, 1, 3, 4]], 1, atol=1e-5)
    assert lengths[2] == 0 or np.isclose(lengths[2], 1, atol=1e-5)
    for text, vector in zip(texts, together, strict=True):
        assert np.array_equal(embedder.embed_text([text])[0], vector)


def test_sounds_become_unit_vectors_that_do_not_depend_on_their_neighbours(embedder: Embedder) -> None:
    if not embedder.hears_audio:
        pytest.skip("this embedder takes text only")
    rng = np.random.default_rng(7)
    sounds = [(rng.standard_normal(n) * 0.1).astype(np.float32) for n in (embedder.sample_rate * 12, 3, 48_000)]
    together = embedder.embed_audio(sounds)
    for sound, vectors in zip(sounds, together, strict=True):
        assert vectors.shape == (len(embedder.spans(len(sound))), embedder.dim)
        assert vectors.dtype == np.float32
        assert np.allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
        assert np.array_equal(embedder.embed_audio([sound])[0], vectors)


def test_a_fitted_embedder_is_restored_from_its_folder_and_the_first_one_is_unchanged(
    embedder: Embedder, tmp_path: Any
) -> None:
    before = json.dumps(embedder.identity())
    fitted = embedder.fit(["a dog barks", "rain"])
    assert json.dumps(embedder.identity()) == before
    fitted.save(tmp_path)
    embedder.restore(tmp_path)
    assert embedder.identity() == fitted.identity()
    assert np.array_equal(embedder.embed_text(["a dog"]), fitted.embed_text(["a dog"]))


# -- image codecs ------------------------------------------------------------------------------------------------------


def pictures() -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    return [rng.integers(0, 256, (height, width, 3), np.uint8) for height, width in ((48, 48), (9, 60), (200, 31))]


def test_codes_are_uint16_below_the_vocabulary_and_do_not_depend_on_their_neighbours(codec: ImageCodec) -> None:
    prepared = [codec.prepare(pixels) for pixels in pictures()]
    together = codec.encode(prepared)
    assert codec.vocab <= 1 << 16
    for one, codes in zip(prepared, together, strict=True):
        assert codes.shape == (codec.length,)
        assert codes.dtype == np.uint16
        assert int(codes.max()) < codec.vocab
        assert np.array_equal(codec.encode([one])[0], codes)
    assert all(np.array_equal(a, b) for a, b in zip(codec.encode(prepared[::-1])[::-1], together, strict=True))
    assert codec.encode([]) == []


@pytest.mark.parametrize("name", list(SMALL["image_codecs"]))
def test_two_codecs_made_alike_give_the_same_codes(name: str) -> None:
    first, second = loaded("image_codecs", name), loaded("image_codecs", name)
    for pixels in pictures():
        assert np.array_equal(first.encode([first.prepare(pixels)])[0], second.encode([second.prepare(pixels)])[0])


# -- quantizers --------------------------------------------------------------------------------------------------------


def test_centroids_are_float32_and_the_same_bytes_for_the_same_frames_and_seed(quantizer: Quantizer) -> None:
    frames = np.random.default_rng(0).standard_normal((500, 5)).astype(np.float32)
    first, second = (quantizer.fit(frames, 7, 3).centroids.copy() for _ in range(2))
    assert first.shape == (7, 5)
    assert first.dtype == np.float32
    assert first.tobytes() == second.tobytes()
