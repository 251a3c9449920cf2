"""The page of a study's results: one HTML file that works from disk, without a network."""
