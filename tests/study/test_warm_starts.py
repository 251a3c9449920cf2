"""Rows that start from the runs of other rows: their order, and the run that each starts from."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from omegaconf import DictConfig, OmegaConf

from meld_lightning import load_run
from meld_lightning.errors import UserError
from meld_lightning.runs.identity import canonical_config
from meld_lightning.study.plan import PlannedRun
from meld_lightning.study.warm_starts import in_waves, resolve_warm_starts
from meld_lightning.training.train import Training
from tests.running import argv, folder_over, run

Compose = Callable[[list[str]], Any]


def planned(compose: Compose, **rows: str | None) -> Any:
    """Two seeds of each row of table `t`, by the row that it starts from."""
    plain, found = compose([]), dict[tuple[str, str], list[PlannedRun]]()
    for row, source in rows.items():
        found["t", row] = []
        for seed in (1, 2):
            config = OmegaConf.merge(plain, {"seed": seed, "warm_start": source})
            assert isinstance(config, DictConfig)
            found["t", row].append(PlannedRun([], config))
    return found


@pytest.mark.slow
def test_a_row_runs_after_the_row_it_starts_from(compose_train: Compose) -> None:
    rows = planned(compose_train, last="t.second", second="t.first", first=None, other=None)
    waves = in_waves(rows)
    assert waves == [[("t", "first"), ("t", "other")], [("t", "second")], [("t", "last")]]
    resolve_warm_starts(rows, waves)
    for row, source in (("second", "first"), ("last", "second")):
        for one, other in zip(rows["t", row], rows["t", source], strict=True):
            assert one.config.warm_start == str(Training(other.config).identity.folder)
    hashes = {Training(one.config).identity.hash for runs in rows.values() for one in runs}
    assert len(hashes) == 6, "first and other are the same runs, all others differ"


@pytest.mark.slow
def test_evidence_tells_a_warm_start_from_a_cold_one(compose_train: Compose) -> None:
    cold, one, other = (
        canonical_config(compose_train(given))
        for given in ([], ["warm_start=t.first"], ["warm_start=runs/text-bert/abc"])
    )
    assert one == other == {**cold, "warm_start": True}


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ({"first": "t.second", "second": "t.first"}, "t.first, t.second start from each other"),
        ({"first": None, "second": "t.frist"}, "warm_start=t.frist is not a trained row of these"),
    ],
)
def test_a_source_that_cannot_be_is_refused(
    compose_train: Compose, rows: dict[str, str | None], message: str
) -> None:
    with pytest.raises(UserError, match=message):
        in_waves(planned(compose_train, **rows))


def test_a_source_of_other_folds_is_refused(compose_train: Compose) -> None:
    rows = planned(compose_train, first=None, second="t.first")
    for one in rows["t", "second"]:
        one.config.corpus.fold = 1
    with pytest.raises(
        UserError, match="t.rows.second: warm_start=t.first has no run of seed 1, f"
    ):
        resolve_warm_starts(rows, in_waves(rows))


def test_nothing_is_resolved_where_nothing_is_prepared(
    compose_train: Compose, tmp_path: Any
) -> None:
    rows = planned(compose_train, first=None, second="t.first")
    for runs in rows.values():
        for one in runs:
            OmegaConf.update(one.config, "paths.cache", str(tmp_path))
    resolve_warm_starts(rows, in_waves(rows))
    assert rows["t", "second"][0].config.warm_start == "t.first"


@pytest.mark.slow
def test_reproduce_trains_the_source_first_and_starts_from_its_weights(
    prepared: Path, tmp_path: Path
) -> None:
    """A learning rate of zero keeps what is started from: the source's logits."""
    folder = folder_over(prepared, tmp_path / "study")
    shared = ["model=roberta", "model.pooling=mean", "epochs=1"]
    rows = {
        "later": [*shared, "optimizer.lr=0", "warm_start=t.alone"],
        "alone": [*shared, "optimizer.lr=1e-3"],
    }
    spec = {"title": "T", "rows": rows, "metrics": {"test/accuracy": "accuracy"}}
    (folder / "configs" / "study" / "tables").mkdir(parents=True)
    study = {"defaults": ["mini"], "study": {"name": "own", "tables": ["t"]}}
    for name, content in (("own", study), ("tables/own", {"t": spec})):
        text = "# @package _global_\n" if name == "own" else ""
        (folder / "configs" / "study" / f"{name}.yaml").write_text(text + json.dumps(content))
    own = ["--config-dir", "configs", "study=own", "media.keep=[]"]
    done = run(argv("reproduce", *own), folder)
    assert done.returncode == 0, done.stderr
    runs = [load_run(path.parent) for path in folder.glob("runs/*/*/result.json")]
    first, later = sorted(runs, key=lambda one: "warm_start" in one.result.digests)
    assert later.result.digests["warm_start"] == first.result.hash
    pd.testing.assert_frame_equal(later.logits("test"), first.logits("test"))
    done = run(argv("doctor", *own), folder)
    assert "ok    duration: 2 runs of the study, all finished" in done.stdout
