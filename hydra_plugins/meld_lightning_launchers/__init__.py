"""Our Hydra launchers. Hydra looks for plugins in `hydra_plugins` and nowhere else."""
