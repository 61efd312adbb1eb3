"""align: utterances -> `words`, the time of every word. One output shard for each input shard.

Reads `utterances`; writes one row for each that has usable audio: id, text (the transcript that was aligned: its tokens
joined by single spaces), source_text (as it came with the corpus), words list<{text, start, end, score, timing}>,
duration, score (mean over the words that have one), words_per_second, wer (source_text against text, as spoken; null
without source_text), kept, reason. Times are seconds from the start of the utterance, in [0, duration], starts and
ends never go backwards. `timing` is "aligned", "interpolated" (nothing of the token was found in the audio) or "given"
(by the corpus, taken over as they are).

Filters only set `kept` and `reason`; rows and scores stay, so that a threshold is a view. Reasons: `no_words` (nothing
was said, or there is no transcript and none was wanted), `low_score`, `too_fast`, `too_slow`, `high_wer`.

Rejected: what cannot be decoded, and what the aligner refuses (`no_alignable_text`, `audio_too_short`, `text_too_long`,
`align_failed`), each with what to do.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from speechprep.artifacts.schemas import WORDS
from speechprep.errors import ConfigError
from speechprep.pipelines.backends import Transcript, Word
from speechprep.pipelines.context import ShardContext
from speechprep.pipelines.features import for_each_utterance
from speechprep.pipelines.stage import Read, Stage, StageConfig
from speechprep.registry import resolve
from speechprep.tokenizers.spoken import spoken_forms, tokens
from speechprep.tokenizers.wer import word_error_rate

Samples = NDArray[np.float32]


class Config(StageConfig):
    """Options of `align`."""

    backend: str = Field("pocketsphinx", description="name of the aligner; see: speechprep backends list")
    options: dict[str, Any] = Field(default_factory=dict, description="its parameters, for example {window: 20}")
    transcribe: Literal["missing", "always", "never"] = Field(
        "missing",
        description="recognise what has no transcript, everything (the transcript stays in source_text), or nothing",
    )
    given_words: Literal["use", "ignore"] = Field("use", description="word times that came with the corpus")
    min_score: float | None = Field(
        -4.0, description="mean word score below which a row is not kept, on the aligner's own scale; null: off"
    )
    min_words_per_second: float | None = Field(None, ge=0, description="slower rows are not kept; null: off")
    max_words_per_second: float | None = Field(None, gt=0, description="faster rows are not kept; null: off")
    max_wer: float | None = Field(None, ge=0, description="rows with a higher word error rate are not kept; null: off")


def given(text: str | None, words: Sequence[dict[str, Any]]) -> Transcript:
    """The corpus's own word times. Where it has a time for each token of the text, the text's spelling is taken.

    Args:
        text: the transcript, if any. words: {text, start, end} in order.
    """
    written = tokens(text or "")
    named = [(" ".join(tokens(word["text"])), word) for word in words]
    named = [(name, word) for name, word in named if name]  # aligners name silences ""
    if len(written) == len(named):
        named = [(name, word) for name, (_, word) in zip(written, named, strict=True)]
    return Transcript(
        " ".join(name for name, _ in named), [Word(name, w["start"], w["end"], None, "given") for name, w in named]
    )


def monotone(words: Sequence[Word], duration: float) -> list[Word]:
    """The words with times inside of [0, duration] and starts and ends that never go backwards."""
    result = []
    start = end = 0.0
    for word in words:
        start = min(max(word.start, start), duration)
        end = min(max(word.end, start, end), duration)
        result.append(Word(word.text, start, end, word.score, word.timing))
    return result


def spoken_wer(source_text: str, text: str) -> float:
    """Word error rate of `text` against `source_text`, both as spoken: case, punctuation and figures do not count."""
    if tokens(source_text) == tokens(text):
        return 0.0
    reference, hypothesis = ([word for form in spoken_forms(t) for word in form] for t in (source_text, text))
    return word_error_rate(reference, hypothesis)


def verdict(config: Config, row: dict[str, Any]) -> str | None:
    """The first reason not to keep a row, or None."""
    if not row["words"]:
        return "no_words"
    checks = (
        ("low_score", row["score"], config.min_score, -1),
        ("too_slow", row["words_per_second"], config.min_words_per_second, -1),
        ("too_fast", row["words_per_second"], config.max_words_per_second, 1),
        ("high_wer", row["wer"], config.max_wer, 1),
    )
    for reason, value, limit, sign in checks:
        if value is not None and limit is not None and sign * (value - limit) > 0:
            return reason
    return None


def words_row(config: Config, utterance: dict[str, Any], transcript: Transcript, duration: float) -> dict[str, Any]:
    """A row of `words` from what was found in an utterance."""
    words = monotone(transcript.words, duration)
    scores = [word.score for word in words if word.score is not None]
    source = utterance["text"]
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
        "wer": spoken_wer(source, transcript.text) if source is not None else None,
    }
    reason = verdict(config, row)
    return {**row, "kept": reason is None, "reason": reason}


def run(ctx: ShardContext) -> None:
    """One shard."""
    config: Config = ctx.config
    rate = ctx.backend.sample_rate

    def work(row: dict[str, Any], blocks: Iterator[Samples]) -> dict[str, Any]:
        heard = _Counted(blocks)
        if config.given_words == "use" and row["words"] and config.transcribe != "always":
            transcript = given(row["text"], row["words"])
        else:
            transcript = _align(ctx.backend, heard, _wanted_text(config, row["text"]))
        duration = heard.all() / rate
        made = words_row(config, row, transcript, duration)
        timings = [word["timing"] for word in made["words"]]
        ctx.done(words=len(timings), interpolated=timings.count("interpolated"), kept=int(made["kept"]))
        return made

    for_each_utterance(ctx, work, columns=("text", "words"))


def _wanted_text(config: Config, text: str | None) -> str | None:
    """What to align; None: recognise."""
    if config.transcribe == "always":
        return None
    return "" if text is None and config.transcribe == "never" else text


def _align(aligner: Any, blocks: Iterator[Samples], text: str | None) -> Transcript:
    """By stream where the aligner can, so that memory does not grow with the length."""
    if hasattr(aligner, "align_stream"):
        found: Transcript = aligner.align_stream(blocks, text)
        return found
    parts = list(blocks)
    whole: Transcript = aligner.align(np.concatenate(parts) if parts else np.zeros(0, np.float32), text)
    return whole


class _Counted:
    """Audio blocks, and how many samples they were."""

    def __init__(self, blocks: Iterator[Samples]) -> None:
        self._blocks = blocks
        self._samples = 0

    def __iter__(self) -> Iterator[Samples]:
        return self

    def __next__(self) -> Samples:
        block = next(self._blocks)
        self._samples += len(block)
        return block

    def all(self) -> int:
        """Samples of the whole stream; what was not heard yet is passed over."""
        for _ in self:
            pass
        return self._samples


def backend(config: Config, extras: dict[str, dict[str, Any]]) -> Any:
    """The unloaded aligner.

    Raises:
        ConfigError: no such aligner, or it has no such parameter.
    """
    try:
        return resolve("aligners", config.backend)(**config.options)
    except TypeError as error:
        raise ConfigError(f"aligner {config.backend!r} with options {config.options!r}: {error}") from None


STAGE = Stage(
    name="align",
    version=1,
    reads=(Read("utterances", "utterances"),),
    writes="words",
    config=Config,
    run=run,
    schema=WORDS,
    backend=backend,
    local="process",
)
