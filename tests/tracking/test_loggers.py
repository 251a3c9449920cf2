"""Every logger shows what metrics.csv and result.json hold, once, and refuses wrong input in one
line."""

import json
import sys
from pathlib import Path

import pandas as pd
import pytest

from meld_lightning.commands.cli import main
from tests.finished import only_run
from tests.running import Command, folder_over
from tests.tracking.logged import SMALL, assert_shows, logged


@pytest.mark.slow
def test_wandb_holds_the_run(constant: Path) -> None:
    folder = only_run(constant)
    run, result = logged(constant), json.loads((folder / "result.json").read_text())
    assert (run.project, run.job_type) == ("meld_lightning", "text-roberta")
    assert sorted(run.tags) == ["mini", "roberta", "text"]
    assert (run.config["hash"], run.config["commit"]) == (result["hash"], result["commit"])
    assert run.commit == (result["commit"] or "")
    assert (run.config["data/batch_size"], run.config["optimizer/lr"], run.config["seed"]) == (
        16,
        0,
        1,
    )
    assert not [key for key, value in run.config.items() if isinstance(value, dict)], (
        "not a flat table"
    )
    assert_shows(run.steps, folder)
    assert run.summary["best/val/weighted_f1"] == result["metrics"]["val"]["weighted_f1"]
    assert (run.exit_code, len(run.folders)) == (0, 1)

    tables = {
        name: run.folders[0] / "files" / run.history[-1][name]["path"]
        for name in ("best/val/confusion_table", "best/val/predictions")
    }
    predicted = pd.read_parquet(folder / "predictions.parquet").query("split == 'val'")
    content = json.loads(tables["best/val/confusion_table"].read_text())
    counts = pd.crosstab(predicted["true_label"], predicted["predicted_label"]).stack()
    found = {(actual, said): n for actual, said, n in content["data"] if n}
    assert found == {pair: n for pair, n in counts.items() if n}
    sample = json.loads(tables["best/val/predictions"].read_text())
    assert len(sample["data"]) == 50
    by_key = predicted.set_index("key")["predicted_label"]
    place = sample["columns"].index("predicted_label")
    assert all(row[place] == by_key[row[0]] for row in sample["data"])


@pytest.mark.slow
def test_csv_and_tensorboard_show_the_same(constant: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    folder = only_run(constant)
    rows = pd.read_csv(folder / "csv" / "version_0" / "metrics.csv")
    by_step = {
        int(str(step)): one.bfill().iloc[0].dropna().to_dict() for step, one in rows.groupby("step")
    }
    assert_shows(by_step, folder)
    events = EventAccumulator(str(folder / "tensorboard")).Reload()
    shown: dict[int, dict[str, float]] = {}
    for name in events.Tags()["scalars"]:
        for event in events.Scalars(name):
            shown.setdefault(event.step, {})[name] = event.value
    assert_shows(shown, folder, exactly=1e-6)  # it keeps 32 bits


@pytest.mark.slow
def test_two_ranks_log_once_offline_and_reading_their_run_logs_nothing(
    prepared: Path, tmp_path: Path, meld_lightning: Command
) -> None:
    folder = folder_over(prepared, tmp_path / "run")
    asked = [*SMALL, "epochs=1", "numerics.world_size=2", "logger=wandb", "logger.group=ours"]
    done = meld_lightning(*asked, cwd=folder)
    assert done.returncode == 0, done.stderr
    assert "not logged in to W&B" in done.stdout
    assert_shows(logged(folder).steps, only_run(folder))
    assert (logged(folder).group, len(logged(folder).folders)) == ("ours", 1)
    assert meld_lightning(*asked, cwd=folder).returncode == 0
    assert len(logged(folder).folders) == 1


@pytest.mark.slow
@pytest.mark.parametrize("package", ["wandb", "tensorboard"])
def test_a_missing_package_gets_one_line(
    package: str,
    prepared: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    folder = folder_over(prepared, tmp_path / "run")
    monkeypatch.chdir(folder)
    monkeypatch.setitem(sys.modules, package, None)  # as where it is not installed
    assert main([*SMALL, f"logger={package}"]) == 1
    [said] = capsys.readouterr().err.splitlines()
    assert f"pip install 'meld-lightning[{package}]'" in said
    assert not list(folder.glob("runs/*/*/result.json"))


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (
            ["train", "logger=wandbb"],
            "(did you mean 'wandb'?); there are: csv, none, tensorboard, wandb",
        ),
        (
            ["train", "logger=wandb", "+logger.gruop=a"],
            "'logger.gruop' is not known (did you mean 'logger.group'?)",
        ),
        (["dashboards", "logger=csv"], "logger=wandb"),
        (["dashboards"], "make sweep ARGS=logger=wandb"),
    ],
)
def test_wrong_input_gets_one_line(
    arguments: list[str],
    said: str,
    prepared: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(folder_over(prepared, tmp_path / "run"))
    assert main(arguments) == 1
    printed = capsys.readouterr().err.strip()
    assert said in printed
    assert len(printed.splitlines()) == 1, printed
