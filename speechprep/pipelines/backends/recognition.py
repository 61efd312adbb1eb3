"""Base classes of the two families that make transcripts: `Recogniser` and `Aligner`."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable, Iterator
from typing import ClassVar

from speechprep.errors import BadInput
from speechprep.pipelines.backends.base import Audio, Backend, joined
from speechprep.pipelines.backends.transcript import Language, Passage, Transcript, Word


class Recogniser(Backend):
    """Audio -> the passages of speech in it, with their texts.

    Attributes:
        sample_rate: of the audio, in Hz.
        piece: seconds of audio for the detection of the language of a given transcript.
    """

    role: ClassVar[str] = "recogniser"
    attributes: ClassVar[tuple[str, ...]] = ("sample_rate",)
    sample_rate: int
    piece: float = 30.0

    @abstractmethod
    def passages(self, blocks: Iterable[Audio]) -> Iterator[Passage]:
        """The passages of a recording in blocks of any length, in order and without overlap; none without speech.

        Memory does not grow with the length of the audio.

        Raises:
            BadInput: `audio_too_short`.
        """

    def language(self, audio: Audio) -> Language | None:
        """The language of the first `piece` seconds of a recording; None if it is unknown, as by default."""


class Aligner(Backend):
    """Audio and an optional transcript -> words with times.

    Attributes:
        sample_rate: of the audio, in Hz.
        min_score: mean word score below which `align` does not keep a row by default; None: no limit.
        languages: codes of the languages of the aligner; None: not stated.
        needs_language: True if a given transcript needs the language of its recording, see `for_language`.
        recognises: True if the aligner has a recogniser of its own, so that `text` may be None.
    """

    role: ClassVar[str] = "aligner"
    attributes: ClassVar[tuple[str, ...]] = ("sample_rate",)
    sample_rate: int
    min_score: float | None = None
    languages: tuple[str, ...] | None = None
    needs_language: bool = False
    recognises: bool = True

    @abstractmethod
    def align(self, audio: Audio, text: str | None) -> Transcript:
        """A time for every word of `text`; with `text` None, of the recognised words.

        Raises:
            BadInput: this text cannot be aligned with this audio.
        """

    def align_stream(self, blocks: Iterable[Audio], text: str | None) -> Transcript:
        """`align` for audio in blocks of any length. Default: join the blocks, so memory grows with the length."""
        return self.align(joined(blocks), text)

    def align_passage(self, passage: Passage) -> list[Word]:
        """The words of a recognised passage, in seconds of the recording.

        Default: `align` for the passage with the pauses around it, then a shift. A speech detector cuts into words.

        Raises:
            BadInput: as `align`.
        """
        audio, start = passage.audio, passage.start
        if passage.wide is not None:
            audio, start = passage.wide, passage.start - passage.margin
        words = self.align(audio, passage.text).words
        return [word.later(start) for word in words]

    def in_language(self, code: str | None) -> Aligner:
        """The aligner for transcripts of the corpus in a language, if it is known. Default: this one."""
        return self

    def for_language(self, language: Language) -> Aligner:
        """The loaded aligner for speech in a language. Default: this one, for each language in `languages`.

        Raises:
            BadInput: `no_align_model` for any other language.
        """
        if self.languages is None or language.code in self.languages:
            return self
        probability = "" if language.probability is None else f" with a probability of {language.probability:.2f}"
        raise BadInput(
            "no_align_model",
            f"the recognised language is {language.code!r}{probability}, and the {self.label} has no model for it, "
            f"only for {', '.join(self.languages)}; add a model for this language, or set the option language",
        )
