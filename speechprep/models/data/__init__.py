"""From shards to batches: `packed` and `tokens` folders, mixed by tokens, in one order for any ranks and workers.

    from speechprep.models.data import Codes, Reader, Source

    codes = Codes.load("run/subword")                       # size, <pad>, modality of each id, fingerprint
    sources = [Source("run/tokens", kinds=("unit",), weight=1), Source("run/tokens", kinds=("text",), weight=1),
               Source("run/tokens", kinds=("cst_ut", "cst_tu", "ast"), weight=1)]      # or [Source("run/packed")]
    reader = Reader(sources, context=2048, codes=codes, batch_rows=8, seed=0, rank=0, world=1, end="never")
    for batch in reader:        # a dict of numpy arrays
        ...
    reader.state()              # a small dict for JSON; reader.restore(state) goes on after it, with any world

A batch of b rows and context L:

    input_ids     (b, L) int64
    document_ids  (b, L) int32   0, 0, .. 1, 1, .. within the row, -1 on padding
    modality_ids  (b, L) int8    codes of `tokenizers.vocabulary.MODALITIES`
    position_ids  (b, L) int64   0, 1, .. from the start of each document (or of the row, where it goes on)
    rows          (b,)   int64   global numbers of the rows in the endless order: what `state` counts
    sources       (b,)   int16   which source each row came from
    samples       (b,)   int64   number of each row within its source: once in an epoch
    names         [[str]]        "<utterance id>#<kind>" of each row's documents; only with `names=True`

The order is a pure function of sources, seed and global row number. A step of `world` ranks takes the next
`world * batch_rows` rows; rank r the r-th `batch_rows` of them. A run may resume with another `world` or
`batch_rows`: only the number of delivered rows counts.

`masks` has the inputs of attention and loss from `document_ids`: `attention_mask` (b, 1, L, L), `cu_seqlens` for
attention
kernels of variable length, `causal_labels`. `loader` has the same reader as a torch `IterableDataset` (needs torch).
"""

from speechprep.models.data.codes import Codes
from speechprep.models.data.masks import attention_mask, causal_labels, cu_seqlens, position_ids
from speechprep.models.data.reader import Batch, Reader
from speechprep.models.data.source import Source

__all__ = ["Batch", "Codes", "Reader", "Source", "attention_mask", "causal_labels", "cu_seqlens", "position_ids"]
