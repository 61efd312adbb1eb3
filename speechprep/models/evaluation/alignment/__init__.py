"""Accuracy of word times: references from TextGrid, CTM or a dataset, boundary errors, and their intervals."""
