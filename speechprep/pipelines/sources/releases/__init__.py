"""Input dialects of published corpora as they unpack."""
