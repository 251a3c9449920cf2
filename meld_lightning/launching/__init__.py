"""Launchers: run the jobs of a sweep in parallel, on this machine or as an array of Slurm jobs."""
