"""Aligners: audio and perhaps its transcript -> timed words."""
