"""A package of somebody else, which adds to speechprep by entry points alone."""
