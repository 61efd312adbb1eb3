"""Image codecs: pictures to sequences of codes."""
