"""WER and CER of a corpus: (S + D + I) / N, with errors and words summed over utterances before the division."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from speechprep.errors import BadInput
from speechprep.models.evaluation.benchmark import Benchmark, NormaliseOptions
from speechprep.models.evaluation.bootstrap import Bootstrap
from speechprep.models.evaluation.normalise import normaliser
from speechprep.models.evaluation.score import Score, paired
from speechprep.tokenizers.alignment.edit_distance import Alternation, edit_counts
from speechprep.tokenizers.text.error_units import characters, split_unspaced

Units = Callable[[str], Sequence[str | Alternation]]


def wer(
    references: Mapping[str, str],
    hypotheses: Mapping[str, str],
    *,
    normalise: str = "librispeech",
    spellings: str | None = None,
    alternations: bool = False,
    bootstrap: Bootstrap | None = None,
) -> Score:
    """Word error rate. In scripts without spaces between words, each sign with its marks is a word, unless `none`.

    Args:
        references: id -> text.
        hypotheses: id -> text of the same ids.
        normalise: name of a normalisation, see the module `normalise`.
        spellings: spelling table for `whisper`, see `normaliser`.
        alternations: read `{ A / B }` in references as in sclite: the better alternative counts, `@` is an empty one.
        bootstrap: parameters of the interval; None for no interval.

    Returns:
        `counts` contains `utterances`, `wrong_utterances`, `words` (of the references), `hits`, `substitutions`,
        `deletions` and `insertions`, from the alignment with the fewest errors, and on a tie the most hits.

    Raises:
        BadInput: different ids on the two sides, a broken alternation, or no word in all references.
        ConfigError, MissingBackend: see `normaliser`.
    """
    clean = normaliser(normalise, spellings)
    plain = str.split if normalise == "none" else split_unspaced

    def words(text: str) -> list[str]:
        return plain(clean(text))

    split: Units = (lambda text: _alternatives(text, words)) if alternations else words
    how = {"unit": "word", "normalisation": normalise} | ({"alternations": "sclite"} if alternations else {})
    return _score("wer", "words", references, hypotheses, split, words, how, bootstrap)


def cer(
    references: Mapping[str, str],
    hypotheses: Mapping[str, str],
    *,
    normalise: str = "librispeech",
    spellings: str | None = None,
    bootstrap: Bootstrap | None = None,
) -> Score:
    """Character error rate: `wer` over characters. A run of white space counts as one character.

    White space between signs of scripts without spaces does not count, unless `none`.
    """
    clean = normaliser(normalise, spellings)
    how = {"unit": "character", "normalisation": normalise}

    def split(text: str) -> str:
        return " ".join(clean(text).split()) if normalise == "none" else characters(clean(text))

    return _score("cer", "characters", references, hypotheses, split, split, how, bootstrap)


def _score(
    metric: str,
    unit: str,
    references: Mapping[str, str],
    hypotheses: Mapping[str, str],
    of_reference: Units,
    of_hypothesis: Callable[[str], Sequence[str]],
    how: dict[str, str],
    bootstrap: Bootstrap | None,
) -> Score:
    ids = paired(references, hypotheses)
    edits = [edit_counts(of_reference(references[id]), of_hypothesis(hypotheses[id])) for id in ids]
    counts = {
        "utterances": len(ids),
        "wrong_utterances": sum(c.errors > 0 for c in edits),
        unit: sum(c.words for c in edits),
        "hits": sum(c.hits for c in edits),
        "substitutions": sum(c.substitutions for c in edits),
        "deletions": sum(c.deletions for c in edits),
        "insertions": sum(c.insertions for c in edits),
    }
    if not counts[unit]:
        raise BadInput(
            "no_reference_words", f"the references contain no {unit} after normalisation; give references with text"
        )

    def rate(sums: NDArray[np.float64]) -> float:
        return float(sums[0] / max(sums[1], 1.0))

    sums = np.array([(c.errors, c.words) for c in edits])
    interval = bootstrap.interval(ids, sums, rate) if bootstrap else None
    others = {"utterance_error_rate": counts["wrong_utterances"] / len(ids)}
    return Score(metric, rate(sums.sum(0)), interval, counts, others, how=how)


def _alternatives(text: str, words: Callable[[str], list[str]]) -> list[str | Alternation]:
    """Words and alternations of a reference in the `{ A / B }` format of sclite, without nesting."""
    items: list[str | Alternation] = []
    for outside, inside in re.findall(r"([^{}]*)(\{[^{}]*\})?", text):
        items += words(outside)
        if inside:
            ways = inside[1:-1].split(" / ")
            items.append(tuple(() if way.strip() == "@" else tuple(words(way)) for way in ways))
    if text.count("{") != text.count("}") or text.count("{") != sum(not isinstance(item, str) for item in items):
        raise BadInput("bad_alternation", f"{text!r}: broken alternation; write {{ A / B }} without nesting")
    return items


class WerOptions(NormaliseOptions):
    """Options of `wer`."""

    alternations: bool = Field(
        default=False, description="Read { A / B } in references as alternatives, as in sclite: the better one counts."
    )


WER = Benchmark(
    name="wer",
    help="Word error rate: substitutions, deletions and insertions divided by the number of reference words.",
    score=wer,
    options=WerOptions,
    examples=(" --normalise whisper", " --speaker-column speaker --json"),
)
CER = Benchmark(
    name="cer",
    help="Character error rate. A run of white space counts as one character.",
    score=cer,
    options=NormaliseOptions,
    examples=(" --normalise none",),
)
