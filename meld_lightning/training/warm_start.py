"""Warm start: a training that begins with the weights of a finished run.

Reads the other run's folder, writes nothing. Used by fit.py.
"""

import logging
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import nn

from meld_lightning.corpus import Corpus
from meld_lightning.errors import UserError
from meld_lightning.runs.run import Run, load_run
from meld_lightning.training.checkpoint_file import best_weights

logger = logging.getLogger(__name__)

Weights = Mapping[str, torch.Tensor]


def start_from(folder: Path, module: nn.Module, labels: tuple[str, ...], corpus: Corpus) -> None:
    """Loads the weights of the run in `folder`, those of its best epoch on val, into `module`.

    Parts that the other model does not have, such as a recurrent head, keep their own first values;
    parts that it alone has are left out.

    labels: those of this run.
    corpus: this run's, split as it is here.

    Raises UserError for a run that is not finished, has other labels, has been trained on
    utterances of this run's val or test split, or whose weights do not fit.
    """
    run = load_run(folder)
    if run.result.labels != labels:
        raise UserError(
            f"warm_start={folder}: its labels are {', '.join(run.result.labels)}, expected those of"
            f" this run: {', '.join(labels)}"
        )
    _check_held_out(run, corpus)
    weights = best_weights(folder)
    new, left_out = _other_parts(module.state_dict(), weights, folder)
    module.load_state_dict(weights, strict=False)
    added = f"; new: {', '.join(new)}" if new else ""
    dropped = f"; left out: {', '.join(left_out)}" if left_out else ""
    epoch = run.result.best["epoch"]
    logger.info("starts from the weights of %s, epoch %d%s%s", folder, epoch, added, dropped)


def _check_held_out(run: Run, corpus: Corpus) -> None:
    """UserError if the run's train split has utterances of this corpus's val or test split."""
    if run.result.digests.get("corpus") == corpus.digest:  # which covers the splits
        return
    held_out = corpus.table.loc[corpus.table["split"] != "train", ["key", "split"]]
    known = held_out[held_out["key"].isin(run.logits("train")["key"])]
    if len(known):
        key, split = known.iloc[0]
        raise UserError(
            f"warm_start={run.folder}: was trained on {len(known)} of the {len(held_out)}"
            f" utterances of this run's val and test, such as {key} of {split}; name a run with the"
            " same corpus.split, corpus.folds and corpus.fold"
        )


def _other_parts(own: Weights, weights: Weights, folder: Path) -> tuple[list[str], list[str]]:
    """The parts of this model that the other one lacks, and those that it alone has; UserError if
    any other weight does not fit."""
    here = {name.split(".")[0] for name in own}
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
    return sorted(here - there), sorted(there - here)
