"""Loggers that watch a run, and the dashboards made of what they logged."""
