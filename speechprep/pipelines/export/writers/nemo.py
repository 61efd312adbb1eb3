"""Manifests of NeMo: JSON Lines."""

from __future__ import annotations

import json
from typing import Any

from speechprep.pipelines.export.recording import Recording
from speechprep.pipelines.export.rows import Utterance
from speechprep.pipelines.export.writer import Target, Writer


class Nemo(Writer):
    """`manifest.jsonl`, a line for each utterance with `audio_filepath`, `offset`, `duration` and `text`.

    NeMo ignores the further fields: `id`, `speaker`, `lang`, `split`, `licence`, `corpus`, `words` and `units`.
    """

    def __init__(self, target: Target) -> None:
        super().__init__(target)
        self._file = (target.folder / "manifest.jsonl").open("w", encoding="utf-8", newline="\n")

    def add(self, recording: Recording) -> None:
        """See `Writer`."""
        path = self.relative(self.audio_path(recording))
        for utterance in recording.utterances:
            place = {"audio_filepath": path, "offset": utterance.offset, "duration": utterance.duration}
            self._file.write(json.dumps(place | fields(utterance, self.tiers), ensure_ascii=False) + "\n")
            self.counts.exported(utterance)

    def close(self) -> None:
        """See `Writer`."""
        self._file.close()


def fields(utterance: Utterance, tiers: tuple[str, ...], language: str = "lang") -> dict[str, Any]:
    """Fields of an utterance without the audio; unknown values are left out.

    Args:
        utterance: with words in seconds from its start.
        tiers: exported tiers.
        language: name of the field of the language.
    """
    values = {
        "id": utterance.id,
        "text": utterance.text if "segments" in tiers else None,
        "speaker": utterance.speaker,
        language: utterance.language,
        "split": utterance.split,
        "licence": utterance.licence,
        "corpus": utterance.corpus,
        "words": [{"word": w.text, "start": w.start, "end": w.end} for w in utterance.words],
        "units": utterance.units,
    }
    for tier in ("words", "units"):
        if tier not in tiers:
            del values[tier]
    return {name: value for name, value in values.items() if value not in (None, [])}
