"""align: utterances -> words, each with a start and an end.

Reads `utterances`. Writes `words`, one output shard for each input shard, one row for each utterance with usable
audio.

Row: id, text, source_text, words list<{text, start, end, score, timing}>, duration, the scores, kept, reason. `text`
is the aligned transcript, tokens joined by single spaces. `source_text` is the transcript of the corpus. Times are
seconds from the start of the utterance, in [0, duration]; starts and ends ascend. `timing` is "aligned",
"interpolated" (the aligner placed no part of the token) or "given" (word time of the corpus, unchanged).
`border_intervals` has intervals of the borders of each word, from fitted boundaries.

Scores: `score` is the mean of the word scores, `local_score` that of the worst passage. `wer` and `cer` compare
source_text with text as spoken; null without source_text. `compression_ratio` and `repeated_share` show the loops of
a recogniser. `level` is the loudest passage. `uncovered` and `trust` compare word times with loudness.
`audio_without_text` and `text_without_audio` show passages of one side only. `language` and `language_probability` come
from the aligner; else the language is that of the corpus, without a probability. Formulas:
`speechprep.tokenizers.alignment.transcript_scores` and `.plausibility`.

Thresholds set `kept` and `reason` only. Rows and scores stay, and `filter` can apply other thresholds without the
audio. Reasons: those of `speechprep.pipelines.thresholds`, and `no_words` (no speech, or no transcript with
transcribe=never).

Word times of the corpus are compared with its transcript. Tokens without a time are aligned between their neighbours.

Rejected: undecodable audio, word times of another text (`words_differ`), and refusals of the aligner
(`no_alignable_text`, `audio_too_short`, `text_too_long`, `align_failed`, `no_align_model`), each with its remedy.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, ClassVar, Literal, Self, cast

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from speechprep.artifacts.run import Dataset
from speechprep.artifacts.schemas import WORDS
from speechprep.errors import ConfigError
from speechprep.pipelines.backends import Aligner, Transcript, Word
from speechprep.pipelines.backends.aligners.recognised import RecognisedAligner
from speechprep.pipelines.backends.transcript import border_intervals
from speechprep.pipelines.engine.context import ShardContext
from speechprep.pipelines.engine.stage import Read, Stage, StageConfig
from speechprep.pipelines.features import for_each_utterance
from speechprep.pipelines.given_words import transcript_of
from speechprep.pipelines.thresholds import Thresholds, verdict
from speechprep.registry import make
from speechprep.tokenizers.alignment import plausibility, transcript_scores
from speechprep.tokenizers.alignment.edit_distance import word_error_rate
from speechprep.tokenizers.english.compared import compared_words
from speechprep.tokenizers.english.spoken import tokens
from speechprep.tokenizers.text.error_units import characters

Samples = NDArray[np.float32]


OWN, NONE = "aligner", "none"  # values of the option `recogniser` beside the names of recognisers


class AlignerConfig(StageConfig):
    """Options of the recogniser, of the aligner and of their input from the corpus."""

    ALIASES: ClassVar[Mapping[str, str]] = {"backend": "aligner", "options": "aligner_options"}
    ADDED_LATER: ClassVar[frozenset[str]] = frozenset({"recogniser", "recogniser_options"})

    recogniser: str = Field(
        OWN,
        description="name of the recogniser of speech without a transcript; aligner: that of the aligner itself; none: "
        "no recognition",
    )
    recogniser_options: dict[str, Any] = Field(
        default_factory=dict, description="parameters of the recogniser, for example {model: models/base.pt}"
    )
    aligner: str = Field("pocketsphinx", description="name of the aligner; see: speechprep backends list")
    aligner_options: dict[str, Any] = Field(
        default_factory=dict, description="parameters of the aligner, for example {window: 20}"
    )
    transcribe: Literal["missing", "always", "never"] = Field(
        "missing",
        description="recognise utterances without a transcript (missing), all of them (the transcript of the corpus "
        "stays in source_text), or none",
    )
    given_words: Literal["use", "ignore"] = Field("use", description="use or ignore the word times of the corpus")


class Config(Thresholds, AlignerConfig):
    """Options of `align`."""

    min_score: float | Literal["auto"] | None = Field(
        "auto",
        description="drop rows with a lower mean word score, on the scale of the aligner; auto: -4 with "
        "pocketsphinx, off with other aligners; null: off",
    )

    min_level: float | None = Field(
        -65.0,
        description="drop rows whose loudest 0.1 s is below this level in dBFS: they are silence even if they have a "
        "transcript",
    )

    # Of recognised rows only; the values are those of Whisper, and half for the language.
    max_no_speech_probability: float | None = Field(
        0.6,
        ge=0,
        le=1,
        description="drop rows with a higher probability of no speech in a recognised passage; null: off",
    )
    min_log_probability: float | None = Field(
        -1.0, description="drop rows with a lower mean log-probability of a recognised passage; null: off"
    )
    min_language_probability: float | None = Field(
        0.5, ge=0, le=1, description="drop rows with a lower probability of the detected language; null: off"
    )

    @model_validator(mode="after")
    def _check_recogniser(self) -> Self:
        if self.recogniser == NONE and self.transcribe == "always":
            raise ValueError("transcribe = 'always' needs a recogniser; set recogniser=whisper, or another one")
        if self.recogniser in (OWN, NONE) and self.recogniser_options:
            raise ValueError(f"recogniser_options have no recogniser: recogniser = {self.recogniser!r}")
        return self

    def judging(self, aligner: Aligner) -> Thresholds:
        """The thresholds for rows of an aligner."""
        min_score = aligner.min_score if self.min_score == "auto" else self.min_score
        return self.model_copy(update={"min_score": min_score})


def monotone(words: Sequence[Word], duration: float) -> list[Word]:
    """The words with times in [0, duration], starts and ends in ascending order."""
    result = []
    start = end = 0.0
    for word in words:
        start = min(max(word.start, start), duration)
        end = min(max(word.end, start, end), duration)
        result.append(replace(word, start=start, end=end))
    return result


def spoken_errors(source_text: str, text: str, language: str | None = None) -> tuple[float, float]:
    """Word and character error rate of `text` against `source_text`, both as spoken: case, punctuation and markup do
    not count, and in English figures are words. In scripts without spaces, words are single characters."""
    if tokens(source_text) == tokens(text):
        return 0.0, 0.0
    reference, hypothesis = (compared_words(t, language) for t in (source_text, text))
    spelled = (characters(" ".join(words)) for words in (reference, hypothesis))
    return word_error_rate(reference, hypothesis), transcript_scores.character_error_rate(*spelled)


def words_row(
    limits: Thresholds, utterance: dict[str, Any], transcript: Transcript, duration: float, power: NDArray[np.float32]
) -> dict[str, Any]:
    """A row of `words` from the transcript of an utterance; `power`: of its audio, see `plausibility.FramePower`."""
    words = monotone(transcript.words, duration)
    scores = [word.score for word in words if word.score is not None]
    source = utterance["text"]
    language = transcript.language or utterance.get("language")
    wer, cer = spoken_errors(source, transcript.text, language) if source is not None else (None, None)
    row = {
        "id": utterance["id"],
        "text": transcript.text,
        "source_text": source,
        "words": [
            {"text": w.text, "start": w.start, "end": w.end, "score": w.score, "timing": w.timing} for w in words
        ],
        "duration": duration,
        "score": float(np.mean(scores)) if scores else None,
        "words_per_second": len(words) / duration if duration > 0 else 0.0,
        "wer": wer,
        "cer": cer,
        "local_score": transcript_scores.local_score(scores),
        "aligned_share": transcript_scores.aligned_share([word.timing for word in words]),
        "compression_ratio": transcript_scores.compression_ratio(tokens(transcript.text)),
        "repeated_share": transcript_scores.repeated_share(tokens(transcript.text)),
        "level": plausibility.loudest_level(power),
        **_trust(words, power, language),
        "language": language,
        "language_probability": transcript.language_probability,
        "no_speech_probability": transcript.no_speech_probability,
        "log_probability": transcript.log_probability,
        **_without_partner(words, power),
        "border_intervals": border_intervals(words),
    }
    reason = verdict(limits, row)
    return {**row, "kept": reason is None, "reason": reason}


def _trust(words: Sequence[Word], power: NDArray[np.float32], language: str | None) -> dict[str, float | None]:
    """Agreement of the word times with the loudness; null without words."""
    if not words:
        return {"uncovered": None, "trust": None}
    letters = [sum(map(len, compared_words(word.text, language))) for word in words]
    evidence = plausibility.timing_evidence(
        [word.start for word in words], [word.end for word in words], letters, power
    )
    return {"uncovered": evidence.uncovered, "trust": evidence.plausibility}


def _without_partner(words: Sequence[Word], power: NDArray[np.float32]) -> dict[str, float]:
    """Speech without a word, in seconds, and words without speech."""
    timed = [word for word in words if word.timing != "interpolated"]
    return {
        "audio_without_text": plausibility.speech_outside([w.start for w in timed], [w.end for w in timed], power),
        "text_without_audio": float(len(words) - len(timed)),
    }


def run(ctx: ShardContext) -> None:
    """One shard."""
    config: Config = ctx.config
    aligner: Aligner = ctx.backend
    rate = aligner.sample_rate
    limits = config.judging(aligner)

    def work(row: dict[str, Any], blocks: Iterator[Samples]) -> dict[str, Any]:
        stream = _MeasuredStream(blocks, rate)
        if config.given_words == "use" and row["words"] and config.transcribe != "always":
            transcript = transcript_of(row["text"], row["words"], stream, aligner)
        else:
            text = _text_to_align(config, row["text"])
            blank = text is not None and not tokens(text)
            speaking = aligner.in_language(row["language"] if text is not None else None)
            transcript = Transcript("", []) if blank else speaking.align_stream(stream, text)
        duration = stream.count_samples() / rate
        result = words_row(limits, row, transcript, duration, stream.levels.power())
        timings = [word["timing"] for word in result["words"]]
        ctx.done(words=len(timings), interpolated=timings.count("interpolated"), kept=int(result["kept"]))
        return result

    for_each_utterance(ctx, work, columns=("text", "words", "language"))


def _text_to_align(config: Config, text: str | None) -> str | None:
    """Text to align; None for recognition."""
    if config.transcribe == "always":
        return None
    return "" if text is None and (config.transcribe == "never" or config.recogniser == NONE) else text


class _MeasuredStream:
    """Iterator over audio blocks; measures their number of samples and their levels."""

    def __init__(self, blocks: Iterator[Samples], rate: int) -> None:
        self._blocks = blocks
        self._samples = 0
        self.levels = plausibility.FramePower(rate)

    def __iter__(self) -> Iterator[Samples]:
        return self

    def __next__(self) -> Samples:
        block = next(self._blocks)
        self._samples += len(block)
        self.levels.add(block)
        return block

    def count_samples(self) -> int:
        """Number of samples of the whole stream; the unread rest is read and dropped."""
        for _ in self:
            pass
        return self._samples


def backend(config: Config, extras: dict[str, dict[str, Any]]) -> Aligner:
    """The unloaded aligner, together with the recogniser.

    Raises:
        ConfigError: unknown name or parameter, or no recogniser for speech without a transcript.
    """
    aligner: Aligner = make("aligners", config.aligner, config.aligner_options)
    if config.recogniser not in (OWN, NONE):
        return RecognisedAligner(make("recognisers", config.recogniser, config.recogniser_options), aligner)
    if config.recogniser == OWN and config.transcribe != "never" and not aligner.recognises:
        raise ConfigError(
            f"align: {aligner.label} has no recogniser for speech without a transcript; set recogniser=whisper with "
            "its model, or recogniser=none"
        )
    return aligner


STAGE = Stage(
    name="align",
    version=7,
    reads=(Read("utterances", "utterances"),),
    writes="words",
    config=Config,
    run=run,
    schema=WORDS,
    backend=backend,
    local="process",
    help=(
        "Give every word of every utterance a start and an end.\n\nUtterances without a transcript are "
        "recognised first."
    ),
    examples=(
        "speechprep align --input run/utterances --out run/words",
        "speechprep align --input run --out run/words --set min_score=-6 --workers 8",
    ),
)


def aligner_of(words: Dataset) -> Aligner:
    """The loaded aligner of a `words` dataset, with its options.

    Raises:
        ConfigError: the dataset was not written by `align`.
        MissingBackend: a package or model of the aligner is absent.
    """
    made_of = words.manifest.made_of
    if made_of.get("stage") != STAGE.name:
        raise ConfigError(f"{words.uri} was written by {made_of.get('stage')!r}; name the folder written by 'align'")
    aligner = backend(cast(Config, STAGE.configure(made_of["config"])), {})
    aligner.check()
    aligner.load()
    return aligner
