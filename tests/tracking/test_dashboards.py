"""The runs of a sweep are one group in W&B, whose dashboard is made from their run folders."""

import json
import shutil
from pathlib import Path

import pytest

from tests.finished import OWN_TABLES
from tests.running import Command, folder_over
from tests.tracking.logged import SMALL
from tests.tracking.wandb_offline import read_runs


@pytest.mark.slow
def test_a_sweep_is_one_group_and_its_dashboard_holds_what_was_swept(
    prepared: Path, tmp_path: Path, meld_lightning: Command
) -> None:
    folder = folder_over(prepared, tmp_path / "sweep")
    sweep = [
        "train",
        "--multirun",
        *SMALL[1:3],
        "epochs=1",
        "data.batch_size=32,64",
        "logger=wandb",
    ]
    assert meld_lightning(*sweep, cwd=folder).returncode == 0
    before = {run.id for run in read_runs(folder / "runs")}
    again = next(folder.glob("runs/*/*/result.json"))  # one of them runs again
    again.unlink()
    shutil.rmtree(again.parent / "checkpoints")
    assert meld_lightning(*sweep, "machine.checkpoint_every_s=9", cwd=folder).returncode == 0
    runs = read_runs(folder / "runs")
    [group] = {run.group for run in runs}
    assert group.startswith("batch_size-")
    assert {run.id for run in runs} == before
    for written_by_wandb in folder.glob("runs/*/*/wandb"):
        shutil.rmtree(written_by_wandb)  # dashboards are made from what the project records itself
    table = folder / "experiments" / "mini" / "table_04" / "table.md"
    table.parent.mkdir(parents=True)
    table.write_text("| a table | of the study |\n")
    done = meld_lightning("dashboards", cwd=folder)
    assert done.returncode == 0, done.stderr
    assert "wandb sync" in done.stdout
    made = json.loads(
        (folder / "experiments" / "mini" / "dashboards" / f"{group}.json").read_text()
    )
    assert (made["group"], made["runs"], made["swept"]) == (group, 2, ["data/batch_size"])
    for part in ("view", "report"):
        text = json.dumps(made[part]["spec"])
        for wanted in (
            "config:data/batch_size.value",
            '"groupBy": "data/batch_size.value"',
            "summary:best/val/weighted_f1",
            "best/val/confusion_table",
            "Parallel Coordinates Plot",
            "Run History Line Plot",
            group,
        ):
            assert wanted in text, (part, wanted)
    assert "best/test" not in json.dumps(made)
    assert "of the study" not in json.dumps(made), "a study's tables hold figures of test"
    wrong = meld_lightning("dashboards", "logger.group=batch_siez", cwd=folder)
    assert (wrong.returncode, len(wrong.stderr.strip().splitlines())) == (1, 1)
    assert f"did you mean '{group}'?" in wrong.stderr


@pytest.mark.slow
def test_reproduce_logs_its_runs_under_the_study(
    prepared: Path, tmp_path: Path, meld_lightning: Command
) -> None:
    folder = folder_over(prepared, tmp_path / "study")
    asked = [*OWN_TABLES, "tables=[table_few]", "logger=wandb"]
    done = meld_lightning("reproduce", *asked, cwd=folder)
    assert done.returncode == 0, done.stderr
    runs = read_runs(folder / "runs")
    assert {run.group for run in runs} == {"mini"}
    assert {run.config["hash"] for run in runs} == {
        path.parent.name for path in folder.glob("runs/*/*/result.json")
    }
