"""Spoken forms of written English: numbers, symbols, abbreviations and initials; pronunciations of unknown words."""
