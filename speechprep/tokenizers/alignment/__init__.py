"""Forced alignment from emissions, and the scores of timed words and of transcripts."""
