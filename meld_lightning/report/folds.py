"""Runs over the folds of a corpus as one run: every utterance is told by the run that held it out.

Reads run objects, writes nothing. Used by report/study.py for tables with `folds`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from meld_lightning.errors import UserError
from meld_lightning.report.statistics import Run, scored_frame
from meld_lightning.storage.fingerprint import digest_of

if TYPE_CHECKING:
    import pandas as pd

ALIKE = ("seed", "labels", "model", "checkpoint")  # of all folds' results


@dataclass(frozen=True)
class Pooled:
    """The runs of one seed, one a fold; a run to the report, with metrics computed from all their
    logits."""

    parts: tuple[Run, ...]

    @property
    def folder(self) -> Path:
        return Path(self.parts[0].folder).parent

    @property
    def config(self) -> Any:
        return self.parts[0].config

    @cached_property
    def result(self) -> dict[str, Any]:
        """What their results have in common; UserError where they differ in what one row cannot
        mix."""
        results = [run.result for run in self.parts]
        for key in ALIKE:
            if any(one[key] != results[0][key] for one in results):
                raise UserError(
                    f"{self.parts[0].folder} and other folds of its row differ in {key}: not"
                    " one row"
                )
        return {
            **{key: results[0][key] for key in ALIKE},
            "fold": "all",
            "train_majority": (
                Counter(one["train_majority"] for one in results).most_common(1)[0][0]
            ),
            "hash": _joined([one["hash"] for one in results]),
            "digests": {"corpus": _joined([one["digests"]["corpus"] for one in results])},
            "commit": "+".join(dict.fromkeys(one["commit"] or "" for one in results)),
            "dirty": any(one["dirty"] for one in results),
            "metrics": {split: self._metrics(split) for split in ("val", "test")},
        }

    def logits(self, split: str) -> pd.DataFrame:
        """All folds' rows of `split`, one after another."""
        import pandas as pd

        return pd.concat([run.logits(split) for run in self.parts], ignore_index=True)

    def _metrics(self, split: str) -> dict[str, Any]:
        """From the logits of all folds, as those of one run are."""
        whole = scored_frame(
            self.logits(split), tuple(self.parts[0].result["labels"]), str(self.folder), split
        )
        return {**whole.metrics(), "n": len(whole.keys)}


def pooled(runs: Sequence[Run], folds: Sequence[int]) -> list[Run]:
    """One run a seed of those that have all their folds; `runs` as they are where there are no
    folds."""
    if not folds:
        return list(runs)
    by_seed: dict[int, dict[int, Run]] = {}
    for run in runs:
        by_seed.setdefault(run.result["seed"], {})[run.result["fold"]] = run
    return [
        Pooled(tuple(one[fold] for fold in folds))
        for one in by_seed.values()
        if set(one) >= set(folds)
    ]


def _joined(texts: Sequence[str]) -> str:
    return digest_of(list(texts))
