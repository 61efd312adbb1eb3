"""Causal attention inside the documents of packed rows, without a mask of length x length for each row.

Four kernels give the same result:

    dense    one additive mask (b, 1, l, l) and SDPA: the reference. Cost and memory grow with l^2.
    split    one SDPA call for each document, without a mask. The fastest on a CPU; its shapes depend on the data.
    flex     FlexAttention of PyTorch: skips blocks of 128 x 128 without a pair of positions. The choice on CUDA, where
             it is compiled. On a CPU it runs without compilation, as slow as `dense`.
    auto     flex on CUDA, split on a CPU, dense elsewhere and in a compiled model on a CPU.

`install` makes the attention layers of a transformers model call `attend`, which takes a `Documents`. Without one, it
is transformers' own SDPA function.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from typing import Any, Literal, cast, get_args

import torch
from torch.nn.functional import scaled_dot_product_attention
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

from speechprep.errors import ConfigError
from speechprep.models.data.masks import cu_seqlens

NAME = "speechprep_documents"  # of `attend` among the attention functions of transformers
Kernel = Literal["auto", "dense", "split", "flex"]


@dataclass(frozen=True)
class Documents:
    """The documents of a batch, prepared once for all layers.

    Attributes:
        split: (row, start, stop) of each document; None for another kernel.
        blocks: the `BlockMask` of FlexAttention; None for another kernel.
    """

    split: list[tuple[int, int, int]] | None = None
    blocks: Any = None


def kernel_for(device: torch.device, kernel: str = "auto") -> str:
    """The kernel that `auto` stands for on a device; other names are returned.

    Raises:
        ConfigError: an unknown name.
    """
    if kernel not in get_args(Kernel):
        raise ConfigError(f"attention {kernel!r} is unknown; set one of {', '.join(get_args(Kernel))}")
    if kernel != "auto":
        return kernel
    split = "dense" if torch.compiler.is_compiling() else "split"  # the shapes of split would be compiled one by one
    return {"cuda": "flex", "cpu": split}.get(device.type, "dense")


def install(model: torch.nn.Module, config: Any) -> None:
    """Make the attention layers of a model with SDPA call `attend`. The mask of the model stays that of SDPA.

    Args:
        model: of transformers, whose attention layers hold `config`.
        config: configuration of the model.
    """
    if config._attn_implementation != "sdpa":
        return
    own = copy.copy(config)
    own._attn_implementation = NAME
    for module in model.modules():
        if getattr(module, "config", None) is config and hasattr(module, "scaling"):  # an attention layer
            module.config = own


def arguments(document_ids: torch.Tensor, config: Any, kernel: str, dtype: torch.dtype) -> dict[str, Any]:
    """Arguments of the model's `forward` that limit attention to each document.

    Args:
        document_ids: (b, l) document of each position, -1 on padding.
        config: configuration of the model. With attention other than SDPA, the kernel is `dense`.
        kernel: see the module.
        dtype: of the model.
    """
    chosen = kernel_for(document_ids.device, kernel) if config._attn_implementation == "sdpa" else "dense"
    if chosen == "split":
        return {"documents": Documents(split=spans(document_ids))}
    if chosen == "flex":
        return {"documents": Documents(blocks=_block_mask(document_ids))}
    return {"attention_mask": dense_mask(document_ids, dtype)}


def dense_mask(document_ids: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    """Additive attention mask of packed documents: (b, l) -> (b, 1, l, l).

    0 where a position attends to itself or to an earlier position of its document, else the lowest value of `dtype`.
    OPT refuses a boolean mask on CUDA: with SDPA, `AttentionMaskConverter._unmask_unattended` raises an error. Padding
    attends to padding, so that no row is fully masked.
    """
    allowed = (document_ids[:, :, None] == document_ids[:, None, :]).tril()[:, None]
    return torch.zeros(allowed.shape, dtype=dtype, device=allowed.device).masked_fill_(~allowed, torch.finfo(dtype).min)


@torch.compiler.disable
def spans(document_ids: torch.Tensor) -> list[tuple[int, int, int]]:
    """(row, start, stop) of each document of (b, l) document ids; a stretch of padding counts as a document."""
    length = document_ids.shape[1]
    edges, _ = cu_seqlens(document_ids.cpu().numpy())
    pairs = pairwise(edges.tolist())
    return [(start // length, start % length, stop - start // length * length) for start, stop in pairs]


def attend(
    module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    documents: Documents | None = None,
    dropout: float = 0.0,
    scaling: float | None = None,
    **other: Any,
) -> tuple[torch.Tensor, None]:
    """Attention function of transformers: (b, h, l, d) queries, (b, g, l, d) keys and values -> (b, l, h, d).

    g is h, or a divisor of h with grouped queries. Without `documents` it is SDPA of transformers.

    Raises:
        ConfigError: dropout in the attention with FlexAttention, which has none.
    """
    if documents is None:
        plain: tuple[torch.Tensor, None] = sdpa_attention_forward(
            module, query, key, value, attention_mask, dropout=dropout, scaling=scaling, **other
        )
        return plain
    groups = query.shape[1] // key.shape[1]
    if groups > 1:
        key, value = (states.repeat_interleave(groups, dim=1) for states in (key, value))
    if documents.split is not None:
        return _split(query, key, value, documents.split, dropout, scaling), None
    if dropout:
        raise ConfigError(f"attention=flex has no dropout of attention weights ({dropout}); set attention=dense")
    compiled = _flex(compiled=query.device.type == "cuda")
    return compiled(query, key, value, block_mask=documents.blocks, scale=scaling).transpose(1, 2).contiguous(), None


def _split(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    documents: list[tuple[int, int, int]],
    dropout: float,
    scaling: float | None,
) -> torch.Tensor:
    """(b, l, h, d) attention of each document by itself."""
    parts = [
        scaled_dot_product_attention(
            *(states[row : row + 1, :, start:stop] for states in (query, key, value)),
            dropout_p=dropout, scale=scaling, is_causal=True,
        )
        for row, start, stop in documents
    ]  # fmt: skip
    rows, heads, length, dim = query.shape
    return torch.cat(parts, dim=2)[0].transpose(0, 1).reshape(rows, length, heads, dim)


@cache
def _flex(*, compiled: bool) -> Any:
    from torch.nn.attention.flex_attention import flex_attention

    return torch.compile(flex_attention, dynamic=False) if compiled else flex_attention


@torch.compiler.disable
def _block_mask(document_ids: torch.Tensor) -> Any:
    """The `BlockMask` of (b, l) document ids."""
    from torch.nn.attention.flex_attention import create_block_mask

    def allowed(row: Any, _head: Any, query: Any, key: Any) -> Any:
        return (query >= key) & (document_ids[row, query] == document_ids[row, key])

    rows, length = document_ids.shape
    cuda = document_ids.device.type == "cuda"
    make = cast("Any", create_block_mask)
    return make(allowed, rows, None, length, length, device=document_ids.device, _compile=cuda)


ALL_ATTENTION_FUNCTIONS.register(NAME, attend)
