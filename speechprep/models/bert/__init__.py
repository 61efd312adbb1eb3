"""BERT: a text encoder trained by masked language modelling (arXiv 1810.04805)."""
