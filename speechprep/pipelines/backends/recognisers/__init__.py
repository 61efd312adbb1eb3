"""Recognisers: audio to text, without word times."""
