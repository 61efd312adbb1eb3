"""Interleaving of words and units into token rows (unit, text, CST, AST), and the exact inverse."""
