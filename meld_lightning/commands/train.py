"""`meld-lightning train`: one run, or with --multirun a sweep of them. A finished run is read, not run again."""

import sys
from collections.abc import Sequence

from omegaconf import DictConfig, OmegaConf

from meld_lightning.commands import exit_status, run_hydra


def main(arguments: Sequence[str]) -> None:
    """Runs the command."""
    run_hydra("train", _train, arguments)


def _train(cfg: DictConfig) -> None:
    from meld_lightning.runs import find_run, identify

    run = find_run(identify(cfg))
    if run is None:  # only now the heavy imports
        from meld_lightning.training import train

        run = train(cfg)
    test = run.result["metrics"]["test"]
    print(
        f"{run.folder}: {run.result['best']['monitor']} {run.result['best']['value']:.4f} (epoch"
        f" {run.result['best']['epoch']}), test weighted F1 {test['weighted_f1']:.4f}, accuracy {test['accuracy']:.4f}"
    )


def _train_from(file: str) -> None:
    cfg = OmegaConf.load(file)
    assert isinstance(cfg, DictConfig)
    _train(cfg)


if __name__ == "__main__":  # how a launcher starts a job: from the config that it composed and checked
    sys.exit(exit_status(lambda: _train_from(sys.argv[1])))
