"""The convolutional front end of HuBERT and its kin over a padded batch, as exact as over each utterance alone.

In the base models the first convolution is followed by a GroupNorm with one group for each channel, whose statistics
run over time. With padding they would run over the padding too, and every frame of a padded utterance would be another
one (a mask given to the attention cannot mend that). Here they see the frames of the true length only. The other
layers look at no frame beyond their kernel, and convolve without padding.
"""

from __future__ import annotations

from typing import Any


def front_end(layers: Any, audio: Any, kernels: list[int], strides: list[int], lengths: Any | None) -> Any:
    """Audio (batch, samples) through the convolutions: (batch, channels, frames).

    Args:
        layers: `feature_extractor.conv_layers` of the model.
        audio: padded with zeros at the end.
        kernels: of each layer, samples.
        strides: of each layer, samples.
        lengths: (batch,) true samples of each item; None where nothing is padded.
    """
    import torch

    x = audio[:, None]
    for i, layer in enumerate(layers):
        norm = getattr(layer, "layer_norm", None)
        if lengths is not None and isinstance(norm, torch.nn.GroupNorm):
            counts = lengths
            for kernel, stride in zip(kernels[: i + 1], strides[: i + 1], strict=True):
                counts = (counts - kernel) // stride + 1
            x = layer.activation(masked_group_norm(layer.conv(x), counts, norm))
        else:
            x = layer(x)
    return x


def masked_group_norm(x: Any, counts: Any, norm: Any) -> Any:
    """GroupNorm with a group for each channel over the first `counts[i]` frames of item i; x (batch, channels, frames).

    Mean and (population) variance in fp32, as `torch.nn.functional.group_norm` keeps them for half precision.
    """
    import torch

    inside = (torch.arange(x.shape[2], device=x.device) < counts[:, None])[:, None]
    n = counts[:, None, None].float()
    wide = x.float()
    mean = (wide * inside).sum(2, keepdim=True) / n
    centred = wide - mean
    variance = (centred * inside).square_().sum(2, keepdim=True) / n
    # In place: this is the largest array of the whole model.
    centred.mul_(torch.rsqrt(variance + norm.eps)).mul_(norm.weight.float()[:, None]).add_(norm.bias.float()[:, None])
    return centred.to(x.dtype)
