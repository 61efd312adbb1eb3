"""WordPiece vocabularies of BERT (arXiv 1810.04805): training with the same bytes each time, files, and encoding."""
