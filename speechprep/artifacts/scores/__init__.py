"""The table of score columns of `words`: column, threshold, reason, and figure in the report.

The schema, the thresholds of `align` and `filter`, and the report read this table, so a new score is one record here
and its computation in the stage `align`. The records stand in the order of the columns.
"""

from __future__ import annotations

from typing import Any

from speechprep.artifacts.scores.score import Figure, Limit, Score

AUDIO_WITHOUT_TEXT = "drop rows with more seconds of speech without a word; null: off"
TEXT_WITHOUT_AUDIO = "drop rows with more words not found in the audio; null: off"
SHARE: dict[str, float] = {"ge": 0, "le": 1}

SCORES = (
    Score(
        "score",
        "mean word score, on the scale of the aligner",
        (
            Limit(
                "min_score",
                "low_score",
                -1,
                2,
                "drop rows with a lower mean word score, on the scale of the aligner; null: off",
            ),
        ),
        Figure(
            "Alignment score",
            "score",
            "Mean word score of an utterance, on the scale of the aligner. A filter cuts the long tail on the left.",
            "KEPT",
        ),
    ),
    Score(
        "words_per_second",
        "words divided by the duration of the utterance",
        (
            Limit(
                "min_words_per_second", "too_slow", -1, 7, "drop rows with fewer words per second; null: off", {"ge": 0}
            ),
            Limit(
                "max_words_per_second", "too_fast", 1, 8, "drop rows with more words per second; null: off", {"gt": 0}
            ),
        ),
        Figure(
            "Speaking rate",
            "words per second",
            "Read English is mostly between 2 and 4 words/s. Far outside, text and audio often do not belong together.",
            "TEXT",
        ),
    ),
    Score(
        "wer",
        "word error rate of source_text against text; null if one is missing",
        (Limit("max_wer", "high_wer", 1, 9, "drop rows with a higher word error rate; null: off", {"ge": 0}),),
        Figure(
            "Word error rate of the corpus transcript",
            "WER",
            "Between the transcript of the corpus and the aligned one.",
            "LOST",
            errors=True,
        ),
    ),
    Score(
        "cer",
        "character error rate of source_text against text; null if one is missing",
        (Limit("max_cer", "high_cer", 1, 10, "drop rows with a higher character error rate; null: off", {"ge": 0}),),
        Figure(
            "Character error rate of the corpus transcript",
            "CER",
            "Less sensitive to spelling than the word error rate.",
            "LOST",
            errors=True,
        ),
    ),
    Score(
        "local_score",
        "lowest mean score of 8 neighbouring words",
        (
            Limit(
                "min_local_score",
                "low_local_score",
                -1,
                3,
                "drop rows with a lower mean score of any 8 neighbouring words; aligner's scale; null: off",
            ),
        ),
        Figure(
            "The weakest passage",
            "score",
            "Lowest mean score of eight neighbouring words: one bad passage in a long recording shows here first.",
            "KEPT",
        ),
    ),
    Score(
        "aligned_share",
        "share of the words with a time that is not interpolated",
        (
            Limit(
                "min_aligned_share",
                "few_aligned",
                -1,
                6,
                "drop rows with a smaller share of words found in the audio; the others are interpolated; null: off",
                SHARE,
            ),
        ),
    ),
    Score(
        "compression_ratio",
        "length of the text divided by its length after zlib, as in Whisper",
        (
            Limit(
                "max_compression_ratio",
                "loops",
                1,
                11,
                "drop rows with a higher compression ratio of the text; Whisper's limit is 2.4; null: off",
                {"gt": 0},
            ),
        ),
        Figure(
            "Repetition in the text",
            "compression ratio",
            "Compression ratio of the text by zlib, as in Whisper. Above 2.4 the recogniser was caught in a loop.",
            "TEXT",
        ),
    ),
    Score(
        "repeated_share",
        "share of the 3-grams of words with an earlier occurrence in the text",
        (
            Limit(
                "max_repeated_share",
                "repeats",
                1,
                12,
                "drop rows with a larger share of repeated 3-grams of words; null: off",
                SHARE,
            ),
        ),
    ),
    Score(
        "level",
        "level of the loudest 0.1 s in dBFS; null below 10 ms of audio",
        (
            Limit(
                "min_level",
                "silent",
                -1,
                1,
                "drop rows whose loudest 0.1 s is below this level in dBFS; below -65 there is only silence; null: off",
            ),
        ),
        Figure(
            "The loudest passage",
            "dBFS",
            "Level of the loudest tenth of a second. Below -65 dBFS a recording is next to silence.",
            "SPEECH",
        ),
    ),
    Score(
        "uncovered",
        "longest speech between two words, in seconds",
        (
            Limit(
                "max_uncovered",
                "uncovered_speech",
                1,
                5,
                "drop rows with more seconds of speech between two words; null: off",
                {"ge": 0},
            ),
        ),
    ),
    Score(
        "trust",
        "agreement of word times and loudness, from 0 to 1; below 0.5 the times are doubtful",
        (
            Limit(
                "min_trust",
                "doubtful_times",
                -1,
                4,
                "drop rows with a lower trust in the word times; 0.5 is a good limit; null: off",
                SHARE,
            ),
        ),
        Figure(
            "Trust in the word times",
            "trust",
            "1 if the words lie on the loud stretches of the recording; below 0.5 they seem to be shifted.",
            "KEPT",
        ),
    ),
    Score(
        "no_speech_probability",
        "highest probability of the recogniser that a passage has no speech; null without recognition",
        (
            Limit(
                "max_no_speech_probability",
                "no_speech",
                1,
                16,
                "drop rows with a higher probability of no speech in a recognised passage; null: off",
                SHARE,
            ),
        ),
        later=True,
    ),
    Score(
        "log_probability",
        "lowest mean log-probability of the tokens of a recognised passage; null without recognition",
        (
            Limit(
                "min_log_probability",
                "doubtful_text",
                -1,
                17,
                "drop rows with a lower mean log-probability of a recognised passage; null: off",
            ),
        ),
        later=True,
    ),
    Score(
        "language_probability",
        "probability of the detected language; null without detection",
        (
            Limit(
                "min_language_probability",
                "doubtful_language",
                -1,
                13,
                "drop rows with a lower probability of the detected language; null: off",
                SHARE,
            ),
        ),
    ),
    Score(
        "audio_without_text",
        "seconds of speech outside of the words found in the audio",
        (Limit("max_audio_without_text", "audio_without_text", 1, 18, AUDIO_WITHOUT_TEXT, {"ge": 0}),),
        later=True,
    ),
    Score(
        "text_without_audio",
        "words not found in the audio; their times are interpolated",
        (Limit("max_text_without_audio", "text_without_audio", 1, 19, TEXT_WITHOUT_AUDIO, {"ge": 0}),),
        later=True,
    ),
)

DURATION = Score(
    "duration",
    "seconds of the utterance",
    (
        Limit("min_duration", "too_short", -1, 14, "drop rows with fewer seconds; null: off", {"ge": 0}),
        Limit("max_duration", "too_long", 1, 15, "drop rows with more seconds; null: off", {"gt": 0}),
    ),
)
"""Not a float32 column, but with thresholds like the scores."""


def limits() -> list[tuple[str, Limit]]:
    """(column, threshold) of all thresholds, in the order of the checks."""
    pairs = [(score.column, limit) for score in (*SCORES, DURATION) for limit in score.limits]
    return sorted(pairs, key=lambda pair: pair[1].rank)


def figures() -> dict[str, Figure]:
    """Column -> histogram, in the order of the columns."""
    return {score.column: score.figure for score in SCORES if score.figure is not None}


def options() -> dict[str, tuple[Any, dict[str, Any]]]:
    """Option -> (default, arguments of its pydantic field), in the order of the records."""
    return {
        limit.option: (None, {**limit.bounds, "description": limit.description})
        for score in (*SCORES, DURATION)
        for limit in score.limits
    }
