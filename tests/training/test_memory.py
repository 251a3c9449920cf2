"""The accumulation schedule in a run folder, and Lightning's progress when it changes."""

import copy
from pathlib import Path

import pytest
import torch

from meld_lightning.errors import UserError
from meld_lightning.storage.atomic import write_json
from meld_lightning.training.memory import (
    Accumulation,
    double_microbatches,
    read_schedule,
    rescale_progress,
)


def saved_at(step: int, folder: Path) -> None:
    (folder / "checkpoints").mkdir()
    torch.save({"global_step": step}, folder / "checkpoints" / "last.ckpt")


def test_microbatches_double_from_the_last_checkpoint_on(tmp_path: Path) -> None:
    assert read_schedule(tmp_path) == [Accumulation(0, 1)]
    double_microbatches(tmp_path, read_schedule(tmp_path), largest=16)
    assert read_schedule(tmp_path) == [Accumulation(0, 2)]
    saved_at(9, tmp_path)
    double_microbatches(tmp_path, read_schedule(tmp_path), largest=16)
    assert read_schedule(tmp_path) == [Accumulation(0, 2), Accumulation(9, 4)]
    # no step was saved since: what the failed try did from step 9 on has left nothing
    double_microbatches(tmp_path, read_schedule(tmp_path), largest=16)
    assert read_schedule(tmp_path) == [Accumulation(0, 2), Accumulation(9, 8)]


def test_a_single_utterance_is_not_divided(tmp_path: Path) -> None:
    schedule = [Accumulation(0, 4)]
    with pytest.raises(UserError, match="out of memory with one utterance at a time"):
        double_microbatches(tmp_path, schedule, largest=4)
    double_microbatches(tmp_path, schedule, largest=5)
    assert read_schedule(tmp_path) == [Accumulation(0, 8)]


def test_a_damaged_schedule_is_one_line_with_its_remedy(tmp_path: Path) -> None:
    write_json(tmp_path / "accumulation.json", [{"from_step": 0}])
    with pytest.raises(UserError, match=r"accumulation.json: damaged .*; delete it") as refused:
        read_schedule(tmp_path)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("open_", [0, 1])  # 1: saved within a hook of the step's end
@pytest.mark.parametrize(("before", "now"), [(1, 4), (2, 4), (4, 1)])
def test_progress_after_seven_steps_is_seven_steps_with_another_number_of_microbatches(
    before: int, now: int, open_: int
) -> None:
    def progress(microbatches: int) -> dict[str, dict[str, int]]:
        done = 7 * microbatches
        counts = dict.fromkeys(("ready", "started", "processed"), done)
        return {"total": {**counts, "completed": done - open_}, "current": dict(counts)}

    saved = progress(before)
    saved["current"]["completed"] = saved["total"]["completed"]
    expected = copy.deepcopy(progress(now))
    expected["current"]["completed"] = expected["total"]["completed"]
    rescale_progress(saved, before, now)
    assert saved == expected
