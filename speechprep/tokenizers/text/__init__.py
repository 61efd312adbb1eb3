"""Written text of any language: markup, scripts, numbers, romanisation, and the units of error rates."""
