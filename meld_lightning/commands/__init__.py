"""The commands of the console script: `cli` finds one, `hydra_app` composes its config."""
