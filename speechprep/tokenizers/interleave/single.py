"""Interleaving of one utterance: words and units -> token rows, by the batch interleaver."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from speechprep.artifacts.timebase import FrameGrid
from speechprep.errors import ConfigError
from speechprep.tokenizers.interleave.policies import PolicyOptions
from speechprep.tokenizers.interleave.render import Utterances
from speechprep.tokenizers.interleave.rows import Interleaver
from speechprep.tokenizers.subword.unit_text import unit_dtype

if TYPE_CHECKING:
    from speechprep.tokenizers.subword.vocabulary import Vocabulary


def interleave_utterance(
    words: Sequence[Mapping[str, Any]],
    units: Sequence[int] | NDArray[Any],
    vocab: Vocabulary,
    grid: FrameGrid,
    *,
    id: str = "",
    kinds: tuple[str, ...] = ("ast",),
    policy: str = "ast",
    options: PolicyOptions | None = None,
    seed: int = 0,
) -> list[dict[str, Any]]:
    """Token rows of one utterance, equal to its rows in the dataset `tokens`.

    Args:
        words: {"text", "start", "end"} of each word, times in seconds; empty without transcript.
        units: (frames,) unit of each frame, with repeats; empty without speech.
        vocab: the joint vocabulary.
        grid: the frame grid of the units.
        id: utterance id. The random choices depend on it and on the seed.
        kinds: kinds of rows: unit, text, cst, cst_both, cst_ut, cst_tu, ast.
        policy: choice of the spoken words of an AST row: ast, word, poisson, spirit.
        options: options of the policy; None: the defaults of `PolicyOptions`.
        seed: seed of the random choices.

    Returns:
        Rows with the columns of the schema `TOKENS`. Kinds with a missing modality give no row.

    Raises:
        BadInput: `word_without_time` or `word_not_reversible`, as in the rejects of `interleave`.
        ConfigError: units that are not a flat sequence of numbers from 0, or an unknown kind or policy.
        StaleArtifact: a unit outside the vocabulary.
    """
    interleaver = Interleaver(vocab, grid, kinds, policy, options or PolicyOptions(), seed)
    rows = interleaver.rows(_batch(id, words, _checked(units, vocab.k)))
    problem = rows.problem(0)
    if problem is not None:
        raise problem
    result: list[dict[str, Any]] = rows.tokens.to_pylist()
    return result


def _checked(units: Sequence[int] | NDArray[Any], k: int) -> NDArray[Any]:
    frames = np.asarray(units)
    if frames.ndim != 1 or (len(frames) and (frames.dtype.kind not in "iu" or frames.min() < 0)):
        raise ConfigError(f"units of shape {frames.shape}, type {frames.dtype}; pass one integer from 0 for each frame")
    return frames.astype(unit_dtype(k)) if not len(frames) or frames.max() < k else frames


def _batch(id: str, words: Sequence[Mapping[str, Any]], units: NDArray[Any]) -> Utterances:
    """A batch of one utterance."""
    times = np.array([(word["start"], word["end"]) for word in words], np.float64).reshape(len(words), 2)
    return Utterances(
        pa.array([id], pa.string()),
        pa.array([word["text"] for word in words], pa.string()),
        times[:, 0].copy(),
        times[:, 1].copy(),
        np.array([0, len(words)], np.int64),
        units,
        np.array([0, len(units)], np.int64),
    )
