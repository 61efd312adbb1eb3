"""Minimal pairs: BLiMP and the BabyLM supplement, scored by the likelihood of whole sentences."""
