"""Our Hydra launchers; Hydra looks for them in `hydra_plugins` and nowhere else."""
