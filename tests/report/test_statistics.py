"""Intervals and tests against scipy, scikit-learn and hand computation."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from scipy import stats
from sklearn import metrics as sk

from meld_lightning.errors import UserError
from meld_lightning.report import statistics as st

Make = Callable[..., Any]


def _weighted_f1(true: Any, predicted: Any) -> float:
    return float(sk.f1_score(true, predicted, average="weighted", zero_division=0))


def test_scored_joins_by_key_whatever_the_order_of_rows(
    make_run: Make, sklearn_metrics: Make
) -> None:
    run = make_run("a")
    frame = run.logits("test")
    assert list(frame["key"]) != sorted(frame["key"])
    found = st.scored(run, "test")
    assert list(found.keys) == sorted(frame["key"])
    assert found.metrics() == pytest.approx(sklearn_metrics(frame, run.result.labels))


def test_resamples_are_scikit_learns_metrics_of_the_drawn_rows(
    make_run: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(st, "RESAMPLES", 20)
    runs = [st.scored(make_run("a", 0.6), "test"), st.scored(make_run("b", 0.4), "test")]
    drawn = st.resampled_metrics(runs)
    units = np.unique(runs[0].units.astype(str))
    counts = np.concatenate(list(st.resample_counts(len(units))))
    assert counts.shape == (20, len(units))
    assert (counts.sum(1) == len(units)).all()
    for resample, count in enumerate(counts):
        rows = np.repeat(
            np.arange(len(runs[0].keys)), [count[units == unit][0] for unit in runs[0].units]
        )
        for place, run in enumerate(runs):
            true, predicted = run.true[rows], run.predicted[rows]
            assert drawn["weighted_f1"][resample, place] == pytest.approx(
                _weighted_f1(true, predicted)
            )
            assert drawn["accuracy"][resample, place] == pytest.approx(
                sk.accuracy_score(true, predicted)
            )
            macro = sk.f1_score(true, predicted, average="macro", zero_division=0)
            assert drawn["macro_f1"][resample, place] == pytest.approx(macro)


def test_resamples_do_not_depend_on_the_block(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(st, "RESAMPLES", 70)
    whole = np.concatenate(list(st.resample_counts(13)))
    monkeypatch.setattr(st, "BLOCK", 7)
    np.testing.assert_array_equal(np.concatenate(list(st.resample_counts(13))), whole)


def test_interval_is_scipys_bootstrap_over_dialogues(make_run: Make) -> None:
    """Drawing utterances instead would give an interval of another width where dialogues are all
    right or all wrong."""
    run = st.scored(make_run("a", dialogues=60), "test")
    right_unit = {unit: place % 2 == 0 for place, unit in enumerate(sorted(set(run.units)))}
    wrong = (run.true + 1) % len(run.labels)
    run = replace(
        run, predicted=np.where([right_unit[unit] for unit in run.units], run.true, wrong)
    )
    units = np.array(sorted(set(run.units)))
    rows = {place: np.flatnonzero(run.units == unit) for place, unit in enumerate(units)}

    def statistic(places: Any) -> float:
        index = np.concatenate([rows[int(place)] for place in places])
        return _weighted_f1(run.true[index], run.predicted[index])

    expected = stats.bootstrap(
        (np.arange(len(units)),),
        statistic,
        n_resamples=800,
        method="percentile",
        vectorized=False,
        rng=1,
    ).confidence_interval
    by_utterance = st.bootstrap([replace(run, units=run.keys)])["weighted_f1"]
    low, high = st.bootstrap([run])["weighted_f1"]
    assert (low, high) == pytest.approx((expected.low, expected.high), abs=0.02)
    assert high - low > 1.5 * (by_utterance[1] - by_utterance[0])


def test_several_seeds_are_averaged_within_each_resample(make_run: Make) -> None:
    seeds = [st.scored(make_run("a", seed=seed), "test") for seed in (1, 2, 3)]
    drawn = st.resampled_metrics(seeds)["accuracy"]
    assert drawn.shape == (st.RESAMPLES, 3)
    assert st.bootstrap(seeds)["accuracy"] == pytest.approx(
        tuple(np.quantile(drawn.mean(1), [0.025, 0.975]))
    )
    # a mean over one and the same run is that run, interval and all: the dialogues drawn are shared
    assert st.bootstrap([seeds[0]] * 3)["accuracy"] == pytest.approx(
        st.bootstrap([seeds[0]])["accuracy"]
    )


def test_paired_bootstrap_counts_the_resamples_on_either_side(make_run: Make) -> None:
    good, bad = st.scored(make_run("a", 0.45), "test"), st.scored(make_run("b", 0.4), "test")
    drawn = st.resampled_metrics([good, bad])["weighted_f1"]
    differences = drawn[:, 0] - drawn[:, 1]
    found = st.paired_bootstrap([good], [bad], "weighted_f1")
    assert found.value == pytest.approx(
        good.metrics()["weighted_f1"] - bad.metrics()["weighted_f1"]
    )
    assert (found.low, found.high) == pytest.approx(tuple(np.quantile(differences, [0.025, 0.975])))
    smaller = min((differences <= 0).sum(), (differences >= 0).sum())
    assert found.p == pytest.approx(2 * (smaller + 1) / (st.RESAMPLES + 1))
    assert 0.01 < found.p < 0.99  # neither end, or this test would see nothing
    assert (found.p < 0.05) == (found.low > 0 or found.high < 0)
    turned = st.paired_bootstrap([bad], [good], "weighted_f1")
    assert (turned.value, turned.p) == pytest.approx((-found.value, found.p))


def test_paired_bootstrap_at_its_ends(make_run: Make) -> None:
    run = st.scored(make_run("a"), "test")
    same = st.paired_bootstrap([run], [run], "weighted_f1")
    assert (same.value, same.low, same.high, same.p) == (0, 0, 0, 1)
    far = st.paired_bootstrap(
        [replace(run, predicted=run.true)], [run.constant("fear")], "weighted_f1"
    )
    assert far.p == pytest.approx(2 / (st.RESAMPLES + 1))


def test_mcnemar_is_the_binomial_test_of_the_discordant(make_run: Make) -> None:
    one, other = st.scored(make_run("a", 0.5), "test"), st.scored(make_run("b", 0.42), "test")
    first = int(((one.predicted == one.true) & (other.predicted != other.true)).sum())
    second = int(((one.predicted != one.true) & (other.predicted == other.true)).sum())
    expected = stats.binomtest(first, first + second).pvalue
    assert st.mcnemar(one, other) == pytest.approx(expected)
    assert 0.001 < expected < 0.9
    assert st.mcnemar(one, one) == 1


def test_holm_by_hand() -> None:
    # sorted .01 .02 .03 .04 -> x4 .04, x3 .06, x2 .06, x1 .04 raised to the maximum so far, .06
    assert st.holm([0.04, 0.01, 0.03, 0.02]) == pytest.approx([0.06, 0.04, 0.06, 0.06])
    assert st.holm([0.5, 0.9]) == pytest.approx([1.0, 1.0])
    assert st.holm([]) == []


def test_runs_that_do_not_match_are_refused_by_name(make_run: Make) -> None:
    one, other = st.scored(make_run("one"), "test"), st.scored(make_run("other", 0.5), "test")
    cases = {
        "different utterances": replace(
            other, keys=np.concatenate([other.keys[:-1], ["test/zzz"]]).astype(object)
        ),
        "different true label": replace(other, true=(other.true + 1) % 7),
        "different unit": replace(other, units=other.units[::-1]),
        "labels differently": replace(other, labels=other.labels[::-1]),
    }
    for message, broken in cases.items():
        for test in (st.mcnemar, lambda a, b: st.paired_bootstrap([a], [b], "accuracy")):
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

    with pytest.raises(UserError, match="twice"):
        st.scored(broken("twice", lambda frame: frame.iloc[[0, 0, 1]]), "val")
    with pytest.raises(UserError, match="not finite at val/dia"):
        st.scored(broken("nan", spoil), "val")
    with pytest.raises(UserError, match=r"lack the columns \['logit.fear'\]"):
        st.scored(broken("column", lambda frame: frame.drop(columns="logit.fear")), "val")
    with pytest.raises(UserError, match="label 'bored'"):
        st.scored(broken("label", lambda frame: frame.assign(label="bored")), "val")
    with pytest.raises(UserError, match="train_majority is 'bored'"):
        st.scored(make_run("fine"), "val").constant("bored")
