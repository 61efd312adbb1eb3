"""The convolutional front end of wav2vec 2.0 base and its kin in slices, so that 30 s take a sixth of the memory.

The first layer's output is the largest thing in the model (512 channels at 3.2 kHz: 197 MB for 30 s), and its GroupNorm
runs over all of the time, with one group for each channel. So the layer is run twice: some channels at a time for the
mean and deviation of each, then on slices of time that go through the normalisation and all other layers. All slices
are of one size, the last begins within the one before: a new size would let oneDNN compile anew, and keep it.

Short audio goes through whole. At the sizes of the published models the frames are bit for bit those of the plain front
end, at others to float noise.
"""

from __future__ import annotations

import math
from typing import Any

CHANNELS = 16  # whose mean and deviation are taken at once
FRAMES = 64  # of the front end made at once


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

    def affine(sound: Any, count: int) -> tuple[Any, Any]:
        """What the norm multiplies each channel of the first layer by, and then adds; (channels, 1) each."""
        weight, bias = first.conv.weight, first.conv.bias
        means, rates = [], []
        for start in range(0, norm.num_channels, CHANNELS):
            part = slice(start, start + CHANNELS)
            made = torch.nn.functional.conv1d(sound, weight[part], None if bias is None else bias[part], strides[0])
            some = made.shape[1]
            _, mean, rate = torch.native_group_norm(made, None, None, 1, some, count, some, norm.eps)
            means.append(mean[0])
            rates.append(rate[0])
        scale = torch.cat(rates) * norm.weight
        shift = torch.addcmul(norm.bias, -scale, torch.cat(means))  # rounded once, as in the norm itself
        return scale[:, None], shift[:, None]

    def forward(values: Any) -> Any:
        """(1, samples) -> (1, channels, frames)."""
        count = (values.shape[1] - kernels[0]) // strides[0] + 1
        frames = (count - field) // stride + 1
        if frames < 2 * FRAMES:
            return plain(values)
        sound = values[:, None]
        scale, shift = affine(sound, count)
        found = sound.new_empty((1, layers[-1].conv.out_channels, frames))
        for begin in range(0, frames, FRAMES):
            start = min(begin, frames - FRAMES)
            stop = start + FRAMES
            last = (stop - 1) * stride + field - 1  # output of the first layer
            hidden = first.conv(sound[:, :, start * stride * strides[0] : last * strides[0] + kernels[0]])
            hidden = first.activation(torch.addcmul(shift, hidden, scale, out=hidden))
            for layer in rest:
                hidden = layer(hidden)
            found[:, :, start:stop] = hidden
        return found

    front.forward = forward
    return True
