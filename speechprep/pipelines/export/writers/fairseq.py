"""Manifests of fairseq for wav2vec 2.0 and HuBERT: TSV of audio, with files of labels of the same lines."""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import IO

from speechprep.artifacts import storage
from speechprep.errors import BadInput
from speechprep.pipelines.export.names import safe_name
from speechprep.pipelines.export.recording import Recording, encode
from speechprep.pipelines.export.rows import Utterance
from speechprep.pipelines.export.writer import Target, Writer, one_line

SAMPLE_RATE = 16_000  # Hz, of wav2vec 2.0 and HuBERT


class Fairseq(Writer):
    """For each split SPLIT.tsv (root, then path and samples), SPLIT.wrd, SPLIT.ltr and SPLIT.km (units of each frame).

    fairseq reads whole files. Segments, stored audio, and with `audio="copy"` every utterance are written to `audio/`
    as FLAC at 16 kHz. Utterances without a split are in "train".
    """

    def __init__(self, target: Target) -> None:
        super().__init__(target)
        self._files: dict[str, IO[str]] = {}

    def add(self, recording: Recording) -> None:
        """See `Writer`."""
        for utterance in recording.utterances:
            try:
                path, samples = self._audio(recording, utterance)
            except BadInput as error:
                self.counts.leave_out(utterance, error.code)
                continue
            split = safe_name(utterance.split or "train")
            text = one_line(utterance.text or "")
            self._line(f"{split}.tsv", f"{path}\t{samples}", head="/")
            if "segments" in self.tiers:
                self._line(f"{split}.wrd", text)
                self._line(f"{split}.ltr", " ".join(letters(text)))
            if "units" in self.tiers:
                self._line(f"{split}.km", " ".join(map(str, utterance.units)))
            self.counts.exported(utterance)

    def _audio(self, recording: Recording, utterance: Utterance) -> tuple[str, int]:
        """Path below the root "/" and number of samples."""
        local = recording.uri is not None and storage.is_local(recording.uri)
        if local and self.target.audio == "path" and recording.is_whole(utterance):
            path = storage.absolute(str(recording.uri))
            if not set("\t\n\r") & set(path):
                return str(PurePosixPath(path).relative_to("/")), recording.info.frames
        samples = recording.samples(utterance, SAMPLE_RATE)
        path = self.store(f"audio/{utterance.name}.flac", encode(samples, SAMPLE_RATE, "FLAC"))
        return str(PurePosixPath(path).relative_to("/")), len(samples)

    def _line(self, name: str, line: str, head: str | None = None) -> None:
        if name not in self._files:
            self._files[name] = (self.target.folder / name).open("w", encoding="utf-8", newline="\n")
            if head is not None:
                self._files[name].write(f"{head}\n")
        self._files[name].write(f"{line}\n")

    def close(self) -> None:
        """See `Writer`."""
        for file in self._files.values():
            file.close()


def letters(text: str) -> list[str]:
    """Letters of a text with "|" after each word, as in `libri_labels.py` of fairseq."""
    return [letter for word in text.split() for letter in (*word, "|")]
