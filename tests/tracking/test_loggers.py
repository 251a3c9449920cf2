"""What a user relies on who watches runs: the loggers show what metrics.csv and result.json hold,
whatever happens."""

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import psutil
import pytest

from meld_lightning.commands.cli import main
from tests.finished import only_run
from tests.running import HANGS_S, Command, argv, environment, folder_over, start, until
from tests.tracking.wandb_offline import WatchedRun, read_runs

SMALL = ["train", "model=roberta", "optimizer.lr=1e-3", "data.batch_size=16", "epochs=2"]
STEP = "trainer/global_step"


@pytest.fixture(autouse=True)
def _logged_in_nowhere(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in [name for name in os.environ if name.startswith("WANDB")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))  # no ~/.netrc
    monkeypatch.setenv(
        "HTTPS_PROXY", "http://127.0.0.1:9"
    )  # whoever tries the network fails at once


def watched(folder: Path) -> WatchedRun:
    [run] = read_runs(folder / "runs")
    return run


def assert_shows(
    rows: dict[int, dict[str, float]], run: Path, exactly: float = 1e-12, every_step: bool = True
) -> None:
    """rows by step: every row of metrics.csv, and what result.json says of the epoch chosen on
    val."""
    written = pd.read_csv(run / "metrics.csv").set_index("step")
    for step, row in written.iterrows():
        for name, value in row.items():
            assert rows[int(str(step))][str(name)] == pytest.approx(
                value, rel=exactly, abs=exactly
            ), name
    last, result = rows[int(written.index[-1])], json.loads((run / "result.json").read_text())
    assert last["best/epoch"] == result["best"]["epoch"]
    for split in ("val", "test"):
        for name in ("weighted_f1", "accuracy", "loss"):
            expected = result["metrics"][split][name]
            assert last[f"best/{split}/{name}"] == pytest.approx(expected, rel=exactly, abs=exactly)
        f1 = {label: last[f"best/{split}/f1/{label}"] for label in result["labels"]}
        assert f1 == pytest.approx(result["metrics"][split]["f1"], rel=exactly, abs=exactly)
    steps = sorted(step for step, row in rows.items() if "train/loss" in row)
    expected_steps = list(range(10, int(written.index[-1]) + 1, 10))
    assert steps == expected_steps if every_step else set(steps) <= set(expected_steps)
    assert expected_steps[-1] in steps
    assert all(row["lr"] <= 1e-3 for row in rows.values() if "lr" in row)


def test_wandb_holds_the_run_offline_and_reading_it_logs_nothing(
    prepared: Path, tmp_path: Path, meld_lightning: Command
) -> None:
    folder = folder_over(prepared, tmp_path / "run")
    asked = [*SMALL, "logger=wandb", "logger.group=ours"]
    done = meld_lightning(*asked, cwd=folder)
    assert done.returncode == 0, done.stderr
    assert "not logged in to W&B" in done.stdout
    run, result = watched(folder), json.loads((only_run(folder) / "result.json").read_text())
    assert (run.project, run.group, run.job_type) == ("meld_lightning", "ours", "text-roberta")
    assert sorted(run.tags) == ["mini", "roberta", "text"]
    assert (run.config["hash"], run.config["commit"]) == (result["hash"], result["commit"])
    assert run.commit == (result["commit"] or "")
    assert (run.config["data/batch_size"], run.config["optimizer/lr"], run.config["seed"]) == (
        16,
        1e-3,
        1,
    )
    assert not [key for key, value in run.config.items() if isinstance(value, dict)], (
        "not a flat table"
    )
    assert_shows(run.steps, only_run(folder))
    assert run.summary["best/test/weighted_f1"] == result["metrics"]["test"]["weighted_f1"]
    assert (run.exit_code, len(run.folders)) == (0, 1)

    tables = {
        name: run.folders[0] / "files" / run.history[-1][name]["path"]
        for name in ("best/test/confusion_table", "best/test/predictions")
    }
    predicted = pd.read_parquet(only_run(folder) / "predictions.parquet").query("split == 'test'")
    content = json.loads(tables["best/test/confusion_table"].read_text())
    counts = pd.crosstab(predicted["true_label"], predicted["predicted_label"]).stack()
    found = {(actual, said): n for actual, said, n in content["data"] if n}
    assert found == {pair: n for pair, n in counts.items() if n}
    sample = json.loads(tables["best/test/predictions"].read_text())
    assert len(sample["data"]) == 50
    by_key = predicted.set_index("key")["predicted_label"]
    place = sample["columns"].index("predicted_label")
    assert all(row[place] == by_key[row[0]] for row in sample["data"])

    assert meld_lightning(*asked, cwd=folder).returncode == 0
    assert len(watched(folder).folders) == 1


@pytest.mark.slow
def test_csv_shows_the_same(prepared: Path, tmp_path: Path, meld_lightning: Command) -> None:
    folder = folder_over(prepared, tmp_path / "run")
    done = meld_lightning(*SMALL, "logger=csv", cwd=folder)
    assert done.returncode == 0, done.stderr
    rows = pd.read_csv(only_run(folder) / "csv" / "version_0" / "metrics.csv")
    by_step = {
        int(str(step)): one.bfill().iloc[0].dropna().to_dict() for step, one in rows.groupby("step")
    }
    assert_shows(by_step, only_run(folder))


@pytest.mark.slow
def test_tensorboard_shows_the_same(
    prepared: Path, tmp_path: Path, meld_lightning: Command
) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    folder = folder_over(prepared, tmp_path / "run")
    done = meld_lightning(*SMALL, "logger=tensorboard", cwd=folder)
    assert done.returncode == 0, done.stderr
    events = EventAccumulator(str(only_run(folder) / "tensorboard")).Reload()
    rows: dict[int, dict[str, float]] = {}
    for name in events.Tags()["scalars"]:
        for event in events.Scalars(name):
            rows.setdefault(event.step, {})[name] = event.value
    assert_shows(rows, only_run(folder), exactly=1e-6)  # it keeps 32 bits


def killed(asked: list[str], folder: Path, sign: signal.Signals) -> None:
    """Starts a run and kills it, with SIGKILL W&B's own process too, in the middle of its second
    epoch."""
    process = start(argv(*asked), folder)
    until(lambda: list(folder.glob("runs/*/*/metrics.csv")), process, "its first epoch ends")
    time.sleep(random.uniform(0.1, 0.5))
    if sign == signal.SIGKILL:
        for child in psutil.Process(process.pid).children(recursive=True):
            child.kill()
    process.send_signal(sign)
    process.wait(HANGS_S)
    assert not list(folder.glob("runs/*/*/result.json")), (
        "finished before it was killed: the test says nothing"
    )


@pytest.mark.slow
@pytest.mark.parametrize("sign", [signal.SIGKILL, signal.SIGTERM])
def test_a_run_that_went_on_is_one_run_with_its_whole_history(
    sign: signal.Signals, prepared: Path, tmp_path: Path, meld_lightning: Command
) -> None:
    folder = folder_over(prepared, tmp_path / "run")
    asked = [*SMALL, "epochs=4", "machine.checkpoint_every_s=0.2", "logger=wandb"]
    killed(asked, folder, sign)
    time.sleep(1)  # the folders are named by the second
    assert meld_lightning(*asked, cwd=folder).returncode == 0
    run = watched(folder)
    assert len(run.folders) == 2
    assert len(list((only_run(folder) / "wandb").glob("offline-run-*"))) == 2
    assert_shows(
        run.steps, only_run(folder), every_step=sign != signal.SIGKILL
    )  # which takes the last second's
    [first] = {row[STEP] for row in run.history if row.get("epoch") == 1}
    assert first == 40


@pytest.mark.slow
def test_what_is_logged_is_on_disk_before_a_kill(prepared: Path, tmp_path: Path) -> None:
    folder = folder_over(prepared, tmp_path / "run")
    asked = [*SMALL, "epochs=30", "logger=wandb"]
    process = start(argv(*asked), folder)
    until(lambda: list(folder.glob("runs/*/*/metrics.csv")), process, "its first epoch ends")
    written = pd.read_csv(next(folder.glob("runs/*/*/metrics.csv")))
    until(lambda: set(written["step"]) <= epochs_shown(folder), process, "an epoch is shown")
    for one in [*psutil.Process(process.pid).children(recursive=True), process]:
        one.kill()
    process.wait(HANGS_S)
    run = watched(folder)
    assert run.exit_code is None
    assert set(written["step"]) <= epochs_shown(folder)


def epochs_shown(folder: Path) -> set[float]:
    """The steps at which W&B's files hold an epoch."""
    return {
        row[STEP] for run in read_runs(folder / "runs") for row in run.history if "epoch" in row
    }


@pytest.mark.slow
def test_two_ranks_log_once(prepared: Path, tmp_path: Path, meld_lightning: Command) -> None:
    folder = folder_over(prepared, tmp_path / "run")
    done = meld_lightning(*SMALL, "numerics.world_size=2", "logger=wandb", cwd=folder)
    assert done.returncode == 0, done.stderr
    assert_shows(watched(folder).steps, only_run(folder))
    assert len(watched(folder).folders) == 1


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
        "data.batch_size=16,32",
        "logger=wandb",
    ]
    assert meld_lightning(*sweep, cwd=folder).returncode == 0
    before = {run.id for run in read_runs(folder / "runs")}
    again = next(folder.glob("runs/*/*/result.json"))  # one of them is run again
    again.unlink()
    shutil.rmtree(again.parent / "checkpoints")
    assert meld_lightning(*sweep, "machine.checkpoint_every_s=9", cwd=folder).returncode == 0
    runs = read_runs(folder / "runs")
    [group] = {run.group for run in runs}
    assert group.startswith("batch_size-")
    assert {run.id for run in runs} == before
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
            "best/test/confusion_table",
            "Parallel Coordinates Plot",
            "Run History Line Plot",
            group,
        ):
            assert wanted in text, (part, wanted)
    assert "of the study" in json.dumps(made["report"])
    wrong = meld_lightning("dashboards", "logger.group=batch_siez", cwd=folder)
    assert (wrong.returncode, len(wrong.stderr.strip().splitlines())) == (1, 1)
    assert f"did you mean '{group}'?" in wrong.stderr


@pytest.mark.slow
def test_reproduce_watches_its_runs_under_the_study(
    prepared: Path, tmp_path: Path, meld_lightning: Command
) -> None:
    folder = folder_over(prepared, tmp_path / "study")
    done = meld_lightning("reproduce", "tables=[table_04]", "logger=wandb", cwd=folder)
    assert done.returncode == 0, done.stderr
    runs = read_runs(folder / "runs")
    assert {run.group for run in runs} == {"mini"}
    assert {run.config["hash"] for run in runs} == {
        path.parent.name for path in folder.glob("runs/*/*/result.json")
    }


@pytest.mark.slow
@pytest.mark.parametrize(
    ("logger", "package"), [("wandb", "wandb"), ("tensorboard", "tensorboard")]
)
def test_a_missing_package_gets_one_line(
    logger: str, package: str, prepared: Path, tmp_path: Path
) -> None:
    folder = folder_over(prepared, tmp_path / "run")
    (tmp_path / "stub").mkdir()
    (tmp_path / "stub" / f"{package}.py").write_text("raise ImportError('not here')\n")
    path = f"{tmp_path / 'stub'}:{environment()['PYTHONPATH']}"
    done = subprocess.run(  # for a path of its own
        argv(*SMALL, f"logger={logger}"),
        cwd=folder,
        env={**environment(), "PYTHONPATH": path},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    said = [line for line in done.stderr.splitlines() if line.startswith("meld-lightning: ")]
    assert f"pip install 'meld-lightning[{logger}]'" in said[0]
    assert "Traceback" not in done.stderr
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


def test_a_cut_file_gives_what_is_whole(prepared: Path, tmp_path: Path) -> None:
    """Made by W&B itself, and cut at every length."""
    write = (
        "import wandb\nwith wandb.init(mode='offline', id='one', project='p',"
        " settings=wandb.Settings(silent=True)) as run:\n    for step in range(40):"
        f" run.log({{'{STEP}': step, 'long': 'x' * 2000}})\n"
    )
    subprocess.run(
        [sys.executable, "-c", write],
        cwd=tmp_path,
        env=environment(),
        check=True,
        capture_output=True,
    )
    [file] = tmp_path.glob("wandb/offline-run-*/run-one.wandb")
    whole = file.read_bytes()
    assert len(watched_in(tmp_path)) == 40
    for length in range(0, len(whole), 1009):
        file.write_bytes(whole[:length])
        found = watched_in(tmp_path)
        assert found == list(range(len(found)))


def watched_in(folder: Path) -> list[int]:
    return [row[STEP] for run in read_runs(folder) for row in run.history]
