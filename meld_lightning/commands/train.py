"""`meld-lightning train`: one run, or with --multirun a sweep of them. A finished run is read, not
run again."""

import os
from collections.abc import Sequence

from omegaconf import DictConfig

from meld_lightning.commands.hydra_app import run_hydra


def main(arguments: Sequence[str]) -> None:
    """Runs the command."""
    run_hydra("train", run, arguments)


def run(cfg: DictConfig) -> None:
    """One run; its figures are printed."""
    from meld_lightning.runs.run import find_run, identify

    found = (
        None if "RANK" in os.environ else find_run(identify(cfg))
    )  # ranks of one run have to agree on it
    if found is not None and "no_loggers" not in str(cfg.logger):
        print(f"{found.folder}: finished before, and not logged again")
    if found is None:  # only now the heavy imports
        from meld_lightning.training.fit import train

        found = train(cfg)
    if found is None:  # a rank that is not the first
        return
    best, test = found.result["best"], found.result["metrics"]["test"]
    print(
        f"{found.folder}: {best['monitor']} {best['value']:.4f} (epoch {best['epoch']}), test"
        f" weighted F1 {test['weighted_f1']:.4f}, accuracy {test['accuracy']:.4f}"
    )
