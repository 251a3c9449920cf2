"""`meld-lightning train`: one run, or with --multirun a sweep of runs. A finished run is read, not
repeated."""

from collections.abc import Sequence

from omegaconf import DictConfig

from meld_lightning.commands.hydra_app import run_hydra


def main(arguments: Sequence[str]) -> None:
    """Runs the command."""
    run_hydra("train", run, arguments)


def run(cfg: DictConfig) -> None:
    """Trains or reads the run, and prints its val score."""
    from meld_lightning.runs.val_score import show_val_score
    from meld_lightning.training.train import train

    found = train(cfg)
    if found is not None:  # None on every rank but 0
        show_val_score(found)
