"""What one process of a job runs: a command, with a config that the launcher composed and checked.

The local launcher starts it as `python -m meld_lightning.launching.job COMMAND FILE`; within a
Slurm job `launching.slurm_task` calls `run_job`.
"""

import sys

from omegaconf import DictConfig, OmegaConf

from meld_lightning.launching.exits import exit_status
from meld_lightning.runs.val_score import show_val_score
from meld_lightning.tracking.console import show_messages
from meld_lightning.training.signals import stop_request


def run_job(command: str, file: str) -> None:
    """Runs `command` (train, fuse or prepare) with the config in `file`."""
    from hydra import initialize_config_dir

    from meld_lightning.config.tree import conf_dir

    cfg = OmegaConf.load(file)
    assert isinstance(cfg, DictConfig)
    with initialize_config_dir(str(conf_dir()), version_base="1.3"):
        _run(command, cfg)


def _run(command: str, cfg: DictConfig) -> None:
    if command == "prepare":
        from meld_lightning.study.preparation import prepare_study

        stop_request().raise_if_asked()
        prepare_study(cfg)
        return
    if command == "train":
        from meld_lightning.training.train import train

        run = train(cfg)
    else:
        from meld_lightning.fusion.fuse import fuse
        from meld_lightning.training.embeddings import keep_embeddings
        from meld_lightning.training.process import quieten

        quieten()
        stop_request().raise_if_asked()
        run = fuse(cfg, keep_embeddings)
    if run is not None:  # None on every rank but 0
        show_val_score(run)


if __name__ == "__main__":
    show_messages()
    sys.exit(exit_status(lambda: run_job(*sys.argv[1:])))
