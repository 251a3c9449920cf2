"""Which emotion the main row scores worst on, whether there are enough utterances to tell, and what
it is confused with.

Reads the row's predictions; writes nothing. Used by page/answers.py.

Axes: K labels.
"""

from __future__ import annotations

import numpy as np

from meld_lightning.metrics import confusion
from meld_lightning.page.answer import Answer, Link
from meld_lightning.page.main_row import MainRow
from meld_lightning.page.words import bold, count, figure, interval, listed, percent
from meld_lightning.report.classes import class_estimates
from meld_lightning.report.comparisons import CAUTION_UNITS
from meld_lightning.report.rows import Estimate, Row

NAMED = 3  # emotions that are named one by one


def weakest_emotion(main: MainRow) -> Answer:
    """The label with the lowest F1, whether others could be as low, and its confusions."""
    row, labels = main.row, main.row.scored[0].labels
    estimates = class_estimates(row.scored)
    f1_K = estimates["f1"]
    counts_KK = _counts(row)
    known = [place for place in range(len(labels)) if counts_KK[place].sum()]
    worst, best = (choose(known, key=lambda place: f1_K[place].value) for choose in (min, max))
    label, found = labels[worst], f1_K[worst]
    n = int(counts_KK[worst].sum()) // len(row.scored)
    imprecise = estimates["precision"][worst].value < estimates["recall"][worst].value
    confused = _called(counts_KK, worst, labels) if imprecise else _missed(counts_KK, worst, labels)
    others = [labels[place] for place in known if place != worst and _overlap(found, f1_K[place])]
    sentences = [
        f"{bold(label)} has the lowest F1: {figure(found.value)}{interval(found.low, found.high)},"
        f" from {count(n)} utterances.",
        _too_few(n, others),
        confused,
        f"Best: {labels[best]}, {figure(f1_K[best].value)}.",
    ]
    links = [
        Link("Scores of each emotion", "figures", {"row": main.id, "figure": "classes"}),
        Link("Confusion matrix", "figures", {"row": main.id, "figure": "confusion"}),
        *_mistakes(row, worst),
    ]
    return Answer("Which emotion fails?", " ".join(filter(None, sentences)), links)


def _counts(row: Row) -> np.ndarray:
    """True by predicted labels over all seeds, (K, K)."""
    size = len(row.scored[0].labels)
    return np.sum([confusion(one.true, one.predicted, size) for one in row.scored], axis=0)


def _overlap(worst: Estimate, other: Estimate) -> bool:
    """Whether the intervals of the lowest F1 and another one overlap."""
    return worst.high is not None and other.low is not None and other.low <= worst.high


def _too_few(n: int, others: list[str]) -> str:
    """Why the lowest F1 need not be that of the worst emotion; "" where it is clear of the rest."""
    if others:
        few = f"{len(others)} other emotions"
        names = few if len(others) > NAMED else listed(others)
        return (
            "Too few utterances to tell which emotion is worst: the interval overlaps that of"
            f" {names}."
        )
    return "Too few utterances to tell how low it is." if n < CAUTION_UNITS else ""


def _missed(counts_KK: np.ndarray, worst: int, labels: tuple[str, ...]) -> str:
    """How often the label is found, and what it is most often taken for."""
    share_K = counts_KK[worst] / counts_KK[worst].sum()
    other = _most(share_K, worst)
    return (
        f"{percent(share_K[worst])} of them are found and {percent(share_K[other])} are predicted"
        f" as {labels[other]}."
    )


def _called(counts_KK: np.ndarray, worst: int, labels: tuple[str, ...]) -> str:
    """How often the label is predicted rightly, and what is most often taken for it."""
    called_K = counts_KK[:, worst] / counts_KK[:, worst].sum()
    found, other = counts_KK[worst, worst] / counts_KK[worst].sum(), _most(called_K, worst)
    return (
        f"Low precision is the cause: {percent(found)} of them are found, but of all utterances"
        f" predicted as {labels[worst]} only {percent(called_K[worst])} are {labels[worst]} and"
        f" {percent(called_K[other])} are {labels[other]}."
    )


def _most(share_K: np.ndarray, worst: int) -> int:
    return max((place for place in range(len(share_K)) if place != worst), key=share_K.__getitem__)


def _mistakes(row: Row, worst: int) -> list[Link]:
    """The utterances of the label that are missed, and those wrongly predicted as it, each for the
    seed that has most of them."""
    label = row.scored[0].labels[worst]
    missed = [((one.true == worst) & (one.predicted != worst)).sum() for one in row.scored]
    called = [((one.true != worst) & (one.predicted == worst)).sum() for one in row.scored]
    found = []
    for text, of_seed, filtered in (
        (f"Utterances of {label} that it misses", missed, "emotion"),
        (f"Utterances wrongly predicted as {label}", called, "predicted"),
    ):
        if max(of_seed):
            run = row.runs[int(np.argmax(of_seed))].result
            seed = f" (seed {run.seed})" if len(row.runs) > 1 else ""
            params = {"a": run.hash, filtered: label, "kind": "wrong"}
            found.append(Link(f"{text}{seed}", "explorer", params))
    return found
