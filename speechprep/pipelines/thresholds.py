"""The thresholds over the scores of `words`, and the reason they give a row: shared by `align` and `filter`.

A threshold that is null is off, and a row that lacks a score passes it. Values and limits are compared as float32, the
type of the columns, so that both stages come to the same verdict.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from pydantic import Field

from speechprep.errors import ConfigError
from speechprep.pipelines.engine.stage import StageConfig

NO_WORDS = "no_words"  # holds without any threshold
OTHER_LANGUAGE = "other_language"  # of the option `language`, which names values instead of a limit

Scores = Mapping[str, NDArray[np.float32]]


class Check(NamedTuple):
    """An option, the reason it gives, the column it looks at; `sign` is 1 where more than the limit is bad."""

    option: str
    reason: str
    column: str
    sign: int


# In this order: a row gets the first reason that holds.
CHECKS = (
    Check("min_level", "silent", "level", -1),
    Check("min_score", "low_score", "score", -1),
    Check("min_local_score", "low_local_score", "local_score", -1),
    Check("min_trust", "doubtful_times", "trust", -1),
    Check("max_uncovered", "uncovered_speech", "uncovered", 1),
    Check("min_aligned_share", "few_aligned", "aligned_share", -1),
    Check("min_words_per_second", "too_slow", "words_per_second", -1),
    Check("max_words_per_second", "too_fast", "words_per_second", 1),
    Check("max_wer", "high_wer", "wer", 1),
    Check("max_cer", "high_cer", "cer", 1),
    Check("max_compression_ratio", "loops", "compression_ratio", 1),
    Check("max_repeated_share", "repeats", "repeated_share", 1),
    Check("min_language_probability", "doubtful_language", "language_probability", -1),
    Check("min_duration", "too_short", "duration", -1),
    Check("max_duration", "too_long", "duration", 1),
)
COLUMNS = tuple(dict.fromkeys(check.column for check in CHECKS))


class Thresholds(StageConfig):
    """Limits of the scores; null: off."""

    min_score: float | None = Field(None, description="least mean word score, on the aligner's own scale; null: off")
    min_local_score: float | None = Field(
        None, description="least mean score of any 8 neighbouring words, on the aligner's own scale; null: off"
    )
    min_level: float | None = Field(
        None, description="least level of the loudest 0.1 s, in dBFS; -65 is next to silence; null: off"
    )
    min_trust: float | None = Field(
        None, ge=0, le=1, description="least trust in the word times, 0.5 is a good limit; null: off"
    )
    max_uncovered: float | None = Field(
        None, ge=0, description="most seconds of speech that may lie between two words; null: off"
    )
    min_aligned_share: float | None = Field(
        None, ge=0, le=1, description="least share of words whose time was not interpolated; null: off"
    )
    min_words_per_second: float | None = Field(None, ge=0, description="slower rows are not kept; null: off")
    max_words_per_second: float | None = Field(None, gt=0, description="faster rows are not kept; null: off")
    max_wer: float | None = Field(None, ge=0, description="rows with a higher word error rate are not kept; null: off")
    max_cer: float | None = Field(
        None, ge=0, description="rows with a higher character error rate are not kept; null: off"
    )
    max_compression_ratio: float | None = Field(
        None, gt=0, description="rows whose text compresses better are not kept, Whisper's limit is 2.4; null: off"
    )
    max_repeated_share: float | None = Field(
        None, ge=0, le=1, description="most that may be repeated of the 3-grams of words; null: off"
    )
    min_language_probability: float | None = Field(
        None, ge=0, le=1, description="least probability of the language that was heard; null: off"
    )
    min_duration: float | None = Field(None, ge=0, description="shorter rows, in seconds, are not kept; null: off")
    max_duration: float | None = Field(None, gt=0, description="longer rows, in seconds, are not kept; null: off")

    language: str | list[str] | None = Field(
        None, description="only rows in this language, or one of these, are kept: en, or [en, de]; null: off"
    )

    def languages(self) -> list[str]:
        """Those that are kept, as `primary` writes them; empty: any."""
        given = [self.language] if isinstance(self.language, str) else self.language or []
        return sorted({primary(code) for code in given})

    def limits(self) -> list[tuple[Check, float]]:
        """The thresholds that are on, in the order in which they are judged."""
        values = [(check, getattr(self, check.option)) for check in CHECKS]
        return [(check, value) for check, value in values if value is not None]


def verdict(thresholds: Thresholds, row: Mapping[str, Any]) -> str | None:
    """The first reason not to keep a row of `words`, or None."""
    if not row["words"]:
        return NO_WORDS
    for check, limit in thresholds.limits():
        value = row.get(check.column)
        if value is not None and check.sign * (np.float32(value) - np.float32(limit)) > 0:
            return check.reason
    wanted = thresholds.languages()
    if wanted and row.get("language") is not None and primary(row["language"]) not in wanted:
        return OTHER_LANGUAGE
    return None


def primary(code: str) -> str:
    """The language of a code: "en" of "en-GB" and "EN_us"."""
    return code.lower().replace("_", "-").partition("-")[0]


def failures(
    thresholds: Thresholds, scores: Scores, languages: pa.Array | pa.ChunkedArray
) -> dict[str, NDArray[np.bool_]]:
    """For each reason that can be given, in order, which rows it holds for, by columns.

    Args:
        thresholds: those that are on.
        scores: column -> (rows,) values, NaN where there is none; `words_per_second` and what the thresholds look at.
        languages: (rows,) strings, null where there is none.
    """
    found = {NO_WORDS: scores["words_per_second"] == 0}
    for check, limit in thresholds.limits():
        values = scores[check.column]
        bound = np.float32(limit)
        found[check.reason] = values > bound if check.sign > 0 else values < bound
    wanted = thresholds.languages()
    if wanted:
        codes = pc.replace_substring_regex(pc.utf8_lower(languages), "[-_].*", "")
        other = pc.and_(pc.is_valid(codes), pc.invert(pc.is_in(codes, pa.array(wanted, pa.string()))))
        found[OTHER_LANGUAGE] = (
            other.to_numpy(zero_copy_only=False) if isinstance(other, pa.Array) else other.to_numpy()
        )
    return found


def first_failure(failed: Mapping[str, NDArray[np.bool_]]) -> NDArray[np.int64]:
    """(rows,) number of the first reason that holds, the count of reasons where none does."""
    table = np.stack([*failed.values(), np.ones(len(next(iter(failed.values()))), np.bool_)])
    first: NDArray[np.int64] = np.argmax(table, axis=0)
    return first


def find_check(name: str) -> Check:
    """The threshold of an option (`min_score`), or of a column that has one only (`score`).

    Raises:
        ConfigError: no such option or column, or a column with two.
    """
    found = [check for check in CHECKS if name in (check.option, check.column)]
    if len(found) == 1:
        return found[0]
    choose = ", ".join(check.option for check in found or CHECKS)
    raise ConfigError(f"{name!r} is {'two thresholds' if found else 'no threshold'}; choose one of: {choose}")
