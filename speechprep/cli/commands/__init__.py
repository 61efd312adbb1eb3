"""Commands on corpora, runs and folders."""
