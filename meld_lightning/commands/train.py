"""`meld-lightning train`: one run, or with --multirun a sweep of runs. A finished run is read, not
repeated."""

from collections.abc import Sequence

from omegaconf import DictConfig

from meld_lightning.commands.hydra_app import run_hydra


def main(arguments: Sequence[str]) -> None:
    """Runs the command."""
    run_hydra("train", run, arguments)


def run(cfg: DictConfig) -> None:
    """Trains or reads the run, and prints its scores."""
    from meld_lightning.training.train import train

    found = train(cfg)
    if found is None:  # on every rank but 0
        return
    best, test = found.result.best, found.result.metrics["test"]
    print(
        f"{found.folder}: {best['monitor']} {best['value']:.4f} (epoch {best['epoch']}), test"
        f" weighted F1 {test['weighted_f1']:.4f}, accuracy {test['accuracy']:.4f}"
    )
