"""Quantizers: frames to centroids."""
