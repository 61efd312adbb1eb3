"""Extractors: audio to one feature vector for each frame."""
