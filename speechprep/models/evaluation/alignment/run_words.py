"""The words of a run to measure, and the utterances behind them if the run folder has them."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from speechprep.artifacts.run import words_and_utterances
from speechprep.errors import ConfigError
from speechprep.models.evaluation.alignment.boundaries import AlignedWords
from speechprep.models.evaluation.alignment.references import matched_ids
from speechprep.models.evaluation.alignment.textgrid import Timed


class RunWords:
    """A `words` dataset, alone or in a run folder.

    Args:
        source: a run folder, or a folder of words. Utterances are looked for in the same run folder.

    Attributes:
        words: the dataset.
        utterances: of the run; None if there are none.
        unused: number of reference names without an utterance, after `references`.

    Raises:
        StaleArtifact: no complete `words` there.
    """

    def __init__(self, source: str) -> None:
        self.words, self.utterances = words_and_utterances(source)
        self.unused = 0

    def references(self, named: Mapping[str, list[Timed]]) -> dict[str, list[Timed]]:
        """Utterance id -> reference words; utterances of the run without reference words are left out.

        Args:
            named: name in the reference -> words.

        Raises:
            ConfigError: no utterance has a reference.
        """
        ids = [row["id"] for row in (self.utterances or self.words).records(["id"])]
        matched = matched_ids(ids, named)
        self.unused = len(set(named) - set(matched.values()))
        if not matched:
            raise ConfigError(
                f"no utterance of {self.words.uri} has a reference: ids such as {next(iter(ids), None)!r} here, "
                f"{next(iter(named))!r} there; name the reference files by utterance id"
            )
        return {id: named[name] for id, name in matched.items() if named[name]}

    def speakers(self, ids: Collection[str]) -> dict[str, str] | None:
        """Id -> speaker; None if an utterance has none, or if there is only one speaker."""
        if self.utterances is None:
            return None
        rows = self.utterances.records(["id", "speaker"])
        speakers = {row["id"]: row["speaker"] for row in rows if row["id"] in ids}
        return speakers if all(speakers.values()) and len(set(speakers.values())) > 1 else None

    def texts(self, ids: Collection[str]) -> dict[str, str]:
        """Id -> aligned text."""
        return {row["id"]: row["text"] for row in self.words.records(["id", "text"]) if row["id"] in ids}

    def aligned(self, ids: Collection[str]) -> dict[str, AlignedWords]:
        """Id -> words with times, of the utterances with a row."""
        schema = self.words.schema
        later = ["border_intervals"] if schema is not None and "border_intervals" in schema.names else []
        return {
            row["id"]: AlignedWords(
                [Timed(word["text"], word["start"], word["end"]) for word in row["words"]],
                sum(word["timing"] == "interpolated" for word in row["words"]),
                bool(row["kept"]),
                [border and tuple(border.values()) for border in row.get("border_intervals") or ()],
            )
            for row in self.words.records(["id", "words", "kept", *later])
            if row["id"] in ids
        }
