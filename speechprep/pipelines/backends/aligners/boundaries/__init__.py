"""Corrections of word boundaries for an aligner: the artifact `boundaries`, and its use on search results."""
