"""K-means: fitting centroids to frames that need not fit in memory, and the nearest centroid of each frame."""
