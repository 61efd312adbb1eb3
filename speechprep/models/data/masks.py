"""Inputs of attention and loss from `document_ids`: positions, masks, boundaries, labels.

`document_ids` is (b, L): equal neighbours are one document, -1 is padding. A position attends only to its own
document and never predicts the first token of the next one.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

IGNORED = -100  # label without a loss, the default of torch's cross_entropy


def starts_of(document_ids: NDArray[Any]) -> NDArray[np.int64]:
    """(n,) ascending indices in the flattened (b, L) at the start of each document, row or stretch of padding."""
    begins = np.empty(document_ids.shape, bool)
    begins[:, :1] = True
    np.not_equal(document_ids[:, 1:], document_ids[:, :-1], out=begins[:, 1:])
    return np.flatnonzero(begins)


def position_ids(document_ids: NDArray[Any]) -> NDArray[np.int64]:
    """(b, L) -> (b, L) int64: 0, 1, 2, .. from the start of each document within its row."""
    starts = starts_of(document_ids)
    lengths = np.diff(starts, append=document_ids.size)
    places = np.arange(document_ids.size, dtype=np.int64)
    places -= np.repeat(starts, lengths)
    return places.reshape(document_ids.shape)


def attention_mask(document_ids: NDArray[Any]) -> NDArray[np.bool_]:
    """(b, L) -> (b, 1, L, L): True where position i may attend to position j: j <= i, in the same document.

    Padding attends to padding, because the softmax of an empty row is NaN. The mask takes b * L * L bytes: use
    `cu_seqlens` for long contexts.
    """
    length = document_ids.shape[1]
    mask: NDArray[np.bool_] = document_ids[:, :, None] == document_ids[:, None, :]
    mask &= np.tri(length, dtype=bool)
    return mask[:, None]


def cu_seqlens(document_ids: NDArray[Any]) -> tuple[NDArray[np.int32], int]:
    """(b, L) -> (n + 1,) int32 boundaries of the documents in the flattened batch, and the longest length.

    The format is that of variable-length attention kernels. A stretch of padding counts as a document.
    """
    edges = np.append(starts_of(document_ids), document_ids.size).astype(np.int32)
    return edges, int(np.diff(edges).max(initial=0))


def causal_labels(input_ids: NDArray[Any], document_ids: NDArray[Any]) -> NDArray[np.int64]:
    """(b, L) -> (b, L) int64 labels for a causal model that shifts them itself (label t is predicted from t - 1).

    -100 on padding and on the first token of each document in its row, because no earlier token may predict it.
    """

    labels = input_ids.astype(np.int64)
    labels.reshape(-1)[starts_of(document_ids)] = IGNORED
    labels[document_ids < 0] = IGNORED
    return labels
