"""Vocabulary metadata for the reader: size, padding id, modality of each id, fingerprint."""

from __future__ import annotations

import json
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from speechprep.artifacts import manifest, storage
from speechprep.errors import StaleArtifact
from speechprep.tokenizers.subword.vocabulary import FILE, MODALITY_FILE


@dataclass(frozen=True)
class Codes:
    """The ids of a vocabulary.

    Attributes:
        fingerprint: content hash of the folder, as in the manifests of `tokens` and `packed` under `vocabulary`.
        size: ids run from 0 to size - 1.
        pad: id of padding.
        modality: (size,) int8, code of each id.
    """

    fingerprint: str
    size: int
    pad: int
    modality: NDArray[np.int8]

    @classmethod
    def load(cls, folder: str) -> Codes:
        """Of a `subword` folder.

        Raises:
            StaleArtifact: there is no complete vocabulary, or its files contradict each other.
        """
        made = manifest.read(folder)
        try:
            described = json.loads(storage.read_bytes(storage.join(folder, FILE)))
            with storage.open(storage.join(folder, MODALITY_FILE)) as f:
                modality = np.load(f, allow_pickle=False)
        except (FileNotFoundError, ValueError) as error:
            raise StaleArtifact(f"no vocabulary in {folder}: {error}; run the stage 'subword' again") from error
        if len(modality) != described["size"]:
            raise StaleArtifact(
                f"{folder}: {MODALITY_FILE} has {len(modality)} ids, {FILE} says {described['size']}; "
                "run the stage 'subword' again"
            )
        return cls(made.content, described["size"], described["special_tokens"]["<pad>"], modality.astype(np.int8))
