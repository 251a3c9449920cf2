"""Steps on a CUDA device: nothing is measured without one, and synchronisations are counted by
place."""

import sys
import warnings
from collections import Counter
from pathlib import Path

import pytest
import torch

from benchmarks import cuda_steps
from benchmarks.cuda_steps_figures import COUNTED, WARM_UP, Stretches, covered, synchronisations
from meld_lightning.errors import Stopped


def test_without_a_device_one_line_says_so(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(sys, "argv", ["cuda_steps.py", "numerics=bf16", "--ways", "bert", "plain"])
    assert cuda_steps.main() == 0
    assert capsys.readouterr().out == "no CUDA device here: nothing is measured\n"


def test_calls_that_wait_for_the_device_are_counted_where_they_are_made() -> None:
    found: Counter[str] = Counter()
    with synchronisations(found):
        for _ in range(3):
            warnings.warn("called a synchronizing CUDA operation", stacklevel=1)
        warnings.warn("something else", stacklevel=1)
    [(place, count)] = found.items()
    assert count == 3
    assert place.startswith(f"benchmarks/{Path(__file__).name}:")


def test_utterances_of_the_timed_steps_alone_are_counted() -> None:
    stretches = Stretches(5)
    stretches.syncs["a line"] = 2 * COUNTED
    for step in range(WARM_UP + 5 + 2 * COUNTED - 1):
        stretches.ended(100 if step < WARM_UP or step >= WARM_UP + 5 else 2)
    with pytest.raises(Stopped):
        stretches.ended(100)
    figures = stretches.figures()
    assert figures.items_per_s / figures.steps_per_s == pytest.approx(2)
    assert figures.places == {"a line": 2}
    assert figures.syncs_per_step == 2


def test_time_that_two_kernels_share_counts_once() -> None:
    assert covered([(0, 4), (6, 7), (1, 2), (3, 5)]) == 6
    assert covered([]) == 0
