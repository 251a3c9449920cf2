"""The one-line val summary of a finished run: its val score beside the constant baseline's, and a
warning if the model predicts one class only.

Reads result.json and the logits of val. Used by `train` and `fuse`, by the processes of a job and
by sweeps. Figures of test are for tables and result.json alone.
"""

import logging
from dataclasses import dataclass
from typing import Self

import numpy as np

from meld_lightning import metrics
from meld_lightning.runs.logits import logits_of
from meld_lightning.runs.run import Run

logger = logging.getLogger(__name__)

WHERE_TEST_IS = "test figures: result.json"


@dataclass(frozen=True)
class ValScore:
    """A run's score on val.

    name, value: the monitored metric. With val/loss, `weighted_f1` is the weighted F1, which the
        baseline is compared with: a constant prediction has no finite loss.
    epoch: the chosen epoch, from 1; 0 where nothing was fitted by epochs.
    constant: the most common label of train, and the score of predicting it for all of val.
    single_class: the one class that the model predicts on val; None if it predicts several.
    """

    name: str
    value: float
    weighted_f1: float | None
    epoch: int
    constant: tuple[str, float]
    single_class: str | None

    @classmethod
    def of(cls, run: Run) -> Self:
        """The score of a finished run; UserError if its logits of val cannot be read."""
        result = run.result
        labels, frame = list(result.labels), run.logits("val")
        name, loss = result.best["monitor"], result.best["monitor"] == "val/loss"
        compared = "weighted_f1" if loss else name.removeprefix("val/")
        true = np.array([labels.index(label) for label in frame["label"]])
        common = np.full(len(true), labels.index(result.train_majority))
        constant = metrics.from_confusion(metrics.confusion(true, common, len(labels)))[compared]
        predicted = logits_of(frame, labels).argmax(1)
        present = frame["present"].to_numpy(dtype=bool)  # elsewhere the logits are train's shares
        found = np.unique(predicted[present] if present.any() else predicted)
        return cls(
            name,
            result.best["value"],
            result.metrics["val"]["weighted_f1"] if loss else None,
            result.best["epoch"],
            (result.train_majority, float(constant)),
            labels[found[0]] if len(found) == 1 else None,
        )

    @property
    def rank(self) -> float:
        """Higher is better; nan ranks last."""
        if np.isnan(self.value):
            return float("-inf")
        return -self.value if self.name == "val/loss" else self.value

    def line(self, how: str = "") -> str:
        """`val/weighted_f1 0.5123 (epoch 2), constant baseline (neutral) 0.2861`.

        how: what stands in the first brackets; empty leaves them out.
        """
        f1 = "" if self.weighted_f1 is None else f", val/weighted_f1 {self.weighted_f1:.4f}"
        label, constant = self.constant
        return (
            f"{self.name} {self.value:.4f}{f' ({how})' if how else ''}{f1},"
            f" constant baseline ({label}) {constant:.4f}"
        )


def show_val_score(run: Run, how: str = "") -> None:
    """Prints the run's folder and val score in one line; warns if it predicts one class only.

    how: as in `ValScore.line`; empty: the chosen epoch, where there is one.
    """
    score = ValScore.of(run)
    how = how or (f"epoch {score.epoch}" if score.epoch else "")
    print(f"{run.folder}: {score.line(how)}; {WHERE_TEST_IS}", flush=True)
    if score.single_class is not None:
        logger.warning("%s: predicts one class only on val: %s", run.folder, score.single_class)
