"""Predictions read from logits: joined by key, checked, and refused where they do not match."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from meld_lightning.errors import UserError
from meld_lightning.report.comparisons import comparisons
from meld_lightning.report.scored import scored
from meld_lightning.report.statistics import jackknife

Make = Callable[..., Any]


def test_scored_joins_by_key_whatever_the_order_of_rows(
    make_run: Make, sklearn_metrics: Make
) -> None:
    run = make_run("a")
    frame = run.logits("test")
    assert list(frame["key"]) != sorted(frame["key"])
    found = scored(run, "test")
    assert list(found.keys) == sorted(frame["key"])
    assert found.metrics() == pytest.approx(sklearn_metrics(frame, run.result.labels))


def test_runs_that_do_not_match_are_refused_by_name(make_run: Make) -> None:
    one, other = scored(make_run("one"), "test"), scored(make_run("other", 0.5), "test")
    cases = {
        "different utterances": replace(
            other, keys=np.concatenate([other.keys[:-1], ["test/zzz"]]).astype(object)
        ),
        "different true label": replace(other, true=(other.true + 1) % 7),
        "different unit": replace(other, units=other.units[::-1]),
        "not the same labels in the same order": replace(other, labels=other.labels[::-1]),
    }
    for message, broken in cases.items():
        for test in (
            lambda a, b: jackknife([a, b]),
            lambda a, b: comparisons([[a]], [b]),
        ):
            with pytest.raises(UserError, match=message) as caught:
                test(one, broken)
            assert one.name in str(caught.value)
            assert other.name in str(caught.value)


def test_broken_logits_are_refused(make_run: Make) -> None:
    def broken(name: str, change: Callable[[Any], Any]) -> Any:
        run = make_run(name)
        change(run.logits("val")).to_parquet(run.folder / "logits" / "val.parquet")
        return run

    def spoil(frame: Any) -> Any:
        frame.loc[3, "logit.joy"] = np.nan
        return frame

    with pytest.raises(UserError, match=r"\(val\): utterance val/dia\S+ occurs twice"):
        scored(broken("twice", lambda frame: frame.iloc[[0, 0, 1]]), "val")
    with pytest.raises(UserError, match="logits of val/dia.* are not finite"):
        scored(broken("nan", spoil), "val")
    with pytest.raises(UserError, match="columns key, .*; expected key, .*logit.fear"):
        scored(broken("column", lambda frame: frame.drop(columns="logit.fear")), "val")
    with pytest.raises(UserError, match="label of val/dia.* is 'bored'"):
        scored(broken("label", lambda frame: frame.assign(label="bored")), "val")
    with pytest.raises(UserError, match="train_majority is 'bored'"):
        scored(make_run("fine"), "val").constant("bored")
