"""Nouns: what lies on disk. Declared schemas, the time base, shards, manifests, codebook, index, audio, storage."""
