"""Streams of rows, one for each kind of source: packed, fitted or running documents."""
