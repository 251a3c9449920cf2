"""Why a Slurm job failed, from its state and the logs of its processes."""

from pathlib import Path

import pytest
from omegaconf import OmegaConf

from meld_lightning.launching.jobs import Job
from meld_lightning.launching.slurm_queue import failure

LOST = "meld-lightning: rank 0 failed: its log says why"
OWN = "meld-lightning: runs/a: the model's outputs are not finite; lower optimizer.lr"
KILLED = "srun: error: node1: task 0: Killed"


@pytest.mark.parametrize(
    ("state", "logs", "expected"),
    [
        ("TIMEOUT", [OWN], "reached its time limit before it could save"),
        ("FAILED", [OWN], "runs/a: the model's outputs are not finite; lower optimizer.lr"),
        ("FAILED", [LOST, OWN], "runs/a: the model's outputs are not finite"),  # the peer's is last
        ("FAILED", [f"{OWN}\nsrun: Job step aborted: waiting up to 32 seconds"], "runs/a: the"),
        ("FAILED", [f"epoch 1\n{KILLED}"], KILLED),
        ("CANCELLED", ["slurmstepd: error: Detected 1 oom-kill event(s)"], "out of memory; raise"),
        ("FAILED", [""], "failed without a message"),
        ("COMPLETED", ["done"], "it left no result"),
        ("gone from the queue", ["done"], "gone from the queue"),
    ],
)
def test_a_failure_is_explained_by_the_state_or_by_the_rank_that_failed_first(
    state: str, logs: list[str], expected: str, tmp_path: Path
) -> None:
    for rank, text in enumerate(logs):
        (tmp_path / f"7_{rank}_log.out").write_text(text)
    job = Job("train", ["seed=1"], OmegaConf.create(), None, "a", log=tmp_path / "7_0_log.out")
    assert failure(state, job).startswith(expected)
