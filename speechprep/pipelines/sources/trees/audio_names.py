"""Names of audio files."""

from __future__ import annotations

import re

AUDIO_SUFFIXES = re.compile(
    r".*\.(wav|wave|flac|mp[123]|mpga|ogg|oga|opus|aac|aif|aiff|aifc|au|snd|caf|w64|rf64|sph|wma|amr|voc|gsm"
    r"|mp4|m4a|m4b|m4v|3gp|3g2|mov|mkv|mka|webm|avi|flv|mpg|mpeg|wmv|asf)",
    re.IGNORECASE | re.DOTALL,
)


def is_audio(name: str) -> bool:
    """True for names with the suffix of an audio file, in any case."""
    return AUDIO_SUFFIXES.fullmatch(name) is not None
