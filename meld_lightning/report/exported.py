"""The figures of a run as an export's model card prints them: scores with intervals on val and
test, and those of every label and of groups of utterances on test.

Reads a run's logits and, for the groups, the prepared corpus; writes nothing. Used by the command
`export`.
"""

import copy
import logging
import math
from pathlib import Path

from meld_lightning.errors import UserError
from meld_lightning.inference.bundle import Estimate, Scores
from meld_lightning.inference.export.card import ClassFigures, Figures, GroupScores
from meld_lightning.inference.members import where_it_ran
from meld_lightning.metrics import by_class, confusion
from meld_lightning.report.audit import Audit, Model, audit
from meld_lightning.report.audit_page import group_line, headers, reading
from meld_lightning.report.groupings import groupings_of
from meld_lightning.report.scored import Scored, scored
from meld_lightning.report.statistics import estimate, jackknife
from meld_lightning.runs.run import Run

logger = logging.getLogger(__name__)

METRIC, HEADER = "test/weighted_f1", "weighted F1"
BY = ("speaker", "seen", "length", "position")


def figures_of(run: Run, cache: Path | None = None) -> Figures:
    """The scores of a run on val and test as the report computes them. cache: where its corpus is
    prepared; None: the cache that it was made with."""
    test, found_groups = scored(run, "test"), _audit(run, cache)
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
        groups=[
            GroupScores(
                one.title,
                ["group", *headers(HEADER)],
                [[group.name, *group_line(group)] for group in one.groups],
            )
            for one in (found_groups.audited if found_groups else ())
        ],
        groups_note=reading(found_groups, HEADER) if found_groups else "",
    )


def _audit(run: Run, cache: Path | None) -> Audit | None:
    """The run's scores in groups of test; None, with one line, where its corpus is not prepared."""
    base = where_it_ran(run)
    config = copy.deepcopy(run.config)
    config.paths.cache = str(cache or base / config.paths.cache)
    config.corpus.root = str(base / config.corpus.root)
    try:
        found = groupings_of(config, run, BY, {}, "test")
    except UserError as error:
        logger.info("the model card has no figures by group: %s", error)
        return None
    majority = run.result.train_majority
    return audit([Model(run.result.modality, [scored(run, "test")], majority, found)], METRIC)


def _scores(one: Scored) -> Scores:
    found = {}
    for name, values in jackknife([one]).items():
        value, *ends = estimate(values)
        low, high = (None if math.isnan(end) else end for end in ends)
        found[name] = Estimate(value, low, high)
    return Scores(len(one.keys), found)
