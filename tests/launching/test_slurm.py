"""Jobs in Slurm, whose programs are shell scripts here; tests/system/cluster has a real one."""

import json
import shutil
from pathlib import Path

import pytest
from omegaconf import OmegaConf

from meld_lightning.errors import Stopped, UserError
from meld_lightning.launching import slurm
from meld_lightning.launching.jobs import Job
from meld_lightning.launching.resources import Resources
from meld_lightning.launching.slurm import run_on_slurm
from meld_lightning.runs.identity import Identity

# the first call is before the job is submitted; at the fifth its process has written its result
QUEUE = """
echo >> {calls}; n=$(wc -l < {calls})
[ $n = 1 ] && exit
[ $n = 5 ] && cp {result} {result}.new && mv {result}.new {result}
echo "7_0 PENDING Priority"
"""


@pytest.fixture
def job(finished: Path, tmp_path: Path) -> Job:
    """A finished run that is made again."""
    folder = tmp_path / "runs" / finished.name
    shutil.copytree(finished, folder)
    config = OmegaConf.create(
        {"numerics": {"world_size": 1}, "paths": {"runs": str(tmp_path / "runs")}}
    )
    identity = Identity(folder=folder, hash=folder.name, config_hash="", digests={})
    return Job("train", ["seed=1"], config, identity, folder.name, rerun=True)


def programs(folder: Path, monkeypatch: pytest.MonkeyPatch, *, sbatch: str, squeue: str) -> None:
    """Puts shell scripts of these names first on the path."""
    (folder / "bin").mkdir()
    for name, script in {"sbatch": sbatch, "squeue": squeue, "srun": ""}.items():
        path = folder / "bin" / name
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder / 'bin'}", prepend=":")
    monkeypatch.setattr(slurm, "POLL_S", (0.01, 0.01))


def test_a_run_that_is_made_again_is_finished_when_it_has_been_made(
    job: Job, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While the job is pending, the old run lies in its folder."""
    assert job.identity is not None
    calls = tmp_path / "calls"
    queue = QUEUE.format(calls=calls, result=job.identity.folder / "result.json")
    programs(tmp_path, monkeypatch, sbatch="echo Submitted batch job 7", squeue=queue)
    run_on_slurm([job], Resources(), tmp_path / "logs")
    assert job.status == "finished"
    assert len(calls.read_text()) == 5


def test_a_job_that_sbatch_refuses_has_failed(
    job: Job, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    refuses = "echo 'sbatch: error: invalid partition specified: x' >&2; exit 1"
    programs(tmp_path, monkeypatch, sbatch=refuses, squeue="")
    with pytest.raises(UserError, match="sbatch refused: invalid partition specified: x"):
        run_on_slurm([job], Resources(), tmp_path / "logs")
    [row] = json.loads((tmp_path / "logs/summary.json").read_text())
    assert row["status"] == "failed"
    assert row["reason"].startswith("sbatch refused: invalid partition")


def test_a_stop_before_anything_is_submitted_names_no_job(
    job: Job, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    programs(tmp_path, monkeypatch, sbatch="", squeue="kill -INT $PPID; sleep 9")
    with pytest.raises(Stopped, match="^no job is known to have been submitted$"):
        run_on_slurm([job], Resources(), tmp_path / "logs")
