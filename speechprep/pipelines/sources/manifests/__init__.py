"""Input dialects that list recordings in a file: JSON Lines, tables, Parquet, lhotse."""
