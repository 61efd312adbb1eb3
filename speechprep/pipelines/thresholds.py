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
from pydantic import Field, create_model

from speechprep.artifacts.languages import language_code
from speechprep.artifacts.scores import limits, options
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

    def fails(self, values: Any, limit: float) -> Any:
        """Whether float32 values are beyond a limit, compared as float32; False for NaN."""
        bound = np.float32(limit)
        return values > bound if self.sign > 0 else values < bound


CHECKS = tuple(Check(limit.option, limit.reason, column, limit.sign) for column, limit in limits())
"""In this order: a row gets the reason of the first failed check."""
COLUMNS = tuple(dict.fromkeys(check.column for check in CHECKS))

_FIELDS: Any = {name: (float | None, Field(default, **arguments)) for name, (default, arguments) in options().items()}
_Limits = create_model("_Limits", __base__=StageConfig, **_FIELDS)


class Thresholds(_Limits):  # type: ignore[misc, valid-type]
    """Limits of the scores, one option for each record of `artifacts.scores`; null: off."""

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
        if value is not None and check.fails(np.float32(value), limit):
            return check.reason
    wanted = thresholds.languages()
    if wanted and row.get("language") is not None and primary(row["language"]) not in wanted:
        return OTHER_LANGUAGE
    return None


def primary(code: str) -> str:
    """The language of a code or name: "en" of "en-GB", "EN_us", "eng" and "English"."""
    return language_code(code) or code


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
        found[check.reason] = check.fails(scores[check.column], limit)
    wanted = thresholds.languages()
    if wanted:
        names = [name for name in pc.unique(languages).to_pylist() if name is not None]
        others = [name for name in names if primary(name) not in wanted]
        other = pc.is_in(languages, pa.array(others, pa.string()))
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
