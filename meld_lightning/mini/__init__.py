"""The mini corpus and its checkpoints, which the project generates itself, so that everything runs
without a download. Knows nothing of runs or reports."""
