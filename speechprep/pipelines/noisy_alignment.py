"""Alignment of a run's utterances once more, with Gaussian noise in the audio: how word times change with the noise.

The noise of an utterance is a function of (seed, utterance id). All levels have the same noise with another gain, so
the levels differ by nothing else. The signal power is the mean square over the whole utterance, pauses included.
"""

from __future__ import annotations

from collections.abc import Container, Iterator

import numpy as np
from numpy.typing import NDArray

from speechprep.artifacts.media import audio
from speechprep.artifacts.run import Dataset
from speechprep.errors import BadInput
from speechprep.pipelines.backends import Aligner, Word
from speechprep.pipelines.stages import align
from speechprep.tokenizers.arrays.keyed_random import generator

COLUMNS = ("id", "audio", "audio_bytes", "offset", "duration")
ROWS = 32  # utterances with embedded audio in memory

Samples = NDArray[np.float32]


def with_noise(samples: Samples, snr: float, seed: int, id: str) -> Samples:
    """Audio (n,) with Gaussian noise.

    Args:
        samples: of the utterance.
        snr: 10 log10 of the power of the speech over that of the noise, dB.
        seed, id: of the noise.
    """
    power = float(np.mean(np.square(samples, dtype=np.float64))) if len(samples) else 0.0
    noise = generator(seed, "alignment noise", id).standard_normal(len(samples))
    noisy: Samples = (samples + noise * np.sqrt(power / 10 ** (snr / 10))).astype(np.float32)
    return noisy


def utterance_audio(utterances: Dataset, ids: Container[str], rate: int) -> Iterator[tuple[str, Samples]]:
    """(id, samples at `rate`) of the wanted utterances in the order of the dataset, one at a time in memory.

    Utterances without usable audio are left out.
    """
    for batch in utterances.batches(COLUMNS, rows=ROWS):
        for row in batch.to_pylist():
            if row["id"] not in ids:
                continue
            source = row["audio_bytes"] if row["audio_bytes"] is not None else row["audio"]
            try:
                samples = audio.decode(source, row["offset"] or 0.0, row["duration"], rate)
            except BadInput:
                continue
            yield row["id"], samples


def realigned(
    utterances: Dataset, texts: dict[str, str], aligner: Aligner, snr: float, seed: int
) -> Iterator[tuple[str, list[Word]]]:
    """(id, words with times) of utterances with added noise. Refusals of the aligner are left out.

    Args:
        utterances: with the audio; one utterance at a time is in memory.
        texts: id -> text to align, of the wanted utterances.
        aligner: loaded.
        snr: dB.
        seed: of the noise.
    """
    for id, samples in utterance_audio(utterances, texts, aligner.sample_rate):
        try:
            transcript = aligner.align(with_noise(samples, snr, seed, id), texts[id])
        except BadInput:
            continue
        yield id, align.monotone(transcript.words, len(samples) / aligner.sample_rate)
