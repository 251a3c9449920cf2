"""`runs clean` and `runs failed`: what is listed, what goes, and what stays whatever is asked."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from omegaconf import OmegaConf

from meld_lightning.runs.run import claimed, load_run
from tests.listing.made import made_run, unfinished_run

Said = Callable[..., str]
EVERYTHING = "what=[unfinished,leftovers,last,damaged,weights]"


def files(runs: Path) -> set[str]:
    return {
        str(path.relative_to(runs))
        for path in runs.rglob("*")
        if path.is_file() and ".locks" not in path.parts
    }


def test_nothing_goes_before_yes(runs: Path, said: Said, data: Callable[..., Any]) -> None:
    unfinished_run(runs, "bbbb11112222")
    before = files(runs)
    found = data("clean")
    assert [(one["kind"], one["run"]) for one in found["removals"]] == [
        ("unfinished", "bbbb11112222")
    ]
    assert found["bytes"] > 3000
    assert "in all; yes=true deletes it" in said("clean")
    assert files(runs) == before
    assert "deleted: " in said("clean", "yes=true")
    assert files(runs) == set()


def test_results_logits_and_settings_of_finished_runs_stay(runs: Path, said: Said) -> None:
    good, bad = (
        made_run(runs, "aaaa11112222", 0.9, seed=1),
        made_run(runs, "bbbb11112222", 0.2, seed=2),
    )
    (bad / "checkpoints" / "last.ckpt").write_bytes(b"0")
    leftover = bad / "logits" / ".val.parquet.0123abcd.tmp"
    leftover.write_bytes(b"0")
    said("clean", EVERYTHING, "yes=true")
    assert (good / "checkpoints" / "best.ckpt").is_file()  # the best of its model on val
    assert not list((bad / "checkpoints").iterdir())
    assert not leftover.exists()
    for folder in (good, bad):
        load_run(folder).logits("val")


def test_what_evidence_or_a_fusion_rests_on_stays(runs: Path, said: Said) -> None:
    made_run(runs, "aaaa11112222", 0.9)
    of_evidence = made_run(runs, "bbbb11112222", 0.2, seed=2)
    fused = made_run(runs, "cccc11112222", 0.2, seed=3)
    alone = made_run(runs, "dddd11112222", 0.2, seed=4)
    (runs.parent / "experiments" / "mini" / "runs" / "bbbb11112222").mkdir(parents=True)
    fusion = runs / "fusion-average" / "eeee11112222"
    fusion.mkdir(parents=True)
    config = {"fusion": {"name": "average"}, "seed": 1, "runs": {"text": str(fused), "audio": None}}
    OmegaConf.save(OmegaConf.create(config), fusion / "config.yaml")
    said("clean", "what=[weights]", "yes=true")
    assert [
        folder.name[:4]
        for folder in (of_evidence, fused, alone)
        if (folder / "checkpoints" / "best.ckpt").is_file()
    ] == ["bbbb", "cccc"]


def test_a_fused_run_stays_wherever_the_command_is_started(
    runs: Path, said: Said, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made_run(runs, "aaaa11112222", 0.9)
    fused = made_run(runs, "cccc11112222", 0.2, seed=3)
    fusion = runs / "fusion-average" / "eeee11112222"
    fusion.mkdir(parents=True)
    read = {"text": str(fused.relative_to(tmp_path))}
    config = {"fusion": {"name": "average"}, "seed": 1, "runs": read, "paths": {"runs": "runs"}}
    OmegaConf.save(OmegaConf.create(config), fusion / "config.yaml")
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    said("clean", f"paths.runs={runs}", "what=[weights]", "yes=true")
    assert (fused / "checkpoints" / "best.ckpt").is_file()


def test_a_run_that_is_held_is_left_alone(runs: Path, data: Callable[..., Any]) -> None:
    held = unfinished_run(runs, "bbbb11112222")
    (held / "logits").mkdir()
    with claimed(held):
        found = data("clean", EVERYTHING, "yes=true")
    assert found["removals"] == []
    assert found["kept"] == ["bbbb11112222: kept, it is running or queued"]
    assert (held / "checkpoints" / "last.ckpt").is_file()


def test_a_run_whose_slurm_job_may_still_come_is_left_alone(
    runs: Path, data: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = unfinished_run(runs, "bbbb11112222")
    (folder / "slurm.json").write_text(json.dumps({"job": "7_0", "log": "x"}))
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    assert data("clean")["removals"] == []  # no squeue to ask
    squeue = tmp_path / "bin" / "squeue"
    squeue.parent.mkdir()
    for state, count in (("PENDING", 0), ("CANCELLED", 1)):
        squeue.write_text(f"#!/bin/sh\necho 7_0 {state} None\n")
        squeue.chmod(0o755)
        assert len(data("clean")["removals"]) == count


def test_failures_of_sweeps_are_listed_until_they_are_made(
    runs: Path, said: Said, data: Callable[..., Any], tmp_path: Path
) -> None:
    sweep, killed = tmp_path / "multirun" / "1", tmp_path / "multirun" / "2"
    sweep.mkdir(parents=True)
    killed.mkdir()
    (sweep / "a.log").write_text("epoch 1\nmeld-lightning: the loss is not finite\n")
    jobs = [
        {"overrides": ["seed=1"], "run": "aaaa11112222", "folder": "x", "status": "failed",
         "reason": "the loss is not finite", "wall_s": 1.0, "log": str(sweep / "a.log")},
        {"overrides": ["seed=2"], "run": "bbbb11112222", "folder": "x", "status": "finished",
         "reason": "", "wall_s": 1.0, "log": None},
    ]  # fmt: skip
    (sweep / "summary.json").write_text(json.dumps(jobs))
    (killed / "cccc11112222.log").write_text("epoch 2 of 3\n")
    unfinished_run(runs, "dddd11112222")
    found = {one["hash"][:4]: one for one in data("failed")}
    assert {name: one["state"] for name, one in found.items()} == {
        "aaaa": "failed",
        "cccc": "killed",
        "dddd": "unfinished",
    }
    assert found["aaaa"]["why"] == "the loss is not finite"
    assert found["cccc"]["why"] == "epoch 2 of 3"
    text = said("failed")
    assert f"log: {sweep / 'a.log'}" in text or "log: multirun/1/a.log" in text
    for name in ("aaaa11112222", "cccc11112222"):
        made_run(runs, name)
    assert [one["hash"][:4] for one in data("failed")] == ["dddd"]
    (sweep / "summary.json").write_text("{")
    assert "damaged" in {one["state"] for one in data("failed")}


def test_an_empty_folder_of_runs_says_so(runs: Path, said: Said) -> None:
    assert said("list") == "runs: no run\n"
    assert said("clean").startswith("runs: nothing to delete")
    assert said("failed").startswith("nothing failed")
