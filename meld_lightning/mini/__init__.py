"""The embedded corpus and its checkpoints, written by the project itself. Nothing here knows of
runs or reports."""
