"""Teach me with a Whisper: a BERT distilled from Whisper's mean vectors of the same speech (arXiv 2311.07014)."""
