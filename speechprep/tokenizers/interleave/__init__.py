"""Interleaving of words and units into token rows (unit, text, CST, AST), and its exact inverse."""
