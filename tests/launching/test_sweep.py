"""Sweeps: finished runs are read, a dying job takes no other with it, Ctrl-C loses nothing."""

import csv
import json
import logging
import os
import random
import shutil
import signal
import subprocess
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import psutil
import pytest
from omegaconf import OmegaConf

from meld_lightning import load_run
from meld_lightning.errors import Stopped, UserError
from meld_lightning.launching import local
from meld_lightning.launching.jobs import Job
from meld_lightning.launching.sweep import Sweep, report_best, report_failures
from meld_lightning.runs.identity import Identity
from meld_lightning.runs.result import write_result
from meld_lightning.runs.run import last_checkpoint
from meld_lightning.runs.val_score import ValScore
from tests.running import HANGS_S, Command, argv, environment, folder_over, start, until

SMALL = OmegaConf.create({"numerics": {"world_size": 1}})
VALUES = ("2e-05", "2.0e-5", "0.001", "0.5", "16", "[1,0.001]", "1e", "v0.1")
SWEEP = ["train", "--multirun", "model=roberta", "epochs=1", "data.batch_size=32"]


def summary(folder: Path) -> list[dict]:
    """Of the sweep that was run last."""
    latest = max(folder.glob("multirun/*/summary.json"), key=lambda path: path.stat().st_mtime_ns)
    rows: list[dict] = json.loads(latest.read_text())
    return rows


def test_jobs_that_ask_for_one_run_count_as_one(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    twins = [Job("prepare", [], OmegaConf.create(), None, "same") for _ in range(2)]
    other = Job("prepare", [], OmegaConf.create(), None, "other")
    Sweep([*twins, other], tmp_path).announce("")
    assert "2 runs: 0 already finished, 2 to run" in caplog.text


def test_a_run_that_is_made_again_is_read_again(
    finished: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Until then the job has no run, so that nobody takes the old one for it."""
    folder = tmp_path / finished.name
    shutil.copytree(finished, folder)
    identity = Identity(folder=folder, hash=folder.name, config_hash="", digests={})
    job = Job("train", ["seed=1"], OmegaConf.create(), identity, folder.name, rerun=True)
    assert job.run is None
    with caplog.at_level(logging.INFO), Sweep([job], tmp_path) as sweep:
        sweep.begin(job, tmp_path / "log")
        old = load_run(folder).result
        write_result(folder, replace(old, best={**old.best, "value": 0.125}))
        sweep.end(job, "")
    assert "[1/1] seed=1: val/weighted_f1 0.1250" in caplog.text


def test_a_job_is_named_by_its_overrides_as_people_write_them() -> None:
    """Hydra turns the values of a sweep into Python's own spelling."""
    given = ["optimizer.lr=0.0001", "optimizer.weight_decay=0.01", "seed=1", "model=bert"]
    job = Job("train", given, OmegaConf.create(), None, "one")
    assert job.title == "optimizer.lr=1e-4 optimizer.weight_decay=0.01 seed=1 model=bert"
    spelt = [Job("train", [f"a={value}"], OmegaConf.create(), None, "").title for value in VALUES]
    assert spelt == ["a=2e-5", "a=2e-5", "a=1e-3", "a=0.5", "a=16", "a=[1,0.001]", "a=1e", "a=v0.1"]


def test_the_first_and_the_last_line_count_resumed_runs_and_name_the_logs(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    jobs = [
        Job("train", [], OmegaConf.create(), Identity(name, "", tmp_path / name, {}), name)
        for name in ("resumed", "fresh")
    ]
    last = last_checkpoint(tmp_path / "resumed")
    last.parent.mkdir(parents=True)
    last.touch()
    with caplog.at_level(logging.INFO), Sweep(jobs, tmp_path / "logs") as sweep:
        sweep.announce("1 at a time")
        jobs[0].status, jobs[1].status = "finished", "failed"
    first, last_line = (one.getMessage() for one in caplog.records)
    assert (
        first == "2 runs: 0 already finished, 2 to run, 1 of them from a checkpoint (1 at a time)"
    )
    assert last_line == (
        f"1 run finished (1 resumed), 1 failed; logs and summary: {tmp_path / 'logs'}"
    )


@pytest.mark.slow
def test_a_killed_and_a_failing_job_take_no_other_with_them(
    prepared: Path, tmp_path: Path, meld_lightning: Command
) -> None:
    folder = folder_over(prepared, tmp_path / "sweep")
    asked = [*SWEEP, "data.max_tokens=64,100000,32", "hydra.launcher.jobs=1"]
    first = start(argv(*asked), folder)
    until(lambda: list(folder.glob("runs/*/*/config.yaml")), first, "a run begins")
    [job] = jobs_of(first.pid)
    os.kill(job, signal.SIGKILL)
    assert first.wait(HANGS_S) == 1
    assert [row["status"] for row in summary(folder)] == ["failed", "failed", "finished"]
    assert "2 of 3 runs failed; run the same command to repeat them" in first.stderr
    assert "killed by SIGKILL (out of memory?)" in first.stderr
    assert "data.max_tokens=100000: expected 8 to 512" in first.stderr
    assert meld_lightning(*asked, cwd=folder).returncode == 1
    assert [row["status"] for row in summary(folder)] == ["finished", "failed", "read"]


@pytest.mark.slow
def test_a_sweep_under_random_kills_matches_an_uninterrupted_one(
    prepared: Path, tmp_path: Path, meld_lightning: Command
) -> None:
    """Two jobs and then the launcher itself are killed; its jobs go on without it, and the next
    launcher waits for them."""
    grid = [
        "model=roberta",
        "optimizer.lr=1e-3",
        "seed=1,2",
        "data.batch_size=64",
        "hydra.launcher.jobs=2",
    ]
    wild, calm = (folder_over(prepared, tmp_path / name) for name in ("wild", "calm"))
    drawn, killed = random.Random(3), 0
    for _ in range(6):
        sweep = start(argv("train", "--multirun", *grid, "machine.checkpoint_every_s=0.2"), wild)
        while sweep.poll() is None and killed < 3:
            time.sleep(drawn.uniform(0.1, 0.5))
            saved = [path.parents[1] for path in wild.glob("runs/*/*/checkpoints/last.ckpt")]
            if any(not (run / "result.json").is_file() for run in saved) and sweep.poll() is None:
                victims = [sweep.pid] if killed == 2 else jobs_of(sweep.pid)
                if victims:
                    os.kill(drawn.choice(victims), signal.SIGKILL)
                    killed += 1
        if sweep.wait(HANGS_S) == 0:
            break
    assert sweep.poll() == 0
    assert killed == 3
    assert meld_lightning("train", "--multirun", *grid, cwd=calm).returncode == 0
    assert figures(wild) == figures(calm)
    assert len(figures(calm)) == 2


def figures(folder: Path) -> list[list[str]]:
    """results.csv of the sweep that ended last, but for what was asked: where and how often to save
    stands there."""
    latest = max(folder.glob("multirun/*/results.csv"), key=lambda path: path.stat().st_mtime_ns)
    return [row[1:] for row in csv.reader(latest.open())][1:]


def saved(folder: Path) -> object:
    """Whether a training has saved its first checkpoint."""
    return list(folder.glob("runs/*/*/checkpoints/last.ckpt"))


def starting(folder: Path) -> object:
    """Whether the first job starts: it has a log, and waits for imports that take seconds."""
    return list(folder.glob("multirun/*/*.log"))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("seen", "sign"), [(saved, signal.SIGINT), (starting, signal.SIGTERM)], ids=["saved", "early"]
)
def test_a_stop_leaves_resumable_runs_and_one_line(
    seen: Callable[[Path], object], sign: signal.Signals, prepared: Path, tmp_path: Path
) -> None:
    """The launcher is an interpreter of its own, and its jobs start as a user's do. No job goes on
    without it, whenever it is stopped."""
    folder = folder_over(prepared, tmp_path / "sweep")
    asked = ["seed=1,2", "epochs=30", "hydra.launcher.jobs=1", "machine.checkpoint_every_s=0.2"]
    said = tmp_path / "stderr"
    with said.open("w") as stderr:
        sweep = subprocess.Popen(
            argv(*SWEEP, *asked),
            cwd=folder,
            env=environment(),
            stdout=subprocess.DEVNULL,
            stderr=stderr,
            start_new_session=True,
            # a process in the background, as this one may be, starts others that ignore it
            preexec_fn=partial(signal.signal, signal.SIGINT, signal.SIG_DFL),
        )
    deadline = time.monotonic() + HANGS_S
    while not seen(folder):
        assert sweep.poll() is None, said.read_text()
        assert time.monotonic() < deadline
        time.sleep(0.01)
    os.killpg(sweep.pid, sign)
    assert sweep.wait(HANGS_S) == 130
    left = [one for one in psutil.process_iter(["cwd"]) if one.info["cwd"] == str(folder)]
    psutil.wait_procs(left, HANGS_S)
    assert bool(saved(folder)) == (seen is saved)
    assert (
        said.read_text().strip()
        == "meld-lightning: stopped; unfinished: 2 of 2 runs; those that had started are saved;"
        " run the same command to resume"
    )
    assert [row["status"] for row in summary(folder)] == ["stopped", "waiting"]


def jobs_of(launcher: int) -> list[int]:
    """The processes of its jobs: each heads a session."""
    below = psutil.Process(launcher).children(recursive=True)
    return [one.pid for one in below if os.getsid(one.pid) == one.pid]


def test_a_sweep_names_its_best_run_and_its_results(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A lower val/loss is better; nan never wins."""
    caplog.set_level(logging.INFO)
    monkeypatch.setattr(Job, "run", property(lambda job: float(job.overrides[0])))
    monkeypatch.setattr(
        ValScore,
        "of",
        lambda value: ValScore("val/loss", value, None, 1, ("joy", 0.0), None),
    )
    given = ("nan", "0.9", "0.25", "0.5")
    jobs = [Job("train", [loss], OmegaConf.create(), None, loss) for loss in given]
    report_best(jobs, tmp_path)
    assert "best of 4 runs by val/loss: 0.25 (0.25): 0.2500" in caplog.text
    assert f"val metrics of every run: {tmp_path / 'results.csv'}" in caplog.text


def test_a_failure_is_printed_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    job = Job("prepare", ["a=1"], OmegaConf.create(), None, "one")
    with Sweep([job], tmp_path) as sweep:
        sweep.begin(job, tmp_path / "one.log")
        sweep.end(job, "the disk is full")
    assert "[1/1] FAILED a=1 (no log: it never started)" in caplog.text
    assert "the disk is full" not in caplog.text
    twin = Job("prepare", ["a=1"], OmegaConf.create(), None, "one", status="failed")
    with pytest.raises(UserError, match="1 of 1 run failed.*\n  a=1: the disk is full") as caught:
        report_failures([job, twin])
    assert str(caught.value).count("\n") == 1


def test_a_stop_counts_only_jobs_that_have_not_ended(
    finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A job of `prepare` leaves no run, and one that waits to be made again still has its old."""
    identity = Identity(folder=finished, hash=finished.name, config_hash="", digests={})
    again = Job("train", [], SMALL, identity, finished.name, rerun=True)
    jobs = [Job("prepare", [], SMALL, None, name) for name in ("a", "a", "b")]

    def start(job: Job, _: object, sweep: Sweep) -> Ended:
        if job is again:
            raise KeyboardInterrupt
        sweep.begin(job, tmp_path / job.name)
        return Ended()

    monkeypatch.setattr(local, "_start", start)
    with pytest.raises(Stopped, match="unfinished: 1 of 3 runs"):
        local.run_here([*jobs, again], 1, tmp_path)


class Ended:
    """A process that has ended well."""

    def poll(self) -> int:
        return 0

    def wait(self) -> int:
        return 0


def test_fewer_jobs_run_at_a_time_where_each_is_several_processes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(local, "_gpus", lambda: 4)
    of_two = OmegaConf.create({"numerics": {"world_size": 2}})
    assert [local.default_jobs(configs) for configs in ([], [SMALL], [SMALL, of_two])] == [4, 4, 2]


def test_a_number_of_jobs_below_zero_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"hydra.launcher.jobs=-1: expected 0 .* or more"):
        local.run_here([], -1, tmp_path)
