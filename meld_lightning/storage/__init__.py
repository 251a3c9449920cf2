"""What every room uses to keep files: atomic writes, fingerprints and digests, making something
once under a lock, and arrays cached on disk. Knows nothing of corpora, models or runs."""
