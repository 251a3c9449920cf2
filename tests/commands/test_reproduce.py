"""`reproduce` and `report`: nothing runs twice, the numbers stay the same, the evidence stands
alone."""

import json
import shutil
from pathlib import Path

import pandas as pd
import pytest

from tests.finished import OWN_TABLES
from tests.running import Command, argv, folder_over, run_well

ASKED = [*OWN_TABLES, "tables=[table_01,table_few]", "study.seeds=[1,2]"]

pytestmark = pytest.mark.slow


def tables(folder: Path) -> dict[str, bytes]:
    """The rendered files by name; results.csv without the commit that made the run."""
    study = folder / "experiments" / "mini"
    return {
        str(path.relative_to(study)): path.read_bytes() for path in sorted(study.glob("table_*/*"))
    }


def stamps(folder: Path) -> dict[Path, int]:
    """When each file was written."""
    return {path: path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()}


@pytest.fixture(scope="module")
def reproduced(prepared: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Table 1 and a table of two rows, for the mini study and two seeds."""
    folder = folder_over(prepared, tmp_path_factory.mktemp("reproduced"))
    run_well(argv("reproduce", *ASKED), folder)
    return folder


def test_every_row_and_seed_is_there(reproduced: Path) -> None:
    results = pd.read_csv(reproduced / "experiments" / "mini" / "table_few" / "results.csv")
    rows = (
        results[results["metric"] == "weighted_f1"]
        .groupby("row")["seed"]
        .apply(lambda seeds: set(seeds.dropna()))
    )
    assert {row: seeds for row, seeds in rows.items() if row != "baseline"} == {
        "batch_32": {1, 2}, "batch_64": {1, 2},
    }  # fmt: skip
    assert set(results.loc[results["seed"].notna(), "n"]) == {480}
    one = json.loads(next(reproduced.glob("runs/*/*/result.json")).read_text())
    row = results[
        (results["run"] == one["hash"])
        & (results["metric"] == "weighted_f1")
        & results["seed"].notna()
    ]
    assert row["value"].item() == pytest.approx(one["metrics"]["test"]["weighted_f1"], abs=1e-6)
    assert row["low"].item() < row["value"].item() < row["high"].item()


def test_again_every_run_is_read_and_the_tables_have_the_same_bytes(
    reproduced: Path, meld_lightning: Command
) -> None:
    before, runs = tables(reproduced), stamps(reproduced / "runs")
    done = meld_lightning("reproduce", *ASKED, cwd=reproduced)
    assert done.returncode == 0, done.stderr
    assert "4 already finished, 0 to run" in done.stdout
    assert stamps(reproduced / "runs") == runs
    assert tables(reproduced) == before


def test_a_deleted_run_comes_back_with_the_same_numbers(
    reproduced: Path, meld_lightning: Command
) -> None:
    before = tables(reproduced)
    shutil.rmtree(next(reproduced.glob("runs/text-roberta/*/result.json")).parent)
    done = meld_lightning("reproduce", *ASKED, cwd=reproduced)
    assert "3 already finished, 1 to run" in done.stdout
    assert tables(reproduced) == before


def test_the_evidence_alone_gives_the_same_tables(
    reproduced: Path, tmp_path: Path, meld_lightning: Command
) -> None:
    """As in a fresh clone: no runs, no corpus, no checkpoints."""
    shutil.copytree(reproduced / "experiments", tmp_path / "experiments")
    for table in (tmp_path / "experiments" / "mini").glob("table_*"):
        shutil.rmtree(table)
    done = meld_lightning("report", *ASKED, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert tables(tmp_path) == tables(reproduced)


def test_evidence_is_small_and_holds_no_text_and_no_path(prepared: Path, reproduced: Path) -> None:
    texts = pd.read_csv(next(reproduced.glob("runs/*/*/predictions.csv")))["text"]
    long_texts = [text.encode() for text in texts if len(text) > 20]
    for run in (reproduced / "experiments" / "mini" / "runs").iterdir():
        files = [path for path in run.rglob("*") if path.is_file()]
        assert sum(path.stat().st_size for path in files) < 1_000_000
        content = b"".join(path.read_bytes() for path in files)
        assert not any(text in content for text in long_texts)
        assert str(prepared).encode() not in content
        assert str(reproduced).encode() not in content


def test_report_deletes_no_evidence(
    reproduced: Path, tmp_path: Path, meld_lightning: Command
) -> None:
    shutil.copytree(reproduced / "experiments", tmp_path / "experiments")
    before = sorted((tmp_path / "experiments" / "mini" / "runs").iterdir())
    rendered = tables(tmp_path)
    nothing = meld_lightning(
        "report",
        *OWN_TABLES,
        "tables=[table_few]",
        "study.seeds=[1]",
        "numerics=bf16",
        cwd=tmp_path,
    )
    assert nothing.returncode == 1
    assert "no finished run in" in nothing.stderr
    assert sorted((tmp_path / "experiments" / "mini" / "runs").iterdir()) == before
    assert tables(tmp_path) == rendered


def test_a_missing_run_shows_as_missing(
    reproduced: Path, tmp_path: Path, meld_lightning: Command
) -> None:
    folder = tmp_path / "copy"
    shutil.copytree(reproduced / "experiments", folder / "experiments")
    results = folder / "experiments" / "mini" / "table_few" / "results.csv"
    lost = pd.read_csv(results).query("row == 'batch_32' and seed == 2")["run"].iloc[0]
    shutil.rmtree(folder / "experiments" / "mini" / "runs" / lost)
    assert meld_lightning("report", *ASKED, cwd=folder).returncode == 0
    rendered = (folder / "experiments" / "mini" / "table_few" / "table.md").read_text()
    assert "missing 1 of 2 seeds" in rendered
