"""Context retrieval accuracy: candidates, likelihoods of a model, oracles, accuracy with its interval."""
