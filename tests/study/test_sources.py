"""Which run a source stands for: chosen on val, the first of equals, none while one is missing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, cast

import pytest
from hydra import compose, initialize_config_dir

from meld_lightning.errors import UserError
from meld_lightning.runs.result import Result
from meld_lightning.study.kinds import read_tables
from meld_lightning.study.plan import needed_rows, plan_fusions
from meld_lightning.study.sources import best_place, ranked_runs, source_runs, stored
from meld_lightning.study.spec import Rule, Source, Table
from tests.running import CHECKOUT
from tests.study.conftest import result_of

SPEC: dict[str, Any] = {
    "scored": {
        "title": "t",
        "rows": {"a": ["x=1"], "b": ["x=2"], "c": ["x=3"], "left_out": None},
        "metrics": {"val/accuracy": "accuracy"},
    },
    "fused": {
        "title": "t",
        "rows": {"all": ["y=1"]},
        "sources": {"text": "max val/accuracy of scored", "audio": "scored.b"},
        "metrics": {"val/accuracy": "accuracy"},
    },
}


@dataclass(frozen=True)
class Scored:
    """A run of which the accuracy is known."""

    val: float
    seed: int = 1
    test: float = 0.5
    folder: str = "runs/one"
    config: Any = None

    @property
    def result(self) -> Result:
        val = {"accuracy": self.val, "weighted_f1": self.val}
        metrics = {"val": val, "test": {"accuracy": self.test}}
        return result_of(seed=self.seed, metrics=metrics)

    def logits(self, split: str) -> Any:
        raise AssertionError("a source is chosen by what result.json says")


@pytest.fixture
def tables() -> dict[str, Table]:
    return read_tables(SPEC)


def test_an_ensemble_fuses_the_same_runs_whichever_seed_is_asked_for() -> None:
    sources = {"one": "scored.a seed 1", "two": "scored.a seed 2"}
    of = read_tables({**SPEC, "fused": {**SPEC["fused"], "sources": sources}})
    runs = {("scored", "a"): [Scored(0.5, seed, folder=f"runs/{seed}") for seed in (1, 2)]}
    for name, wanted in (("one", 1), ("two", 2)):
        found = source_runs(of["fused"].sources[name], of, runs, [1, 2])
        assert {seed: run.result.seed for seed, run in found.items()} == {1: wanted, 2: wanted}
    assert of["fused"].seeds([1, 2]) == [1]
    assert of["scored"].seeds([1, 2]) == read_tables(SPEC)["fused"].seeds([1, 2]) == [1, 2]
    mixed = {**SPEC, "fused": {**SPEC["fused"], "sources": {**sources, "text": "scored.b"}}}
    assert read_tables(mixed)["fused"].seeds([1, 2]) == [1, 2]
    # a seed that the study does not run
    assert source_runs(Source(("scored",), row="a", seed=3), of, runs, [1, 2]) == {}


def test_the_best_on_val_is_taken_and_the_first_of_equals(tables: dict[str, Table]) -> None:
    source = tables["fused"].sources["text"]
    runs = {
        ("scored", "a"): [Scored(0.5, test=0.9)],
        ("scored", "b"): [Scored(0.7, test=0.1)],
        ("scored", "c"): [Scored(0.7, test=0.8)],
    }
    assert source_runs(source, tables, runs, [1]) == {1: runs["scored", "b"][0]}
    del runs["scored", "c"]
    assert source_runs(source, tables, runs, [1]) == {}


def test_the_mean_over_seeds_decides(tables: dict[str, Table]) -> None:
    runs = {
        ("scored", "a"): [Scored(0.9, 1), Scored(0.1, 2)],
        ("scored", "b"): [Scored(0.6, 2), Scored(0.5, 1)],
        ("scored", "c"): [Scored(0.2, 1), Scored(0.3, 2)],
    }
    one, two = runs["scored", "b"]
    assert source_runs(tables["fused"].sources["text"], tables, runs, [1, 2]) == {1: two, 2: one}


def test_a_named_row_needs_no_other(tables: dict[str, Table]) -> None:
    source, run = tables["fused"].sources["audio"], Scored(0.1)
    assert source_runs(source, tables, {("scored", "b"): [run]}, [1]) == {1: run}
    assert source_runs(source, tables, {("scored", "b"): [run]}, [1, 2]) == {}


def test_of_equal_rows_the_first_is_best_whichever_way_the_rule_points() -> None:
    candidates = [[Scored(0.6)], [Scored(0.4)], [Scored(0.6)], [Scored(0.4)]]
    assert best_place(Rule("max", "val/accuracy"), candidates) == 0
    assert best_place(Rule("min", "val/accuracy"), candidates) == 1


def test_a_metric_that_a_run_does_not_have_is_an_error() -> None:
    with pytest.raises(UserError, match=r"runs/one: result.json has no metrics.val.loss"):
        stored(Scored(0.5), "val/loss")


def test_those_that_a_run_was_chosen_over_follow_it(tables: dict[str, Table]) -> None:
    runs = {("scored", row): [Scored(val)] for row, val in (("a", 0.5), ("b", 0.7), ("c", 0.6))}
    a, b, c = (one for (one,) in runs.values())
    assert ranked_runs(tables["fused"].sources["text"], tables, runs, [1]) == {1: [b, a, c]}
    assert ranked_runs(tables["fused"].sources["audio"], tables, runs, [1]) == {1: [b]}


@pytest.mark.slow
def test_a_planned_fusion_knows_the_runs_that_its_run_was_chosen_over() -> None:
    with initialize_config_dir(str(CHECKOUT / "conf"), version_base="1.3"):
        config = compose("reproduce", ["study=mini", "tables=[table_10]"])
        rows = needed_rows(config.table, ["table_10"])
        runs = {
            key: [cast(Any, Scored(place / 10, folder=f"runs/{'-'.join(key)}"))]
            for place, key in enumerate(rows)
        }
        planned = plan_fusions(config, ["study=mini"], runs)
    assert {key[1] for key in planned} >= {"T", "average", "T+A+V"}
    text = [f"runs/{table}-{row}" for table, row in rows if table in ("table_02", "table_04")]
    for (one,) in planned.values():
        assert one.runs.text == text[-1]
        assert one.alternatives == {"text": text[:-1]}
