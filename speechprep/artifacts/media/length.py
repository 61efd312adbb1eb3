"""True lengths of MP3 and Ogg files from their frames and pages; headers may give an estimate, or the first part."""

from __future__ import annotations

import io
from typing import IO

_MP3_RATES = {3: (44_100, 48_000, 32_000), 2: (22_050, 24_000, 16_000), 0: (11_025, 12_000, 8_000)}
_KBIT_1 = (
    (32, 64, 96, 128, 160, 192, 224, 256, 288, 320, 352, 384, 416, 448),
    (32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384),
    (32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
)
_KBIT_2 = (
    (32, 48, 56, 64, 80, 96, 112, 128, 144, 160, 176, 192, 224, 256),
    (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
    (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
)


def mpeg_seconds(file: IO[bytes]) -> tuple[float, float | None]:
    """Seconds of all MPEG audio frames (ISO 11172-3, section 2.4.2), and seconds of the frames that the header counts.

    Tags and damaged bytes are skipped. A Xing, Info or VBRI header counts frames, delay and padding of the encoder
    among them; None without one.
    """
    file.seek(0)
    stream = io.BufferedReader(file, 1 << 16) if isinstance(file, io.RawIOBase) else file
    head = stream.read(10)
    position = 0
    if head[:3] == b"ID3":
        size = head[6:10]
        position = 10 + (size[0] << 21 | size[1] << 14 | size[2] << 7 | size[3])
    seconds, in_sync = 0.0, False
    stated: float | None = None
    while True:
        stream.seek(position)
        header = stream.read(4)
        if len(header) < 4:
            break
        frame = _mpeg_frame(header)
        if frame is not None and not in_sync:  # bytes of a tag may look like one frame, rarely like two
            stream.seek(position + frame[0])
            following = stream.read(4)
            frame = frame if len(following) == 4 and _mpeg_frame(following) else None
        in_sync = frame is not None
        if frame is None:
            position += 1
            continue
        if not seconds:
            stream.seek(position)
            count = _counted_frames(stream.read(200))
            stated = None if count is None else (count + 1) * frame[1]  # the frame of the header is not counted
        position += frame[0]
        seconds += frame[1]
    if stream is not file:
        stream.detach()  # type: ignore[attr-defined]
    return seconds, stated


def _counted_frames(frame: bytes) -> int | None:
    """Number of frames after the first one, by its Xing, Info or VBRI header."""
    for tag, offset in ((b"Xing", 8), (b"Info", 8), (b"VBRI", 14)):
        at = frame.find(tag)
        if at >= 0 and (tag == b"VBRI" or frame[at + 7] & 1):  # flag 1: the number of frames is given
            return int.from_bytes(frame[at + offset : at + offset + 4])
    return None


def _mpeg_frame(header: bytes) -> tuple[int, float] | None:
    """(bytes, seconds) of a frame by its header; None for other bytes."""
    if header[0] != 0xFF or header[1] & 0xE0 != 0xE0:
        return None
    version, layer = header[1] >> 3 & 3, 3 - (header[1] >> 1 & 3)  # layer 0, 1, 2 for I, II, III
    index, rate_index, padding = header[2] >> 4, header[2] >> 2 & 3, header[2] >> 1 & 1
    if version == 1 or layer == 3 or index in (0, 15) or rate_index == 3:
        return None
    rate = _MP3_RATES[version][rate_index]
    bits = 1000 * (_KBIT_1 if version == 3 else _KBIT_2)[layer][index - 1]
    if layer == 0:
        return 4 * (12 * bits // rate + padding), 384 / rate
    samples = 576 if layer == 2 and version != 3 else 1152
    return samples // 8 * bits // rate + padding, samples / rate


def is_chained_ogg(file: IO[bytes]) -> bool:
    """True if a further stream begins after the end of the first (RFC 3533, section 4: chaining)."""
    file.seek(0)
    has_data, position = False, 0
    while True:
        file.seek(position)
        page = file.read(27)
        if len(page) < 27 or page[:4] != b"OggS":
            return False
        begins = bool(page[5] & 2)
        if begins and has_data:
            return True
        has_data |= not begins
        segments = file.read(page[26])
        position += 27 + len(segments) + sum(segments)
