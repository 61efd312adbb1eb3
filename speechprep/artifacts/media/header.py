"""The headers of plain PCM WAV and of FLAC, read without a library: most speech is stored so, and asking costs little.

Only headers in which everything agrees are answered; whatever is unusual is libsndfile's to judge.
"""

from __future__ import annotations

import struct

Header = tuple[int, int, int]  # frames, rate in Hz, channels

_WAV = struct.Struct("<4sI4s4sIHHIIHH4sI")
_FLAC = struct.Struct(">4sIHH3s3sQ16s")
_PCM_BITS = (8, 16, 24, 32)
_FLAC_BITS = (8, 16, 24)  # libsndfile opens no FLAC of 32 bits
_STREAMINFO = (0x00000022, 0x80000022)  # block type 0, 34 bytes; the last metadata block or not


def plain_header(head: bytes, size: int) -> Header | None:
    """Frames, rate and channels of a file of `size` bytes that starts with `head`; None: ask a library."""
    if head.startswith(b"RIFF"):
        return _wav(head, size)
    return _flac(head) if head.startswith(b"fLaC") else None


def _wav(head: bytes, size: int) -> Header | None:
    """Microsoft's canonical 44 bytes with integer samples."""
    if len(head) < _WAV.size:
        return None
    _, riff, wave, fmt, fmt_size, tag, channels, rate, byte_rate, align, bits, data, data_size = _WAV.unpack_from(head)
    plain = (wave, fmt, fmt_size, tag, data) == (b"WAVE", b"fmt ", 16, 1, b"data") and bits in _PCM_BITS
    if not plain or not channels or align != channels * bits // 8 or byte_rate != rate * align:
        return None
    if not data_size or data_size % align or not _WAV.size + data_size <= riff + 8 <= size:
        return None
    return data_size // align, rate, channels


def _flac(head: bytes) -> Header | None:
    """The STREAMINFO block, if it states the length (RFC 9639, section 8.2)."""
    if len(head) < _FLAC.size:
        return None
    _, block, smallest, largest, _, _, packed, _ = _FLAC.unpack_from(head)
    # 20 bits of rate, 3 of channels - 1, 5 of bits - 1, 36 of samples.
    rate, channels, bits, frames = packed >> 44, (packed >> 41 & 7) + 1, (packed >> 36 & 31) + 1, packed & (1 << 36) - 1
    if block not in _STREAMINFO or not 16 <= smallest <= largest or bits not in _FLAC_BITS or not frames or not rate:
        return None
    return frames, rate, channels
