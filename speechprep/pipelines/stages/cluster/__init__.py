"""Stage `cluster`: k-means over sampled frames, with its quality report and acceptance gate."""
