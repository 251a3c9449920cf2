"""Training: one run from config to result."""
