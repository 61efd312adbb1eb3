"""Stage `index`: audio embeddings and a FAISS retrieval index, with measured recall."""
