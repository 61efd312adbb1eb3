"""Input dialects with a list of recordings in a file: JSON Lines, tables, Parquet, lhotse."""
