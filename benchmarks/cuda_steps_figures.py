"""Times the steps of a fit, counts the synchronisations in them, and profiles them.

Used by cuda_steps_ways.py.
"""

import time
import traceback
import warnings
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch

from meld_lightning.errors import Stopped

WARM_UP, COUNTED = 10, 10  # steps before the timed stretch; steps of each stretch after it
SYNCHRONISES = "synchronizing CUDA operation"


@dataclass
class Figures:
    """What one way was seen to do. `steps` are optimiser steps, or batches that are scored."""

    steps_per_s: float
    items_per_s: float  # utterances, or frames
    syncs_per_step: float
    busy: float  # share of wall time in which the device runs kernels; measured while profiled
    peak_mb: float
    places: dict[str, float] = field(default_factory=dict)  # synchronisations per step by place

    def line(self, way: str) -> str:
        """For people: the figures, and below them where the device is waited for."""
        head = (
            f"{way:18}{self.steps_per_s:9.1f} steps/s{self.items_per_s:11.1f} items/s"
            f"{self.syncs_per_step:7.1f} syncs/step{self.busy:8.1%} busy{self.peak_mb:9.0f} MB"
        )
        return "\n".join(
            [head, *(f"{'':22}{count:5.1f}  {place}" for place, count in self.places.items())]
        )


class Stretches(pl.Callback):
    """Times the steps of a fit after a warm-up, then counts their synchronisations, then profiles
    them; ends the fit by raising Stopped."""

    def __init__(self, steps: int) -> None:
        self.timed, self.step, self.items = steps, 0, 0
        self.started = self.wall_s = self.busy = 0.0
        self.syncs: Counter[str] = Counter()
        self._open: Any = None

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, *_: Any
    ) -> None:
        self.ended(len(batch.rows_N))

    def ended(self, items: int) -> None:
        """To be called at the end of every step, with the number of its utterances."""
        self.step += 1
        counted = WARM_UP + self.timed
        if WARM_UP < self.step <= counted:
            self.items += items
        if self.step == WARM_UP:
            self.started = _now()
        elif self.step == counted:
            self.wall_s = _now() - self.started
            self._enter(synchronisations(self.syncs))
        elif self.step == counted + COUNTED:
            self._leave()
            self._enter(profiled(self))
        elif self.step == counted + 2 * COUNTED:
            self._leave()
            raise Stopped("measured")

    def figures(self) -> Figures:
        return Figures(
            self.timed / self.wall_s,
            self.items / self.wall_s,
            sum(self.syncs.values()) / COUNTED,
            self.busy,
            _peak_mb(),
            {place: count / COUNTED for place, count in self.syncs.most_common()},
        )

    def _enter(self, context: Any) -> None:
        self._open = context
        context.__enter__()

    def _leave(self) -> None:
        self._open.__exit__(None, None, None)


@contextmanager
def synchronisations(found: Counter[str]) -> Iterator[None]:
    """Counts in `found` the calls within the block that wait for the device, by their place: the
    innermost line outside of torch."""

    def note(message: Warning | str, *_: Any, **__: Any) -> None:
        if SYNCHRONISES in str(message):
            found[_place(traceback.extract_stack()[:-1])] += 1

    before = torch.cuda.get_sync_debug_mode() if torch.cuda.is_available() else 0
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        warnings.showwarning = note
        try:
            if torch.cuda.is_available():
                torch.cuda.set_sync_debug_mode("warn")
            yield
        finally:
            if torch.cuda.is_available():
                torch.cuda.set_sync_debug_mode(before)


def _place(stack: Sequence[traceback.FrameSummary]) -> str:
    """As `models/audio.py:155 forward`; of a library's line also ours that called it."""
    library = f"{Path(torch.__file__).parent}/"
    outside = [
        frame
        for frame in stack
        if not frame.filename.startswith(library) and not frame.filename.endswith("warnings.py")
    ]
    ours = [frame for frame in outside if "/meld_lightning/" in frame.filename]
    last = outside[-1]
    text = _frame(last)
    return text if not ours or ours[-1] is last else f"{text} < {_frame(ours[-1])}"


def _frame(frame: traceback.FrameSummary) -> str:
    return f"{'/'.join(Path(frame.filename).parts[-2:])}:{frame.lineno} {frame.name}"


@contextmanager
def profiled(into: Stretches) -> Iterator[None]:
    """Sets `busy` of `into`: the share of the block's wall time in which the device ran a kernel or
    a copy."""
    if not torch.cuda.is_available():
        yield
        return
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CUDA]) as profile:
        start = _now()
        yield
        wall_s = _now() - start
    spans = [
        (one.time_range.start, one.time_range.end)
        for one in profile.events() or ()
        if one.device_type == torch.autograd.DeviceType.CUDA
        and not getattr(one, "is_user_annotation", False)
    ]
    into.busy = covered(spans) / 1e6 / wall_s


def covered(spans: Sequence[tuple[float, float]]) -> float:
    """The length of the union of intervals, which may overlap."""
    total, reached = 0.0, float("-inf")
    for start, end in sorted(spans):
        total += max(0.0, end - max(start, reached))
        reached = max(reached, end)
    return total


def _peak_mb() -> float:
    return torch.cuda.max_memory_allocated() / 2**20 if torch.cuda.is_available() else 0.0


def _now() -> float:
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter()
