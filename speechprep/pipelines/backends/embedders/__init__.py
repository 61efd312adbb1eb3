"""Embedders: sounds and sentences to vectors of one space."""
