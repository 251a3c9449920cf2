"""A job of the local launcher that Linux kills because memory runs out resumes with smaller
microbatches."""

import json
import os
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from omegaconf import OmegaConf

from meld_lightning import load_run
from meld_lightning.data.text import TextBatch
from meld_lightning.launching import local
from meld_lightning.launching.jobs import Job
from meld_lightning.models.text import TextClassifier
from tests.finished import only_run
from tests.launching.test_sweep import jobs_of
from tests.running import HANGS_S, folder_over, run, start, until

SWEEP = ["train", "--multirun", "model=roberta", "optimizer.lr=1e-3", "seed=1"]
# a launcher that reads Linux's count of such kills from a file of the test's
COUNTED = """
import sys
from pathlib import Path
from meld_lightning.commands.cli import main
from meld_lightning.launching import local
local.VMSTAT = Path("vmstat")
sys.exit(main(sys.argv[1:]))
"""
IN_CGROUP = """
import os, sys
from pathlib import Path
Path(sys.argv[1], "cgroup.procs").write_text(str(os.getpid()))
from meld_lightning.commands.cli import main
sys.exit(main(sys.argv[2:]))
"""
LIMIT = 3 << 30  # holds the launcher, its server and a job with 32 utterances of Hungry at a time
MEMORY = Path("/sys/fs/cgroup/memory")  # cgroups of version 1


class Hungry(TextClassifier):
    """Takes 64 MB more for each utterance of a batch."""

    def forward(self, batch: TextBatch) -> torch.Tensor:
        torch.ones(len(batch.rows_N) << 24)
        return super().forward(batch)


@pytest.mark.parametrize(
    ("kills", "starts", "reason"),
    [(1, 2, "it left no result"), (0, 1, "killed by SIGKILL (out of memory?)")],
)
def test_a_killed_job_starts_again_if_memory_ran_out(
    kills: int, starts: int, reason: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A job that someone kills does not."""
    monkeypatch.setattr(local, "VMSTAT", tmp_path / "vmstat")
    local.VMSTAT.write_text("nr_free_pages 9\noom_kill 0\n")
    statuses: Iterator[int] = iter([-signal.SIGKILL, 0])
    logs = []

    class Killed:
        """A process that ends at once."""

        def __init__(self, arguments: Any, log: Path) -> None:
            self.status = next(statuses)
            if self.status:
                local.VMSTAT.write_text(f"nr_free_pages 9\noom_kill {kills}\n")
            log.open("a").write("started\n")
            logs.append(log)

        def poll(self) -> int:
            return self.status

        def wait(self) -> int:
            return self.status

    monkeypatch.setattr(local, "ForkedJob", Killed)
    monkeypatch.setattr(sys, "platform", "linux")
    folder = tmp_path / "runs" / "text-roberta" / "abc"
    folder.mkdir(parents=True)
    config = OmegaConf.create(
        {
            "model": {"_target_": "meld_lightning.models.text.TextClassifier"},
            "data": {"batch_size": 16},
            "eval_batch_size": 64,
            "numerics": {"world_size": 1},
        }
    )
    identity: Any = SimpleNamespace(folder=folder, hash="abc")
    job = Job("train", ["seed=1"], config, identity, "abc")
    local.run_here([job], 1, tmp_path / "logs")
    assert (job.status, job.reason) == ("failed", reason)
    assert logs[0].read_text() == "started\n" * starts
    schedule = folder / "accumulation.json"
    assert schedule.is_file() == (kills == 1)
    if kills:
        assert json.loads(schedule.read_text()) == [{"from_step": 0, "microbatches": 2}]


@pytest.mark.slow
def test_a_job_killed_for_lack_of_memory_resumes(prepared: Path, tmp_path: Path) -> None:
    folder = folder_over(prepared, tmp_path / "sweep")
    (folder / "vmstat").write_text("oom_kill 7\n")
    asked = [*SWEEP, "epochs=1", "data.batch_size=32", "machine.checkpoint_every_s=0"]
    sweep = start([sys.executable, "-c", COUNTED, *asked], folder)
    until(lambda: list(folder.glob("runs/*/*/checkpoints/last.ckpt")), sweep, "it is saved")
    (folder / "vmstat").write_text("oom_kill 8\n")
    [job] = jobs_of(sweep.pid)
    os.kill(job, signal.SIGKILL)
    assert sweep.wait(HANGS_S) == 0, sweep.stderr
    first, second = load_run(only_run(folder)).result.accumulation
    assert first == {"from_step": 0, "microbatches": 1}
    assert second["from_step"] > 0
    assert second["microbatches"] == 2
    assert "out of memory; resuming from step" in sweep.stdout


@pytest.mark.long
def test_a_job_under_a_memory_limit_resumes_until_it_fits(prepared: Path, tmp_path: Path) -> None:
    """The kernel's own out-of-memory killer, in a memory cgroup."""
    group = MEMORY / f"meld-lightning-test-{os.getpid()}"
    if os.geteuid() != 0 or not (MEMORY / "cgroup.procs").is_file():
        pytest.skip("a memory limit takes root and cgroups of version 1")
    group.mkdir()
    try:
        (group / "memory.limit_in_bytes").write_text(str(LIMIT))
        folder = folder_over(prepared, tmp_path / "sweep")
        asked = [
            *SWEEP,
            f"model._target_={__name__}.Hungry",
            "epochs=1",
            "data.batch_size=64",
        ]
        done = run([sys.executable, "-c", IN_CGROUP, str(group), *asked], folder)
        assert done.returncode == 0, done.stderr
        assert load_run(only_run(folder)).result.accumulation[-1]["microbatches"] > 1
        assert "out of memory; resuming" in done.stdout
    finally:
        deadline = time.monotonic() + HANGS_S
        while (group / "cgroup.procs").read_text() and time.monotonic() < deadline:
            time.sleep(0.1)  # the server that jobs are forked from ends after its launcher
        group.rmdir()
