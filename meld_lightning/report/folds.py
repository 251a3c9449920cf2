"""Pools the runs of a corpus's folds: each utterance is predicted by the run that held it out.

Reads run objects, writes nothing. Used by report/render.py for tables with `folds`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from meld_lightning.errors import UserError
from meld_lightning.report.scored import scored_frame
from meld_lightning.runs.result import Result
from meld_lightning.storage.fingerprint import digest_of
from meld_lightning.study.sources import FinishedRun

if TYPE_CHECKING:
    import pandas as pd

SHARED = ("seed", "labels", "model", "checkpoint")  # equal in the results of all folds


@dataclass(frozen=True)
class PooledRun:
    """One seed's runs, one per fold, as a single run. Metrics are computed from all folds' logits
    together.

    Its seed counts as one seed in intervals and tests. Every fold is trained from that seed, so the
    figures of two pooled runs differ by what the seed changes in all folds together, which is the
    seed's part in a pooled figure.
    """

    parts: tuple[FinishedRun, ...]

    @property
    def folder(self) -> Path:
        return Path(self.parts[0].folder).parent

    @property
    def config(self) -> Any:
        return self.parts[0].config

    @cached_property
    def result(self) -> Result:
        """The first part's result with the metrics of all; UserError where the parts differ in what
        one row must share."""
        results = [run.result for run in self.parts]
        for name in SHARED:
            if any(getattr(one, name) != getattr(results[0], name) for one in results):
                raise UserError(
                    f"{self.parts[0].folder} and other folds of its row differ in {name}: they are"
                    " not one row"
                )
        majorities = Counter(one.train_majority for one in results)
        return replace(
            results[0],
            fold="all",
            train_majority=majorities.most_common(1)[0][0],
            hash=digest_of([one.hash for one in results]),
            digests={"corpus": digest_of([one.digests["corpus"] for one in results])},
            commit="+".join(dict.fromkeys(one.commit or "" for one in results)),
            dirty=any(one.dirty for one in results),
            # the evidence of a fusion holds no logits of val
            metrics={
                split: self._metrics(split)
                for split in ("val", "test")
                if split == "test" or results[0].modality != "fusion"
            },
        )

    def logits(self, split: str) -> pd.DataFrame:
        """The logits of `split` from all folds, one after another."""
        import pandas as pd

        return pd.concat([run.logits(split) for run in self.parts], ignore_index=True)

    def _metrics(self, split: str) -> dict[str, Any]:
        scored = scored_frame(
            self.logits(split), self.parts[0].result.labels, str(self.folder), split
        )
        return {**scored.metrics(), "n": len(scored.keys)}


def pooled(runs: Sequence[FinishedRun], folds: Sequence[int]) -> list[FinishedRun]:
    """One run per seed that has all its folds; `runs` unchanged for a table without folds.

    Raises UserError if two runs are of the same seed and fold.
    """
    if not folds:
        return list(runs)
    by_seed: dict[int, dict[Any, FinishedRun]] = {}
    for run in runs:
        seed, fold = run.result.seed, run.result.fold
        other = by_seed.setdefault(seed, {}).setdefault(fold, run)
        if other is not run:
            raise UserError(f"{other.folder} and {run.folder} are both seed {seed}, fold {fold}")
    return [
        PooledRun(tuple(of_seed[fold] for fold in folds))
        for of_seed in by_seed.values()
        if set(of_seed) >= set(folds)
    ]


def unpooled(run: FinishedRun) -> tuple[FinishedRun, ...]:
    """The runs on disk that stand behind `run`."""
    return run.parts if isinstance(run, PooledRun) else (run,)
