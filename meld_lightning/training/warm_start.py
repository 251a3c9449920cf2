"""Warm start: a training that begins with the weights of a finished run.

Reads the other run's folder, writes nothing. Used by fit.py.
"""

import logging
from collections.abc import Mapping
from pathlib import Path

import torch
from omegaconf import DictConfig
from torch import nn

from meld_lightning.errors import UserError
from meld_lightning.runs.run import load_run
from meld_lightning.training.checkpoint_file import best_weights

logger = logging.getLogger(__name__)

Weights = Mapping[str, torch.Tensor]


def start_from(
    folder: Path, module: nn.Module, labels: tuple[str, ...], corpus: DictConfig
) -> None:
    """Loads the weights of the run in `folder`, those of its best epoch on val, into `module`.

    Parts that the other model does not have, such as a recurrent head, keep their own first values.

    labels: those of this run.
    corpus: this run's settings of the corpus.

    Raises UserError for a run that is not finished, has other labels, has been trained on this
    run's val or test split, or whose weights do not fit.
    """
    run = load_run(folder)
    if run.result.labels != labels:
        raise UserError(
            f"warm_start={folder}: its labels are {', '.join(run.result.labels)}, expected those of"
            f" this run: {', '.join(labels)}"
        )
    if corpus.split is not None and run.result.fold != corpus.fold:
        raise UserError(
            f"warm_start={folder}: a run of fold {run.result.fold}, which was trained on utterances"
            f" of this run's val and test; name one of fold {corpus.fold}"
        )
    weights = best_weights(folder)
    new = _new_parts(module.state_dict(), weights, folder)
    module.load_state_dict(weights, strict=False)
    added = f"; new: {', '.join(new)}" if new else ""
    logger.info(
        "starts from the weights of %s, epoch %d%s", folder, run.result.best["epoch"], added
    )


def _new_parts(own: Weights, weights: Weights, folder: Path) -> list[str]:
    """The parts of this model that the other one lacks; UserError if any other weight does not
    fit."""
    there = {name.split(".")[0] for name in weights}
    for name, value in own.items():
        if name.split(".")[0] in there and (
            name not in weights or weights[name].shape != value.shape
        ):
            found = tuple(weights[name].shape) if name in weights else "missing"
            raise UserError(
                f"warm_start={folder}: its weights do not fit this model ({name} is {found},"
                f" expected {tuple(value.shape)}); name a run of the same checkpoint and pooling"
            )
    return sorted({name.split(".")[0] for name in own} - there)
