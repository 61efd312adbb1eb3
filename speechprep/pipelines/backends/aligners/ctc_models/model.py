"""`CtcModel`: base of the CTC models for speech, with their letters and their emissions for audio of any length.

`huggingface_ctc` reads models of transformers, `torchaudio_ctc` the bundles of torchaudio.

Long audio goes through overlapping windows. Only the frames in the middle of each window are used, so every frame of
the audio occurs exactly once and has context on both sides. Windows start at whole frames, so nothing is shifted.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from speechprep.errors import BadInput
from speechprep.pipelines.backends.sliding_window import SlidingWindow
from speechprep.process import give_back

Samples = NDArray[np.float32]
LogProbs = NDArray[np.float32]

RATE = 16_000
DELIMITER = "|"
LONG = 10 * RATE  # samples; after longer audio, freed memory is returned to the system


class CtcModel:
    """A CTC model, not loaded.

    Attributes:
        vocabulary: text of each output -> id, in the case of the model.
        blank: id of the blank.
        stride: samples between two frames.
        field: samples in the receptive field of a frame.
    """

    vocabulary: dict[str, int]
    blank: int
    stride: int
    field: int

    threads = 1  # on a CPU

    def __init__(self, model: str, device: str) -> None:
        self.name = model
        self.device = device

    def identity(self) -> dict[str, Any]:
        """Name and sha256 of the model."""
        raise NotImplementedError

    def check(self, label: str) -> None:
        """Check packages and files of the model, without torch and without a download; see `Backend.check`."""
        raise NotImplementedError

    def load(self) -> None:
        """Read the weights."""
        raise NotImplementedError

    def _forward(self, audio: Any) -> Any:
        """(1, samples) tensor -> (1, frames, vocabulary) logits."""
        raise NotImplementedError

    def _normalised(self, audio: Samples) -> Samples:
        return audio

    def emissions(self, audio: Samples) -> LogProbs:
        """(frames, vocabulary) log-probabilities of one piece of audio."""
        import torch

        if self.device == "cpu" and torch.get_num_threads() != self.threads:
            torch.set_num_threads(self.threads)
        with torch.inference_mode():
            data = torch.from_numpy(np.ascontiguousarray(self._normalised(audio), np.float32))[None]
            logits = self._forward(data.to(self.device))
            log_probs: LogProbs = torch.log_softmax(logits.float(), dim=-1)[0].cpu().numpy()
        if len(audio) >= LONG:
            del data, logits
            give_back()
        return log_probs

    def stream(self, audio: SlidingWindow, window: float, overlap: float) -> Iterator[LogProbs]:
        """The emissions of a stream, piece by piece; together one row for each frame of the audio.

        Args:
            audio: the stream, read to its end.
            window: seconds of audio in one forward pass.
            overlap: seconds at both sides of a window without used frames.
        """
        size = round(window * RATE) // self.stride * self.stride
        margin = round(overlap * RATE) // self.stride
        first = 0  # number of the first used frame of the window
        while True:
            samples = audio.fill(size)
            last = audio.is_last(size)
            if len(samples) < self.field:
                return
            emissions = self.emissions(samples)
            if last:
                yield emissions[first:]
                return
            stop = len(emissions) - margin
            yield emissions[first:stop]
            first = margin
            audio.advance((stop - margin) * self.stride)

    def letters(self) -> dict[str, int]:
        """Single characters -> id, in the case of the model; also in the other case if the model has one case only."""
        outputs = {text: id for text, id in self.vocabulary.items() if len(text) == 1 and text != DELIMITER}
        outputs = {text: id for text, id in outputs.items() if id != self.blank}
        letters = dict(outputs)
        for text, id in outputs.items():
            for variant in (text.lower(), text.upper()):
                if len(variant) == 1:
                    letters.setdefault(variant, id)
        return letters

    def delimiter(self) -> int | None:
        """The id of the word delimiter, or None."""
        id = self.vocabulary.get(DELIMITER)
        return id if id != self.blank else None


def too_short(n_samples: int) -> BadInput:
    """The error for audio of less than one frame."""
    return BadInput("audio_too_short", f"{n_samples / RATE:.3f} s of audio make no frame: remove the utterance")
