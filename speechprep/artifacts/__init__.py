"""Data on disk: datasets, artifacts, runs, media files, and storage. Declared schemas, the time base, shards,
manifests, codebook, index, audio, storage."""
