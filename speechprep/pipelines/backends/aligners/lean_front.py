"""The convolutional front end of wav2vec 2.0 base and its kin in slices, so that 30 s of audio take half the memory.

The first layer's GroupNorm has one group for each channel and runs over all of the time, so its output (512 channels at
3.2 kHz: 197 MB for 30 s) is held once, and normalised and activated where it lies. All other layers see a few samples
each and are run on slices of time. Short audio goes through whole: slices of a few frames would be rounded otherwise.
At the sizes of the published models the frames are bit for bit those of the plain front end, at others to float noise.
"""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Any

CHANNELS = 64  # normalised at once
SAMPLES = 8192  # outputs of the first layer made at once
FRAMES = 128  # of the front end made at once


def make_lean(front: Any) -> bool:
    """Let a front end of transformers (Wav2Vec2FeatureEncoder) run in slices; False where it is of another kind."""
    import torch

    layers = list(getattr(front, "conv_layers", ()))
    norm = getattr(layers[0], "layer_norm", None) if layers else None
    if not isinstance(norm, torch.nn.GroupNorm) or norm.num_groups != norm.num_channels:
        return False
    if any(getattr(layer, "layer_norm", None) is not None for layer in layers[1:]):
        return False
    first, rest = layers[0], layers[1:]
    kernels, strides = zip(*((layer.conv.kernel_size[0], layer.conv.stride[0]) for layer in layers), strict=True)
    stride = math.prod(strides[1:])
    field = 1 + sum((kernel - 1) * math.prod(strides[1:i]) for i, kernel in enumerate(kernels) if i)

    plain = front.forward

    def forward(values: Any) -> Any:
        """(1, samples) -> (1, channels, frames)."""
        count = (values.shape[1] - kernels[0]) // strides[0] + 1
        frames = (count - field) // stride + 1
        if frames < 2 * FRAMES:
            return plain(values)
        sound = values[:, None]
        made = sound.new_empty((len(sound), norm.num_channels, count))
        for start, stop in pairwise([*range(0, count - SAMPLES + 1, SAMPLES), count]):
            made[:, :, start:stop] = first.conv(sound[:, :, start * strides[0] : (stop - 1) * strides[0] + kernels[0]])
        for start in range(0, norm.num_channels, CHANNELS):
            part = slice(start, start + CHANNELS)
            weight, bias = norm.weight[part], norm.bias[part]
            normed = torch.nn.functional.group_norm(made[:, part], len(weight), weight, bias, norm.eps)
            made[:, part] = first.activation(normed)
        parts = []
        starts = range(0, frames - FRAMES + 1, FRAMES)
        for start, stop in pairwise([*starts, frames]):  # the last takes what is left, so none is short
            hidden = made[:, :, start * stride : (stop - 1) * stride + field]
            for layer in rest:
                hidden = layer(hidden)
            parts.append(hidden)
        return torch.cat(parts, dim=2)

    front.forward = forward
    return True
