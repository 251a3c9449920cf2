"""How long a study will take here, from short trainings of each of its models.

Each kind of run is made on a small part of the corpus into a temporary folder, twice: with few
utterances and with more. The line through both times gives what a run costs once and what it costs
for each utterance; process starts are measured, too. What differs between runs of a kind (seed,
learning rate) costs nothing.
"""

import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from omegaconf import DictConfig

from meld_lightning.corpus import SPLITS
from meld_lightning.media import Media
from meld_lightning.runs.identity import is_import
from meld_lightning.runs.inputs import Inputs
from meld_lightning.storage.fingerprint import digest_of
from meld_lightning.training.train import Training

FEW, MORE = 48, 144  # utterances of the two short trainings
START = "import meld_lightning.training.fit, transformers"
KIND = ("model", "data", "numerics", "machine", "eval_batch_size")  # what a run's time depends on


@dataclass(frozen=True)
class Cost:
    """Seconds of a run: once, and for each utterance in an epoch of training with its scoring."""

    once_s: float
    each_s: float


@dataclass(frozen=True)
class Estimate:
    """How long the trainings of a study take. seconds: with `at_once` side by side. runs: to be
    made. kinds: of runs, each measured. measured_s: what measuring took."""

    seconds: float
    runs: int
    kinds: int
    measured_s: float


def estimate(configs: Sequence[DictConfig], at_once: int, budget_s: float) -> Estimate:
    """Measures each kind of run among `configs` (conf/train.yaml, composed; the runs to be made).

    budget_s: about how long measuring may take; kinds that are left then count as the mean of those
        that were measured.
    """
    began = time.monotonic()
    kinds: dict[str, list[DictConfig]] = {}
    for cfg in configs:
        if not is_import(cfg.model):
            kinds.setdefault(_kind(cfg), []).append(cfg)
    start_s = _process_start()
    costs: dict[str, Cost] = {}
    for kind, of_kind in kinds.items():
        if costs and time.monotonic() - began > budget_s:
            break
        costs[kind] = _measure(of_kind[0])
    total = 0.0
    for kind, of_kind in kinds.items():
        measured = [costs[kind]] if kind in costs else list(costs.values())
        for cfg in of_kind:
            total += start_s + float(np.mean([_seconds(cfg, cost) for cost in measured]))
    return Estimate(
        total / max(at_once, 1),
        sum(map(len, kinds.values())),
        len(kinds),
        time.monotonic() - began,
    )


def _kind(cfg: DictConfig) -> str:
    from meld_lightning.config.tree import plain

    given = plain(cfg)
    return digest_of([given[key] for key in KIND])


def _seconds(cfg: DictConfig, cost: Cost) -> float:
    return cost.once_s + cost.each_s * cfg.epochs * len(Training(cfg).inputs.corpus.table)


def _process_start() -> float:
    """Seconds until a job's process has imported what it needs."""
    began = time.monotonic()
    subprocess.run([sys.executable, "-c", START], check=True, stdin=subprocess.DEVNULL)
    return time.monotonic() - began


def _measure(cfg: DictConfig) -> Cost:
    """The cost of a run of this kind, from two of one epoch on parts of its corpus."""
    times = []
    for count in (FEW, MORE):
        sample = _SampledTraining.of(cfg, count)
        with tempfile.TemporaryDirectory(prefix="doctor-") as folder:
            sample.cfg.paths.runs, sample.cfg.paths.cache = f"{folder}/runs", f"{folder}/cache"
            began = time.monotonic()
            sample.identity.folder.mkdir(parents=True)
            sample.execute()
            times.append((len(sample.inputs.corpus.table), time.monotonic() - began))
    (few, first_s), (more, second_s) = times
    each_s = max(second_s - first_s, 0.0) / max(more - few, 1)
    return Cost(max(first_s - each_s * few, 0.0), each_s)


class _SampledTraining(Training):
    """A training on a part of its corpus."""

    sampled: Inputs

    @classmethod
    def of(cls, cfg: DictConfig, count: int) -> "_SampledTraining":
        """A training of one epoch on about `count` utterances, spread evenly over each split."""
        training = cls(cfg.copy())
        training.cfg.epochs = 1
        whole = Training(cfg).inputs
        table = whole.corpus.table
        share = min(count / len(table), 1.0)
        rows = [
            row
            for split in SPLITS
            for row in _spread(np.flatnonzero(table["split"] == split), share)
        ]
        corpus = replace(whole.corpus, table=table.iloc[rows].reset_index(drop=True))
        media = None if whole.media is None else _SampledMedia(whole.media, rows)
        training.sampled = whole._replace(corpus=corpus, media=media)
        return training

    @cached_property
    def inputs(self) -> Inputs:
        return self.sampled


def _spread(rows: np.ndarray, share: float) -> list[int]:
    """A share of the rows, at equal distances; at least eight, if there are so many."""
    count = min(len(rows), max(8, round(len(rows) * share)))
    return [int(row) for row in rows[np.linspace(0, len(rows) - 1, count).astype(int)]]


class _SampledMedia(Media):
    """Some rows of the decoded clips."""

    def __init__(self, whole: Media, rows: Sequence[int]) -> None:
        self._whole, self._rows = whole, rows
        self.folder, self.settings = whole.folder, whole.settings
        self.entries = [whole.entries[row] for row in rows]

    def frames(self, row: int) -> np.ndarray:
        return self._whole.frames(self._rows[row])

    def faces(self, row: int) -> np.ndarray:
        return self._whole.faces(self._rows[row])

    def waveform(self, row: int) -> np.ndarray:
        return self._whole.waveform(self._rows[row])


def in_words(seconds: float, options: Mapping[str, float] | None = None) -> str:
    """A duration as people say it: 40 seconds, 12 minutes, 3.5 hours, 2.1 days."""
    for unit, size in (options or {"days": 86400, "hours": 3600, "minutes": 60}).items():
        if seconds >= 1.5 * size:
            return f"{seconds / size:.2g} {unit}"
    return f"{seconds:.0f} seconds"
