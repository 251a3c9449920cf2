"""`meld-lightning prepare`: check the corpus, decode its clips, get the checkpoints, write the
corpus report."""

from collections.abc import Sequence

from meld_lightning.commands.hydra_app import run_hydra


def main(arguments: Sequence[str]) -> None:
    """Runs the command."""
    from meld_lightning.study.preparation import prepare_study

    run_hydra("prepare", prepare_study, arguments)
