"""CMU-MOSEI: reader of the files of its SDK, and the scores of sentiment and emotions."""
