"""DMLM: an OPT decoder that also reads and writes codes of speech and of images (arXiv 2406.06582)."""
