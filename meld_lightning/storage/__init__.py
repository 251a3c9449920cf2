"""Storage: atomic writes, digests and memory-mapped arrays. Knows nothing of corpora or models."""
