"""Forced alignment of token emissions (CTC, WhisperX), plausibility of word times, and scores of transcripts."""
