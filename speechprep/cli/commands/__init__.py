"""Commands for corpora, runs and folders."""
