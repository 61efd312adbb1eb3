"""K-means clustering of frames larger than memory, and the nearest centroid of each frame."""
