"""The convolutional front end of models like wav2vec 2.0 base in slices: a sixth of the memory for 30 s of audio.

The output of the first layer is the largest array of the model (512 channels at 3.2 kHz: 197 MB for 30 s). Its
GroupNorm runs over time, with one group for each channel. So the layer runs twice: first on some channels at a time,
for the mean and deviation of each channel. Then slices of time run through the normalisation and all other layers.
All slices have one size, and the last overlaps the previous one: oneDNN compiles and stores a kernel for each size.

Short audio runs without slices. At the sizes of the published models the frames are bit-identical to the plain front
end; at other sizes they agree up to float noise.
"""

from __future__ import annotations

import math
from typing import Any

CHANNELS = 16  # channels in one computation of mean and deviation
FRAMES = 64  # output frames of a slice


def make_lean(front: Any) -> bool:
    """Replace `forward` of a Wav2Vec2FeatureEncoder by one in slices; False for a front end of another kind."""
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
        """Factor and summand of the norm for each channel of the first layer, (channels, 1) each."""
        weight, bias = first.conv.weight, first.conv.bias
        means, rates = [], []
        for start in range(0, norm.num_channels, CHANNELS):
            part = slice(start, start + CHANNELS)
            x = torch.nn.functional.conv1d(sound, weight[part], None if bias is None else bias[part], strides[0])
            some = x.shape[1]
            _, mean, rate = torch.native_group_norm(x, None, None, 1, some, count, some, norm.eps)
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
        output = sound.new_empty((1, layers[-1].conv.out_channels, frames))
        for begin in range(0, frames, FRAMES):
            start = min(begin, frames - FRAMES)
            stop = start + FRAMES
            last = (stop - 1) * stride + field - 1  # output of the first layer
            hidden = first.conv(sound[:, :, start * stride * strides[0] : last * strides[0] + kernels[0]])
            hidden = first.activation(torch.addcmul(shift, hidden, scale, out=hidden))
            for layer in rest:
                hidden = layer(hidden)
            output[:, :, start:stop] = hidden
        return output

    front.forward = forward
    return True
