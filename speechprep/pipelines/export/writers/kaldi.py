"""Data directories of Kaldi: plain text files, sorted by the bytes of their first field."""

from __future__ import annotations

from speechprep.pipelines.export.recording import Recording
from speechprep.pipelines.export.rows import Span, Utterance
from speechprep.pipelines.export.writer import Target, Writer, one_line, one_token, wav
from speechprep.pipelines.export.writers.labels import ctm_line


class Kaldi(Writer):
    """`wav.scp`, `segments`, `text`, `utt2spk`, `spk2utt`, `utt2dur`, `reco2dur`; `ctm` of the words; `units`.

    Kaldi sorts by speaker and by utterance, and both orders must agree. An utterance is therefore named
    "speaker-utterance". Utterances without a transcript are left out. Copied audio is 16-bit WAV.
    """

    def __init__(self, target: Target) -> None:
        super().__init__(target)
        self._files: dict[str, list[tuple[str, str]]] = {}
        self._speakers: dict[str, list[str]] = {}

    def add(self, recording: Recording) -> None:
        """See `Writer`."""
        spoken = [bool(one_line(u.text or "")) for u in recording.utterances]
        if any(spoken):
            duration = recording.info.duration
            self._row("wav.scp", recording.name, self._audio(recording))
            self._row("reco2dur", recording.name, f"{duration:.6f}")
        for utterance, has_text in zip(recording.utterances, spoken, strict=True):
            if has_text:
                self._utterance(recording, utterance)
            else:
                self.counts.leave_out(utterance, "no_text")

    def _audio(self, recording: Recording) -> str:
        if recording.uri is None or self.target.audio == "copy":
            return self.store(f"audio/{recording.name}.wav", wav(recording))
        path = self.audio_path(recording)
        # Kaldi runs a value that ends with "|" as a command.
        return self.store(f"audio/{recording.name}.wav", wav(recording)) if path.strip().endswith("|") else path

    def _utterance(self, recording: Recording, utterance: Utterance) -> None:
        speaker = one_token(utterance.speaker or "") or utterance.name
        name = utterance.name
        if speaker != name and not name.startswith(f"{speaker}-"):
            name = f"{speaker}-{name}"
            self.counts.changed["speaker_in_id"] += 1
        end = utterance.offset + utterance.duration
        self._row("segments", name, f"{recording.name} {utterance.offset:.6f} {end:.6f}")
        self._row("text", name, one_line(utterance.text or ""))
        self._row("utt2spk", name, speaker)
        self._row("utt2dur", name, f"{utterance.duration:.6f}")
        self._speakers.setdefault(speaker, []).append(name)
        if "words" in self.tiers:
            for word in utterance.words:
                span = Span(utterance.offset + word.start, utterance.offset + word.end, word.text)
                token = one_token(word.text)
                self.counts.changed["blank_in_token"] += token != word.text
                self._row(
                    "ctm", f"{recording.name} {round(span.start * 1000):012d}", ctm_line(recording.name, span, token)
                )
        if "units" in self.tiers and utterance.units:
            self._row("units", name, " ".join(map(str, utterance.units)))
        self.counts.exported(utterance)

    def _row(self, file: str, key: str, value: str) -> None:
        self._files.setdefault(file, []).append((key, value))

    def close(self) -> None:
        """See `Writer`."""
        for file, rows in self._files.items():
            rows.sort(key=lambda row: row[0].encode())
            self.lines(file, (value if file == "ctm" else f"{key} {value}" for key, value in rows))
        speakers = sorted(self._speakers.items(), key=lambda item: item[0].encode())
        if speakers:
            self.lines("spk2utt", (" ".join([name, *sorted(ids, key=str.encode)]) for name, ids in speakers))
