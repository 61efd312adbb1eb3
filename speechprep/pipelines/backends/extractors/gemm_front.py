"""Convolutions of HuBERT-like models as matrix products over a padded batch, with the frames of each utterance alone.

A convolution of kernel k and stride s over rows of C values is a sum of ceil(k / s) matrix products of rows of s * C
values. These rows are adjacent in memory, so nothing is unfolded, and nothing is transposed between the layers.

In the base models a GroupNorm over time follows the first convolution, with one group for each channel. Statistics over
a padded utterance would include the padding and change every frame; an attention mask does not correct this. Here mean
and variance of a channel follow from the samples under the kernel w. Its output w.u has the mean w.E[u] and the
variance w.Cov(u).w, over the windows u of the utterance and in float64. So the norm is one factor of the kernel for
each utterance and needs no pass over the largest array of the model. The other layers use no frame beyond their kernel.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Norm:
    """Weights (channels,) of a norm, in fp32."""

    weight: Any
    bias: Any
    eps: float

    @classmethod
    def of(cls, module: Any) -> Norm:
        """From a LayerNorm or GroupNorm."""
        return cls(module.weight.float(), module.bias.float(), module.eps)

    def over_last(self, x: Any, dtype: Any | None = None) -> Any:
        """LayerNorm of x (..., channels), with the weights rounded to `dtype` if it is set."""
        from torch.nn.functional import layer_norm

        weight, bias = (self.weight, self.bias) if dtype is None else (self.weight.to(dtype), self.bias.to(dtype))
        return layer_norm(x, weight.shape, weight, bias, self.eps)


@dataclass(frozen=True)
class _Convolution:
    parts: list[Any]  # of the kernel, each (up to s * C, channels): for the row itself, then for the following rows
    bias: Any | None
    norm: Norm | None


class GemmFront:
    """The convolutional feature encoder of a transformers model with GELU, in one precision.

    Args:
        layers: `feature_extractor.conv_layers` of the model, in fp32.
        kernels: kernel size of each layer, in frames of its input.
        strides: stride of each layer, in frames of its input.
        dtype: precision of the matrix products.
    """

    def __init__(self, layers: Any, kernels: list[int], strides: list[int], dtype: Any) -> None:
        import torch

        self.kernels, self.strides, self.dtype = list(kernels), list(strides), dtype
        first = layers[0]
        self._kernel = first.conv.weight[:, 0].double()  # (channels, k)
        self._bias = None if first.conv.bias is None else first.conv.bias.float()
        norm = getattr(first, "layer_norm", None)
        self._over_time = isinstance(norm, torch.nn.GroupNorm)
        self._norm = None if norm is None else Norm.of(norm)
        self._layers = [self._prepared(layer, s) for layer, s in zip(layers[1:], strides[1:], strict=True)]

    def _prepared(self, layer: Any, stride: int) -> _Convolution:
        weight = layer.conv.weight.to(self.dtype)  # (out, in, k)
        kernel = weight.shape[2]
        rows = weight.permute(2, 1, 0).reshape(-1, weight.shape[0])  # (k * in, out)
        step = stride * weight.shape[1]
        parts = [rows[i : i + step].contiguous() for i in range(0, kernel * weight.shape[1], step)]
        norm = getattr(layer, "layer_norm", None)
        bias = None if layer.conv.bias is None else layer.conv.bias.to(self.dtype)
        return _Convolution(parts, bias, None if norm is None else Norm.of(norm))

    def samples(self, longest: int) -> int:
        """Padded length in samples of a batch, from its longest item."""
        last = 1
        for stride in self.strides[1:]:
            last *= stride
        first = (longest - self.kernels[0]) // self.strides[0] + 1
        rows = -(-first // last)  # so that the frames of the item use its rows only
        rows = -(-rows // 8) * 8  # attention is fast for multiples of 8
        return (rows * last - 1) * self.strides[0] + self.kernels[0]

    def __call__(self, audio: Any, lengths: Any) -> Any:
        """Audio (batch, `samples(longest)`), padded with zeros, and its lengths (batch,) -> (batch, rows, channels).

        Rows after the frames of an item are finite but undefined.
        """
        x = self._first(audio, lengths)
        batch, rows, channels = x.shape
        x = x.reshape(batch * rows, channels)
        for layer, stride in zip(self._layers, self.strides[1:], strict=True):
            x = self._convolved(x.view(-1, stride * x.shape[1]), layer)
        return x.view(batch, -1, x.shape[1])

    def _first(self, audio: Any, lengths: Any) -> Any:
        """(batch, rows, channels) of the first layer."""
        import torch
        from torch.nn.functional import pad

        kernel, stride = self.kernels[0], self.strides[0]
        windows = audio.unfold(1, kernel, stride)
        if self._over_time and self._norm is not None:
            counts = (lengths - kernel) // stride + 1
            inside = (torch.arange(windows.shape[1], device=audio.device) < counts[:, None])[..., None]
            n = counts[:, None, None].double()
            wide = windows.double() * inside
            centred = (wide - wide.sum(1, keepdim=True) / n) * inside
            covariance = centred.transpose(1, 2) @ centred / n
            # The bias of the convolution is part of the mean, so it cancels.
            variance = ((self._kernel @ covariance) * self._kernel).sum(2).clamp_min(0)  # (batch, channels)
            scale = self._norm.weight * torch.rsqrt(variance + self._norm.eps)
            weight = self._kernel.T * scale[:, None]  # (batch, k, channels)
            bias, windows = self._norm.bias, centred
        else:
            weight, bias = self._kernel.T.expand(len(audio), -1, -1), self._bias
        if bias is not None:  # as the weight of one more sample with the value 1
            windows = pad(windows, (0, 1), value=1.0)
            weight = torch.cat([weight, bias.double().expand(len(audio), 1, -1)], 1)
        short = -weight.shape[1] % 8  # rows of whole processor vectors
        x = torch.bmm(pad(windows.to(self.dtype), (0, short)), pad(weight.to(self.dtype), (0, 0, 0, short)))
        if self._norm is not None and not self._over_time:
            x = self._norm.over_last(x, self.dtype)
        return torch.ops.aten.gelu_(x)

    def _convolved(self, rows: Any, layer: _Convolution) -> Any:
        """Rows (n, stride * channels) -> (n, channels); the last rows of an item mix with the next item."""
        import torch

        first, *more = layer.parts
        y = rows @ first if layer.bias is None else torch.addmm(layer.bias, rows, first)
        for i, part in enumerate(more, 1):
            y[:-i].addmm_(rows[i:, : len(part)], part)
        if layer.norm is not None:
            y = layer.norm.over_last(y, self.dtype)
        return torch.ops.aten.gelu_(y)


def exact_front(layers: Any, audio: Any, *, quick: bool) -> Any:
    """Unpadded audio (batch, samples) through the convolutions of the model: (batch, channels, frames), bit-identical.

    Args:
        layers: `feature_extractor.conv_layers` of the model.
        audio: items of one length.
        quick: fp32 on a CPU with GELU. The first convolution sums ten products; a matrix product gives the same bits in
            half the time. Activations are computed in place, without a copy of the largest arrays.
    """
    import torch

    x = audio[:, None]
    for layer in layers:
        conv, norm = layer.conv, getattr(layer, "layer_norm", None)
        if quick and conv.in_channels == 1 and conv.bias is None:
            windows = audio.unfold(1, conv.kernel_size[0], conv.stride[0])
            x = torch.matmul(conv.weight[:, 0], windows.transpose(1, 2))
        else:
            x = conv(x)
        if isinstance(norm, torch.nn.LayerNorm):
            x = norm(x.transpose(1, 2)).transpose(1, 2)
        elif norm is not None:
            x = norm(x)
        x = torch.ops.aten.gelu_(x) if quick else layer.activation(x)
    return x
