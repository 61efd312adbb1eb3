"""Measures of a recording: effective bandwidth, clipping, and the ratio of speech and noise."""
