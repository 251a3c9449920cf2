"""Finds out whether this machine can run a study, and how long that will take."""
