"""SUTLM: one decoder over speech units and text (arXiv 2310.08715)."""
