"""Reading finished folders: decoding token rows, and verifying checksums, schemas and cross-references."""
