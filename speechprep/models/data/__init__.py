"""Batches from `packed` and `tokens` folders: mixtures by tokens, one order for any number of ranks and workers.

    from speechprep.models.data import Reader, Source, VocabularyMetadata

    vocabulary = VocabularyMetadata.load("run/subword")     # size, <pad>, modality of each id, fingerprint
    sources = [Source("run/tokens", kinds=("unit",), weight=1), Source("run/tokens", kinds=("text",), weight=1),
               Source("run/tokens", kinds=("cst_ut", "cst_tu", "ast"), weight=1)]      # or [Source("run/packed")]
    reader = Reader(sources, context=2048, vocabulary=vocabulary, batch_rows=8, seed=0, rank=0, world=1, end="never")
    # Source("run", kinds=("ast",), documents="whole", render=Rendering()): rows drawn anew in each epoch
    for batch in reader:        # a dict of numpy arrays
        ...
    reader.state()              # a small dict for JSON; reader.restore(state) resumes after it, with any world

A batch of b rows and context L:

    input_ids     (b, L) int64
    document_ids  (b, L) int32   0, 0, .. 1, 1, .. within the row, -1 on padding
    modality_ids  (b, L) int8    codes of `tokenizers.vocabulary.MODALITIES`
    position_ids  (b, L) int64   0, 1, .. from the start of each document, or of the row for a continued document
    rows          (b,)   int64   global numbers of the rows in the endless order; `state` counts them
    sources       (b,)   int16   index of the source of each row
    samples       (b,)   int64   number of each row within its source: once in an epoch
    names         [[str]]        "<utterance id>#<kind>" of each row's documents; only with `names=True`

The order is a pure function of sources, seed and global row number. A step of `world` ranks takes the next
`world * batch_rows` rows; rank r takes the r-th `batch_rows` of them. A run may resume with another `world` or
`batch_rows`: only the number of delivered rows counts.

`masks` computes the inputs of attention and loss from `document_ids`: `attention_mask` (b, 1, L, L), `cu_seqlens` for
variable-length attention kernels, `causal_labels`. `loader` wraps the reader as a torch `IterableDataset`.
"""

from speechprep.models.data.masks import attention_mask, causal_labels, cu_seqlens, position_ids
from speechprep.models.data.reader import Batch, Reader
from speechprep.models.data.rendering import Rendering
from speechprep.models.data.source import Source
from speechprep.models.data.vocabulary import VocabularyMetadata

__all__ = [
    "Batch",
    "Reader",
    "Rendering",
    "Source",
    "VocabularyMetadata",
    "attention_mask",
    "causal_labels",
    "cu_seqlens",
    "position_ids",
]
