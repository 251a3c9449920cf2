"""The figures of a run as an export's model card prints them: scores with intervals on val and
test, and those of every label on test.

Reads a run's logits; writes nothing. Used by the command `export`.
"""

import math

from meld_lightning.inference.bundle import Estimate, Scores
from meld_lightning.inference.export.card import ClassFigures, Figures
from meld_lightning.metrics import by_class, confusion
from meld_lightning.report.scored import Scored, scored
from meld_lightning.report.statistics import estimate, jackknife
from meld_lightning.runs.run import Run


def figures_of(run: Run) -> Figures:
    """The scores of a run on val and test as the report computes them."""
    test = scored(run, "test")
    found = by_class(confusion(test.true, test.predicted, len(test.labels)))
    return Figures(
        scores={"val": _scores(scored(run, "val")), "test": _scores(test)},
        constant=_scores(test.constant(run.result.train_majority)),
        classes=[
            ClassFigures(
                label,
                int(found["support"][place]),
                int((test.predicted == place).sum()),
                *(float(found[name][place]) for name in ("precision", "recall", "f1")),
            )
            for place, label in enumerate(test.labels)
        ],
    )


def _scores(one: Scored) -> Scores:
    found = {}
    for name, values in jackknife([one]).items():
        value, *ends = estimate(values)
        low, high = (None if math.isnan(end) else end for end in ends)
        found[name] = Estimate(value, low, high)
    return Scores(len(one.keys), found)
