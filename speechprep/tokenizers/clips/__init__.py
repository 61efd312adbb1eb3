"""Clips of N words: their word ranges within a transcript, and their pairing with other clips."""
