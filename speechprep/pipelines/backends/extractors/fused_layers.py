"""Transformer encoder layers with few passes over memory, in any precision, on the weights of a transformers model.

Query, key and value are one product. Sums and norms stay in fp32, and their results are rounded once for the matrix
products. The result equals the layers of transformers up to rounding (about 1e-6 in fp32), not bit for bit.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from speechprep.pipelines.backends.extractors.gemm_front import Norm


@dataclass(frozen=True)
class _Product:
    weight: Any
    bias: Any

    def __call__(self, x: Any) -> Any:
        from torch.nn.functional import linear

        return linear(x, self.weight, self.bias)


@dataclass(frozen=True)
class _EncoderLayer:
    qkv: _Product
    out: _Product
    up: _Product
    down: _Product
    first: Norm
    second: Norm


class FusedLayers:
    """Layers of HuBERT, wav2vec 2.0 (and XLS-R) or Whisper's encoder, in one precision.

    Args:
        layers: encoder layers of the transformers model.
        heads: attention heads.
        norm_first: True for pre-normalisation (norm before attention and feed-forward), False for post-normalisation.
        dtype: precision of the matrix products.
    """

    def __init__(self, layers: Any, *, heads: int, norm_first: bool, dtype: Any) -> None:
        self.heads, self.norm_first, self.dtype = heads, norm_first, dtype
        self._layers = [self._prepared(layer) for layer in layers]

    def _prepared(self, layer: Any) -> _EncoderLayer:
        import torch

        def product(*linears: Any) -> _Product:
            weight = torch.cat([x.weight for x in linears])
            # The keys of Whisper have no bias.
            bias = torch.cat([x.weight.new_zeros(len(x.weight)) if x.bias is None else x.bias for x in linears])
            return _Product(weight.to(self.dtype), bias.to(self.dtype))

        whisper = hasattr(layer, "self_attn")
        attention = layer.self_attn if whisper else layer.attention
        forward = layer if whisper else layer.feed_forward
        return _EncoderLayer(
            qkv=product(attention.q_proj, attention.k_proj, attention.v_proj),
            out=product(attention.out_proj),
            up=product(forward.fc1 if whisper else forward.intermediate_dense),
            down=product(forward.fc2 if whisper else forward.output_dense),
            first=Norm.of(layer.self_attn_layer_norm if whisper else layer.layer_norm),
            second=Norm.of(layer.final_layer_norm),
        )

    def __call__(self, x: Any, inside: Any | None) -> Any:
        """Input (batch, frames, dim) fp32 of the first layer -> output of the last; the input is overwritten.

        Args:
            x: the input.
            inside: (batch, frames) False for padding; None if there is no padding.
        """
        mask = None
        if inside is not None:  # added to the attention scores: queries attend to the keys of their item only
            mask = x.new_zeros(inside.shape, dtype=self.dtype).masked_fill_(~inside, float("-inf"))
            mask = mask[:, None, None].expand(-1, 1, x.shape[1], -1)
        for layer in self._layers:
            x = self._step(layer, x, mask)
        return x

    def _step(self, layer: _EncoderLayer, x: Any, mask: Any | None) -> Any:
        import torch

        x = x.add_(self._attention(layer, layer.first.over_last(x) if self.norm_first else x, mask))
        x = x if self.norm_first else layer.first.over_last(x)
        hidden = layer.second.over_last(x) if self.norm_first else x
        x = x.add_(layer.down(torch.ops.aten.gelu_(layer.up(hidden.to(self.dtype)))))
        return x if self.norm_first else layer.second.over_last(x)

    def _attention(self, layer: _EncoderLayer, x: Any, mask: Any | None) -> Any:
        from torch.nn.functional import scaled_dot_product_attention

        batch, frames, dim = x.shape
        qkv = layer.qkv(x.to(self.dtype)).view(batch, frames, 3, self.heads, dim // self.heads)
        query, key, value = qkv.permute(2, 0, 3, 1, 4)
        attended = scaled_dot_product_attention(query, key, value, attn_mask=mask)
        return layer.out(attended.transpose(1, 2).reshape(batch, frames, dim))
