"""Nouns: what lies on disk. Records with declared schemas, the time base, shards, manifests, codebook, index, storage."""
