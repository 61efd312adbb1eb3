"""Manifests of lhotse: recordings, supervisions and cuts, written by lhotse."""

from __future__ import annotations

from typing import Any

from speechprep.pipelines.export.recording import Recording
from speechprep.pipelines.export.rows import Utterance
from speechprep.pipelines.export.writer import Target, Writer

_CUSTOM = ("split", "licence", "corpus")


class Lhotse(Writer):
    """`recordings.jsonl`, `supervisions.jsonl` (times of the recording) and `cuts.jsonl` (times of the cut).

    A cut has one supervision, with the alignments `word` and `unit`. A recording with several channels gives MultiCuts.
    """

    def __init__(self, target: Target) -> None:
        super().__init__(target)
        from lhotse import CutSet, RecordingSet, SupervisionSet

        kinds = {"recordings": RecordingSet, "supervisions": SupervisionSet, "cuts": CutSet}
        self._files: dict[str, Any] = {
            name: kind.open_writer(target.folder / f"{name}.jsonl") for name, kind in kinds.items()
        }

    def add(self, recording: Recording) -> None:
        """See `Writer`."""
        from lhotse import AudioSource, MonoCut, MultiCut
        from lhotse import Recording as LhotseRecording

        info, path = recording.info, self.audio_path(recording)
        channels = list(range(info.channels))
        source = AudioSource(type="url" if "://" in path else "file", channels=channels, source=path)
        described = LhotseRecording(recording.name, [source], info.sample_rate, info.frames, info.duration)
        self._files["recordings"].write(described)
        for utterance in recording.utterances:
            channel = channels if len(channels) > 1 else 0
            self._files["supervisions"].write(self._supervision(recording, utterance, channel, utterance.offset))
            # `SupervisionSegment.with_offset` of lhotse 1.33 does not move the alignment.
            inner = self._supervision(recording, utterance, channel, 0.0)
            cut = MonoCut if channel == 0 else MultiCut
            self._files["cuts"].write(
                cut(
                    id=utterance.id,
                    start=utterance.offset,
                    duration=utterance.duration,
                    channel=channel,
                    supervisions=[inner],
                    recording=described,
                    custom={name: value for name in _CUSTOM if (value := getattr(utterance, name))} or None,
                )
            )
            self.counts.exported(utterance)

    def _supervision(self, recording: Recording, utterance: Utterance, channel: Any, start: float) -> Any:
        """The supervision of an utterance that starts at `start` seconds of its recording or cut."""
        from lhotse import SupervisionSegment
        from lhotse.supervision import AlignmentItem

        alignment = {
            tier.removesuffix("s"): [
                AlignmentItem(span.text, round(start + span.start, 8), round(span.end - span.start, 8))
                for span in utterance.spans(tier)
            ]
            for tier in self.tiers
            if tier != "segments"
        }
        return SupervisionSegment(
            id=utterance.id,
            recording_id=recording.name,
            start=start,
            duration=utterance.duration,
            channel=channel,
            text=utterance.text if "segments" in self.tiers else None,
            language=utterance.language,
            speaker=utterance.speaker,
            alignment={name: items for name, items in alignment.items() if items} or None,
        )

    def close(self) -> None:
        """See `Writer`."""
        for file in self._files.values():
            file.close()
