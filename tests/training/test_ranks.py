"""More processes than this machine has GPUs are refused in one line."""

from pathlib import Path

import pytest
import torch

from meld_lightning.errors import UserError
from meld_lightning.training.ranks import run_ranks


def test_more_processes_than_gpus_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    expected = r"numerics.world_size=2: expected at most 1, .*; set machine.accelerator=cpu, or"
    with pytest.raises(UserError, match=expected) as refused:
        run_ranks(lambda folder: None, tmp_path, 2, "auto")
    assert "\n" not in str(refused.value)
