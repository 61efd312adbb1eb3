"""Tar files of WebDataset, written by webdataset."""

from __future__ import annotations

import json
from typing import Any

from speechprep.pipelines.export.recording import Recording
from speechprep.pipelines.export.writer import Target, Writer
from speechprep.pipelines.export.writers.nemo import fields

SHARD_BYTES = 500 << 20
SHARD_SAMPLES = 5_000


class WebDataset(Writer):
    """`shard-000000.tar` and so on: for each utterance its audio, KEY.txt with the text and KEY.json with the rest.

    The key is the name of the utterance, without dots. Segments are cut to 16-bit mono FLAC.
    """

    def __init__(self, target: Target) -> None:
        super().__init__(target)
        from webdataset import ShardWriter

        self._writer: Any = ShardWriter(
            str(target.folder / "shard-%06d.tar"), maxcount=SHARD_SAMPLES, maxsize=SHARD_BYTES, verbose=0, mtime=0
        )

    def add(self, recording: Recording) -> None:
        """See `Writer`."""
        for utterance, data, ending in self.encoded(recording):
            described = fields(utterance, self.tiers, language="language")
            text = described.get("text")
            described |= {"duration": utterance.duration, "sample_rate": recording.info.sample_rate}
            sample = {
                "__key__": utterance.name,
                ending: data,
                "json": json.dumps(described, ensure_ascii=False).encode(),
            }
            self._writer.write(sample | ({"txt": text.encode()} if text is not None else {}))
            self.counts.exported(utterance)

    def close(self) -> None:
        """See `Writer`."""
        self._writer.close()
