"""Vocabulary metadata of a `subword` folder: size, padding id, modality of each token id, fingerprint."""

from __future__ import annotations

import json
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from speechprep.artifacts import manifest, storage
from speechprep.errors import StaleArtifact
from speechprep.tokenizers.subword.vocabulary import FILE, MODALITY_FILE


@dataclass(frozen=True)
class VocabularyMetadata:
    """Metadata of a vocabulary.

    Attributes:
        fingerprint: content hash of the folder. The manifests of `tokens` and `packed` store it as `vocabulary`.
        size: number of token ids, 0 to size - 1.
        pad: padding id.
        modality: (size,) int8, modality code of each id.
    """

    fingerprint: str
    size: int
    pad: int
    modality: NDArray[np.int8]

    @classmethod
    def load(cls, folder: str) -> VocabularyMetadata:
        """Read a `subword` folder.

        Raises:
            StaleArtifact: the vocabulary is incomplete, or its files contradict each other.
        """
        content = manifest.read(folder).content
        try:
            description = json.loads(storage.read_bytes(storage.join(folder, FILE)))
            with storage.open(storage.join(folder, MODALITY_FILE)) as f:
                modality = np.load(f, allow_pickle=False)
        except (FileNotFoundError, ValueError) as error:
            raise StaleArtifact(f"no vocabulary in {folder}: {error}; run the stage 'subword' again") from error
        if len(modality) != description["size"]:
            raise StaleArtifact(
                f"{folder}: {MODALITY_FILE} has {len(modality)} ids, {FILE} has {description['size']}; "
                "run the stage 'subword' again"
            )
        return cls(content, description["size"], description["special_tokens"]["<pad>"], modality.astype(np.int8))
