"""Studies: which tables one report has, and which runs they need."""
