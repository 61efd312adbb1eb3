"""English text as spoken words: numbers, abbreviations, units of measure, and the sounds of unknown words."""
