"""Stages `fingerprint` and `dedup`: marks of exact and near duplicates of audio and text across the corpus."""
