"""Evidence as runs: found by its config where nothing is prepared, and refused where it is
ambiguous."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from omegaconf import OmegaConf

from meld_lightning import load_run
from meld_lightning.study.evidence import keep_study, study_note
from tests.running import CHECKOUT, call

STUDY = Path("experiments") / "meld_minilm"


def copied(folder: Path) -> list[Path]:
    """The evidence of meld_minilm, copied; its runs."""
    shutil.copytree(CHECKOUT / STUDY / "runs", folder / STUDY / "runs")
    return sorted((folder / STUDY / "runs").iterdir())


def test_what_a_study_showed_is_printed_with_its_own_evidence_alone() -> None:
    shipped: Any = OmegaConf.load(CHECKOUT / "conf" / "study" / "meld_minilm.yaml")
    shipped.paths = {"experiments": str(CHECKOUT / "experiments")}
    assert " Found: on test, mean pooling " in study_note(shipped)
    inherited: Any = OmegaConf.merge(shipped, {"study": {"name": "mine"}})
    assert study_note(inherited) == shipped.study.note
    assert "Found" not in shipped.study.note


@pytest.mark.slow
def test_two_runs_of_one_config_over_different_data_are_refused(tmp_path: Path) -> None:
    one, *_ = copied(tmp_path)
    other = one.with_name("0123456789ab")
    shutil.copytree(one, other)
    result = json.loads((other / "result.json").read_text())
    result |= {"hash": other.name, "digests": {"corpus": "another"}}
    (other / "result.json").write_text(json.dumps(result))
    done = call(["report", "study=meld_minilm"], tmp_path)
    assert done.returncode == 1
    assert "have the same config but different data; prepare the corpus" in done.stderr
    assert str(STUDY / "runs" / other.name) in done.stderr


@pytest.mark.slow
def test_a_damaged_run_does_not_stop_the_report_of_the_others(tmp_path: Path) -> None:
    one, *_ = copied(tmp_path)
    (one / "logits" / "test.parquet").write_bytes(b"PAR1")
    done = call(["report", "study=meld_minilm"], tmp_path)
    assert done.returncode == 0, done.stderr
    [line] = [line for line in done.stdout.splitlines() if "test.parquet" in line]
    assert f"{STUDY / 'runs' / one.name / 'logits' / 'test.parquet'}: cannot be read" in line
    assert f"runs read from the evidence in {STUDY / 'runs'}: 11" in done.stdout


def test_a_study_without_any_run_says_what_to_do(tmp_path: Path) -> None:
    done = call(["report", "study=meld_minilm"], tmp_path)
    assert done.returncode == 1
    assert len(done.stderr.strip().splitlines()) == 1
    assert (
        "study meld_minilm: nothing to report: no finished run in runs/ is one of its tables'"
        in done.stderr
    )
    assert "; run: meld-lightning reproduce study=meld_minilm (or" in done.stderr


def test_a_study_without_seeds_is_refused(tmp_path: Path) -> None:
    done = call(["report", "study=meld_minilm", "study.seeds=[]"], tmp_path)
    assert done.stderr == "meld-lightning: study.seeds=[]: expected at least 1 value\n"


def test_evidence_that_was_being_copied_is_none(tmp_path: Path) -> None:
    """A process was killed before it gave the folder its name."""
    [one, *others] = copied(tmp_path)
    one.rename(one.with_name(f".{one.name}.0123abcd.tmp"))
    for other in others:
        shutil.rmtree(other)
    done = call(["report", "study=meld_minilm"], tmp_path)
    assert done.returncode == 1
    assert "nothing to report" in done.stderr


def test_what_is_no_evidence_stays_beside_it(finished: Path, tmp_path: Path) -> None:
    run = load_run(finished)
    cfg: Any = OmegaConf.create({"paths": {"experiments": str(tmp_path)}, "study": {"name": "own"}})
    kept = tmp_path / "own" / "runs"
    (kept / "stale").mkdir(parents=True)
    (kept / "notes.txt").touch()
    keep_study(cfg, {("t", "row"): [run]}, {}, complete=True)
    assert {path.name for path in kept.iterdir()} == {run.result.hash, "notes.txt"}


@pytest.mark.slow
def test_finished_runs_of_no_row_are_counted(tmp_path: Path) -> None:
    for name in ("one", "two"):
        other = tmp_path / "runs" / "text-bert" / name
        other.mkdir(parents=True)
        (other / "result.json").write_text("{}")
    done = call(["report", "study=meld_minilm"], tmp_path)
    assert done.returncode == 1
    assert "none of the 2 finished runs in runs/ is one of its tables'" in done.stderr
    assert "run: meld-lightning reproduce study=meld_minilm (or" in done.stderr
