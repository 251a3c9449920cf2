"""How long a study will take here, from short trainings of each of its models.

Each kind of run is made twice on a small part of the corpus, in a temporary folder: with few
utterances and with more. A logger notes when its two epochs end, which divides each training into
what comes before the epochs, an epoch, and what comes after. The lines through both sizes give what
each part costs once and for each utterance. What differs between runs of a kind (seed, learning
rate) costs nothing.
"""

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import pairwise
from statistics import mean
from typing import Any, NamedTuple

import numpy as np
from omegaconf import DictConfig

from meld_lightning.config.tree import plain
from meld_lightning.corpus import SPLITS
from meld_lightning.doctor.stopwatch import FILE, stopwatches
from meld_lightning.media import Media
from meld_lightning.runs.identity import is_import
from meld_lightning.runs.inputs import Inputs
from meld_lightning.storage.fingerprint import digest_of
from meld_lightning.training.train import Training

# Utterances of the first short training, and at least and at most of the second. The second
# training's epoch should take LONGER_S seconds more than the first's, at least half of that: the
# estimate for the whole corpus is extrapolated from this difference.
FEW, MORE, MOST = 48, 144, 2048
LONGER_S = 3.0
LARGER = 8  # at most by how much a second training that was too short is made larger
EPOCHS = 2  # the first warms up
START = "import meld_lightning.training.fit, transformers"
KIND = ("model", "data", "numerics", "machine", "eval_batch_size")  # what a run's time depends on


@dataclass(frozen=True)
class Line:
    """Seconds: once, and for each utterance of the corpus."""

    once_s: float
    each_s: float

    def at(self, utterances: int) -> float:
        return self.once_s + self.each_s * utterances


@dataclass(frozen=True)
class Cost:
    """What a kind of run costs. before: the epochs, where features are computed that later runs
    find in the cache. epoch: of training, with its scoring of val. after: the scoring of all."""

    before: Line
    epoch: Line
    after: Line


class Timed(NamedTuple):
    """The parts of a short training, in seconds."""

    utterances: int
    before_s: float
    epoch_s: float
    after_s: float


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
        of their modality that were measured, or of all.
    """
    began = time.monotonic()
    trained = [cfg for cfg in configs if not is_import(cfg.model)]
    kinds = {_digest(cfg, KIND): cfg for cfg in trained}
    total, costs = _process_start(), dict[str, Cost]()
    for kind, cfg in kinds.items():
        if costs and time.monotonic() - began > budget_s:
            break
        costs[kind] = _measure(cfg)
    cached: set[str] = set()
    for cfg in trained:
        measured = _measured(cfg, kinds, costs)
        is_first = (features := _digest(cfg, ("data",))) not in cached
        cached.add(features)
        total += mean(_seconds(cfg, cost, is_first) for cost in measured)
    return Estimate(total / max(at_once, 1), len(trained), len(kinds), time.monotonic() - began)


def _digest(cfg: DictConfig, keys: Sequence[str]) -> str:
    given: dict[str, Any] = plain(cfg)
    return digest_of([given[key] for key in keys])


def _measured(
    cfg: DictConfig, kinds: Mapping[str, DictConfig], costs: Mapping[str, Cost]
) -> list[Cost]:
    """The cost of this kind of run, or those that stand for it."""
    if (kind := _digest(cfg, KIND)) in costs:
        return [costs[kind]]
    alike = [cost for kind, cost in costs.items() if kinds[kind].data._target_ == cfg.data._target_]
    return alike or list(costs.values())


def _seconds(cfg: DictConfig, cost: Cost, is_first: bool) -> float:
    """is_first: whether the run finds none of its features in the cache."""
    utterances = len(Training(cfg).inputs.corpus.table)
    before_s = cost.before.at(utterances if is_first else 0)
    return before_s + cfg.epochs * cost.epoch.at(utterances) + cost.after.at(utterances)


def _process_start() -> float:
    """Seconds until a process has imported what jobs need."""
    began = time.monotonic()
    subprocess.run([sys.executable, "-c", START], check=True, stdin=subprocess.DEVNULL)
    return time.monotonic() - began


def _measure(cfg: DictConfig) -> Cost:
    """The cost of a run of this kind, from two on parts of its corpus. The second is made again on
    more if its epoch, of a model that has some, turns out too short."""
    most = min(MOST, len(Training(cfg).inputs.corpus.table))
    few = _timed(cfg, FEW)
    taken_s = few.epoch_s or few.before_s + few.after_s
    count = min(max(FEW + round(LONGER_S * FEW / max(taken_s, 1e-3)), MORE), most)
    more = _timed(cfg, count)
    while few.epoch_s and count < most and (longer_s := more.epoch_s - few.epoch_s) < LONGER_S / 2:
        larger = min(LONGER_S / max(longer_s, 1e-3), LARGER)
        count = min(FEW + round((count - FEW) * larger), most)
        more = _timed(cfg, count)
    return Cost(*(_line(few, more, part) for part in Timed._fields[1:]))


def _line(few: Timed, more: Timed, part: str) -> Line:
    first_s, second_s = getattr(few, part), getattr(more, part)
    each_s = max(second_s - first_s, 0.0) / max(more.utterances - few.utterances, 1)
    return Line(max(second_s - each_s * more.utterances, 0.0), each_s)


def _timed(cfg: DictConfig, count: int) -> Timed:
    """A training of EPOCHS epochs on about `count` utterances."""
    sample = _SampledTraining.of(cfg, count)
    with tempfile.TemporaryDirectory(prefix="doctor-") as folder:
        sample.cfg.paths.runs, sample.cfg.paths.cache = f"{folder}/runs", f"{folder}/cache"
        began = time.monotonic()
        sample.identity.folder.mkdir(parents=True)
        sample.execute()
        ended = time.monotonic()
        ends = json.loads((sample.identity.folder / FILE).read_text())
    epoch_s = mean(later - one for one, later in pairwise(ends)) if len(ends) > 1 else 0.0
    before_s = max(ends[0] - epoch_s - began, 0.0)
    return Timed(len(sample.inputs.corpus.table), before_s, epoch_s, ended - ends[-1])


class _SampledTraining(Training):
    """A short training on a part of its corpus, from the weights it has at first."""

    sampled: Inputs

    @classmethod
    def of(cls, cfg: DictConfig, count: int) -> "_SampledTraining":
        """About `count` utterances, spread evenly over each split."""
        training = cls(cfg.copy())
        training.cfg.epochs = EPOCHS
        training.cfg.logger = {"_target_": f"{stopwatches.__module__}.{stopwatches.__name__}"}
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
        training.sampled = whole._replace(corpus=corpus, media=media, warm_start=None)
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
