"""speechprep: folders of speech into training data for models that read and hear."""

__version__ = "0.1.0"
