"""Duplicates of audio and text: fingerprints, candidate pairs by locality-sensitive hashing, and groups."""
