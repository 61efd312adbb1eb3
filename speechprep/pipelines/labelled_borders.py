"""Word borders with true times for the boundary refiner: labelled utterances, aligned clean and with Gaussian noise."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from speechprep.artifacts.run import Dataset
from speechprep.errors import BadInput
from speechprep.pipelines.backends import Word
from speechprep.pipelines.backends.aligners.pocketsphinx import PocketSphinxAligner
from speechprep.pipelines.noisy_alignment import Samples, utterance_audio, with_noise
from speechprep.pipelines.stages.align import monotone
from speechprep.tokenizers.alignment.border_inputs import BorderInput, border_inputs
from speechprep.tokenizers.alignment.boundary_offsets import TimedWord
from speechprep.tokenizers.alignment.boundary_refiner import TrueBorder
from speechprep.tokenizers.arrays.keyed_random import digest
from speechprep.tokenizers.english.word_pairs import word_groups

MOST_WORDS = 10_000  # labelled words for a refiner; memory grows by 16 kB for each second of speech and level of noise

Labels = Mapping[str, tuple[Sequence[str], Sequence[tuple[float, float]]]]
"""Utterance id -> its words, and the start and end of each in seconds."""


def labelled_borders(
    aligner: PocketSphinxAligner,
    utterances: Dataset,
    texts: Mapping[str, str],
    labels: Labels,
    groups: Mapping[str, str],
    levels: Sequence[float],
    seed: int,
) -> list[TrueBorder]:
    """Both borders of each labelled word, clean and at each level of noise, in the order of the ids.

    Utterances without usable audio or without an alignment of it are left out.

    Args:
        aligner: loaded.
        utterances: with the audio.
        texts, labels, groups: of each labelled utterance: text to align, true words, and speaker.
        levels: signal-to-noise ratios, dB.
        seed: of the noise, and of the choice of utterances above `MOST_WORDS` words.
    """
    chosen, count = set(), 0
    for id in sorted(texts, key=lambda id: digest(seed, "boundary refiner", id)):
        if count < MOST_WORDS:
            chosen.add(id)
            count += len(labels[id][0])
    borders: dict[str, list[TrueBorder]] = {}
    for id, samples in utterance_audio(utterances, chosen, aligner.sample_rate):
        names, times = labels[id]
        borders[id] = []
        for snr in (None, *levels):
            noisy = samples if snr is None else with_noise(samples, snr, seed, id)
            try:
                words = monotone(aligner.align(noisy, texts[id]).words, len(samples) / aligner.sample_rate)
            except BadInput:
                if snr is None:
                    break
                continue
            inputs = _inputs(aligner, noisy, words, texts[id])
            for left, right in word_groups(names, [word.text for word in words])[0]:
                if len(left) == len(right) == 1 and right[0] in inputs:
                    begin, pair = inputs[right[0]]
                    borders[id] += [
                        TrueBorder(border, true - begin, groups[id], snr)
                        for border, true in zip(pair, times[left[0]], strict=True)
                    ]
    return [border for id in sorted(borders) for border in borders[id]]


def _inputs(
    aligner: PocketSphinxAligner, samples: Samples, words: Sequence[Word], text: str
) -> dict[int, tuple[float, tuple[BorderInput, BorderInput]]]:
    """Number of each aligned word -> start of its piece of the audio in seconds, and the inputs of its borders."""
    result: dict[int, tuple[float, tuple[BorderInput, BorderInput]]] = {}
    phones = aligner.phones(text)
    for start, stop, numbers in _pieces(words, len(samples) / aligner.sample_rate, aligner.window):
        first, last = (round(time * aligner.sample_rate) for time in (start, stop))
        begin = first / aligner.sample_rate
        timed = [TimedWord(words[n].start - begin, words[n].end - begin, phones[n]) for n in numbers]
        pairs = border_inputs(samples[first:last], timed)
        result |= {number: (begin, pair) for number, pair in zip(numbers, pairs, strict=True)}
    return result


def _pieces(words: Sequence[Word], duration: float, window: float) -> Iterator[tuple[float, float, list[int]]]:
    """Pieces of the audio of at most about one window: start, end, and the numbers of the aligned words."""
    start = 0.0
    numbers: list[int] = []
    for number, word in enumerate(words):
        if word.timing != "aligned":
            continue
        if numbers and word.end - start > window:
            cut = (words[numbers[-1]].end + word.start) / 2
            yield start, cut, numbers
            start, numbers = cut, []
        numbers.append(number)
    if numbers:
        yield start, duration, numbers
