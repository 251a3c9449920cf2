"""The choice among fusions, and its score from outside the choice."""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import pytest

from meld_lightning.errors import UserError
from meld_lightning.fusion.alone import Alone
from meld_lightning.fusion.chosen import Chosen
from meld_lightning.fusion.joined import Joined, LogitsBatch, normalised
from meld_lightning.fusion.method import Fusion
from meld_lightning.fusion.selection import run_scores, select, unit_folds
from meld_lightning.metrics import METRICS, scores
from meld_lightning.mini.cues import PRIOR_C
from tests.fusion.conftest import configured, joined

TRAIN_C = np.roll(PRIOR_C, 1)  # shares in train, which a run predicts where it has no modality


def weak(number: int, seed: int, *, skill: float = 1.0, runs: int = 3) -> Joined:
    """Utterances in dialogues of four, scored by runs that are equally good, two of which lack a
    fifth of the utterances."""
    rng = np.random.default_rng(seed)
    labels_N = rng.choice(len(PRIOR_C), number, p=PRIOR_C)
    right_NC = skill * np.eye(len(PRIOR_C))[labels_N]
    logits_MNC = right_NC + rng.normal(size=(runs, number, len(PRIOR_C))) + np.log(TRAIN_C)
    present_MN = rng.random((runs, number)) >= np.array([0.0] + [0.2] * (runs - 1))[:, None]
    logits_MNC = np.where(present_MN[..., None], logits_MNC, np.log(TRAIN_C))
    data = joined(logits_MNC[:3], labels_N, present_MN[:3])
    return replace(
        data,
        modalities=tuple(f"run {number}" for number in range(runs))
        if runs > 3
        else data.modalities,
        batch=LogitsBatch(normalised(logits_MNC), present_MN),
        units_N=np.array([f"dia{row // 4}" for row in range(number)], dtype=object),
    )


def quick() -> Mapping[str, Fusion]:
    """Fitted fusions that take little time to fit."""
    return {"searched": configured("searched", "fusion.steps=4"), "learned": configured("learned")}


@pytest.mark.parametrize(
    "metric",
    [
        "loss",
        *(
            one if one == "weighted_f1" else pytest.param(one, marks=pytest.mark.slow)
            for one in METRICS
        ),
    ],
)
def test_the_choice_never_falls_below_the_best_run_on_val(metric: str) -> None:
    """Whatever decides, and though some utterances lack modalities and train's commonest label is
    not val's."""
    for seed in range(3):
        val = weak(60, seed, skill=seed / 2)
        candidates = Chosen("chosen", {}).candidates(val.modalities)
        if seed == 0 and metric in ("loss", "macro_f1"):
            candidates |= quick()
        found = select(candidates, val, unit_folds(val, 5), metric=metric, seed=1)
        sign = -1 if metric == "loss" else 1
        runs = [scores(val.labels_N, one_NC)[metric] for one_NC in val.batch.log_probs_MNC]
        assert list(run_scores(val, metric).values()) == runs
        assert sign * found.cross_validated[found.name] >= max(sign * one for one in runs)
        for name, run in zip(val.modalities, runs, strict=True):
            assert found.cross_validated[f"{name} alone"] == run


def test_the_first_and_simplest_of_equals_is_chosen() -> None:
    val = weak(60, 1)
    val = replace(val, batch=val.batch._replace(present_MN=np.ones_like(val.batch.present_MN)))
    candidates = Chosen("chosen", {}).candidates(val.modalities)
    found = select(candidates, val, unit_folds(val, 5), metric="accuracy", seed=1)
    same = found.name.replace("alone", "recalibrated")
    assert found.name.endswith("alone")
    assert found.cross_validated[same] == found.cross_validated[found.name]


def test_the_labels_of_a_fold_change_neither_its_choice_nor_its_scores() -> None:
    val = weak(80, 4)
    fitted = {"searched": configured("searched", "fusion.steps=4")}
    candidates = Chosen("chosen", fitted).candidates(val.modalities)
    fold_N = unit_folds(val, 4)
    before = select(candidates, val, fold_N, metric="weighted_f1", seed=1)
    assert len({*before.chosen_without}) > 1  # so that the choice of a fold can be seen
    for fold in range(4):
        inside_N = fold_N == fold
        other_N = np.where(inside_N, (val.labels_N + 3) % 7, val.labels_N)
        after = select(
            candidates, replace(val, labels_N=other_N), fold_N, metric="weighted_f1", seed=1
        )
        assert after.chosen_without[fold] == before.chosen_without[fold]
        assert np.array_equal(after.nested_NC[inside_N], before.nested_NC[inside_N])
        assert after.cross_validated != before.cross_validated


def test_each_fold_is_scored_as_if_it_had_never_been_there() -> None:
    """Nested cross-validation from its definition: the other folds are cross-validated by
    themselves, and the winner is fitted on them."""
    val, metric = weak(80, 3), "weighted_f1"
    candidates = Chosen("chosen", quick()).candidates(val.modalities)
    fold_N = unit_folds(val, 4)
    found = select(candidates, val, fold_N, metric=metric, seed=1)
    for fold in range(4):
        rest, inner_N = val.where(fold_N != fold), fold_N[fold_N != fold]
        values = {}
        for name, fusion in candidates.items():
            held_out_NC = np.zeros((len(inner_N), 7))
            for inner in set(inner_N):
                fusion.fit(rest.where(inner_N != inner), seed=1)
                held_out_NC[inner_N == inner] = fusion(rest.batch.where(inner_N == inner))
            values[name] = scores(rest.labels_N, held_out_NC)[metric]
        winner = max(values, key=lambda name: values[name])
        assert found.chosen_without[fold] == winner
        candidates[winner].fit(rest, seed=1)
        expected_NC = candidates[winner](val.batch.where(fold_N == fold))
        assert np.array_equal(found.nested_NC[fold_N == fold], expected_NC)


@pytest.mark.slow
def test_the_score_from_outside_the_choice_is_not_optimistic() -> None:
    """80 utterances and eight equally good runs: the best of the scores that decide lies above the
    chosen run's score on unseen utterances, the nested score does not."""
    optimism = []
    for seed in range(60):
        both = weak(2080, seed, runs=8)
        val, unseen = both.where(np.arange(2080) < 80), both.where(np.arange(2080) >= 80)
        candidates: dict[str, Fusion] = {name: Alone(name, name) for name in val.modalities}
        found = select(candidates, val, unit_folds(val, 5), metric="weighted_f1", seed=1)
        fusion = candidates[found.name]
        fusion.fit(val, seed=1)
        true = scores(unseen.labels_N, fusion(unseen.batch))["weighted_f1"]
        nested = scores(val.labels_N, found.nested_NC)["weighted_f1"]
        optimism.append([found.cross_validated[found.name] - true, nested - true])
    choosing, outside = np.mean(optimism, axis=0)
    assert choosing > 0.03
    assert abs(outside) < 0.01


@pytest.mark.parametrize("units", [2, 3])
def test_val_of_very_few_units_is_divided_into_as_many_folds(units: int) -> None:
    val = weak(40, 4)
    val = replace(val, units_N=np.array([f"speaker {row % units}" for row in range(40)], object))
    found = select(
        Chosen("chosen", quick()).candidates(val.modalities),
        val,
        unit_folds(val, 5),
        metric="accuracy",
        seed=1,
    )
    assert len(found.chosen_without) == units
    assert np.isfinite(found.nested_NC).all()
    if units == 2:  # one other unit: nothing can be fitted and scored apart from it
        assert all(name.endswith("alone") for name in found.chosen_without)


def test_one_speaker_alone_is_divided_by_utterances_with_a_warning(
    caplog: pytest.LogCaptureFixture,
) -> None:
    val = replace(weak(20, 1), units_N=np.array(["Ann"] * 20, dtype=object))
    fold_N = unit_folds(val, 5)
    assert np.bincount(fold_N).tolist() == [4] * 5
    assert "val holds Ann alone" in caplog.text
    with pytest.raises(UserError, match="val holds a single utterance"):
        unit_folds(val.where(np.arange(1)), 5)
