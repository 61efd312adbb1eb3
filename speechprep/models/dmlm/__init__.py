"""DMLM: an OPT decoder over text, speech codes and image codes (arXiv 2406.06582)."""
