"""The jobs of a sweep, run side by side: on this machine (`local`) or as an array of Slurm jobs
(`slurm`)."""
