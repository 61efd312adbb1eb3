"""Cards (README.md) of datasets and runs, in the form of the Hugging Face hub."""
