"""Every fusion method on logits with known answers, and beside other people's code."""

import numpy as np
import pytest
from scipy.optimize import minimize
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import f1_score

from meld_lightning.errors import UserError
from meld_lightning.fusion.average import Average
from meld_lightning.fusion.chosen import Chosen
from meld_lightning.fusion.joined import Joined, normalised
from meld_lightning.fusion.learned import Learned
from meld_lightning.fusion.likelihood_ratio import Single, temperature
from meld_lightning.fusion.searched import simplex, weight_scores
from meld_lightning.mini.cues import PRIOR_C, optimum
from tests.fusion.conftest import configured, drawn, joined, with_gaps
from tests.repeats import few

FITTED = ("searched", "learned", "matrix", "stacked")


@pytest.mark.parametrize("name", FITTED)
def test_every_fitted_fusion_comes_within_a_point_of_the_best_possible(name: str) -> None:
    data, posteriors_MNC = drawn(12_000)
    fusion, fitted_on = configured(name), np.arange(12_000) < 6000
    fusion.fit(data.where(fitted_on), seed=1)
    scored, best_N = data.where(~fitted_on), optimum(posteriors_MNC).argmax(1)[~fitted_on]
    best = (best_N == scored.labels_N).mean()
    assert best > 0.98
    assert (fusion(scored.batch).argmax(1) == scored.labels_N).mean() > best - 0.01


@pytest.mark.parametrize("name", ["average", *FITTED])
def test_every_fusion_handles_missing_modalities(name: str) -> None:
    data = with_gaps(drawn(4000)[0])
    present_MN = data.batch.present_MN
    fusion = configured(name)
    fusion.fit(data, seed=1)
    scores_NC = fusion(data.batch)
    assert np.isfinite(scores_NC).all()
    np.testing.assert_allclose(np.exp(scores_NC).sum(1), 1)
    # where a modality is missing, its logits have no influence
    noise_MNC = normalised(np.random.default_rng(0).normal(size=data.batch.log_probs_MNC.shape))
    other_MNC = np.where(present_MN[..., None], data.batch.log_probs_MNC, noise_MNC)
    other = data.batch._replace(log_probs_MNC=other_MNC)
    np.testing.assert_allclose(fusion(other), scores_NC)
    nothing_N = ~present_MN.any(0)
    assert (scores_NC[nothing_N].argmax(1) == PRIOR_C.argmax()).all()


@pytest.mark.parametrize("name", few(FITTED, 2))
def test_a_modality_never_seen_during_fitting_counts_for_nothing(name: str) -> None:
    data, _ = drawn(2000)
    present_MN = data.batch.present_MN & np.array([[True], [True], [False]])
    blind = Joined(**{**vars(data), "batch": data.batch._replace(present_MN=present_MN)})
    fusion = configured(name)
    fusion.fit(blind, seed=1)
    np.testing.assert_allclose(fusion(data.batch), fusion(blind.batch))
    assert fusion.describe()["never_seen"] == ["video"]


def test_the_average_is_a_weighted_mean_of_the_probabilities_at_hand() -> None:
    data = with_gaps(drawn(300)[0])
    fusion = Average("average", {"video": 1.0, "text": 3.0, "audio": 1.0})
    fusion.fit(data, seed=1)
    for scores_C, probs_MC, present_M in zip(
        fusion(data.batch),
        np.exp(data.batch.log_probs_MNC).transpose(1, 0, 2),
        data.batch.present_MN.T,
        strict=True,
    ):
        if present_M.any():
            expected_C = np.average(
                probs_MC[present_M], axis=0, weights=np.array([3.0, 1, 1])[present_M]
            )
            np.testing.assert_allclose(np.exp(scores_C), expected_C, atol=1e-9)


def test_an_average_without_weights_weighs_all_alike() -> None:
    data = with_gaps(drawn(300)[0])
    equal, ones = Average("average", None), Average("average", dict.fromkeys(data.modalities, 1.0))
    for fusion in (equal, ones):
        fusion.fit(data, seed=1)
    np.testing.assert_array_equal(equal(data.batch), ones(data.batch))
    assert equal.left_out(["text", "seed_2"]) == []


def test_the_average_leaves_out_a_modality_without_a_weight() -> None:
    data, _ = drawn(300)
    fusion = Average("average", {"text": 3.0, "audio": 1.0})
    fusion.fit(data, seed=1)
    alone = Joined(
        **{
            **vars(data),
            "modalities": ("text", "audio"),
            "batch": data.batch._replace(
                log_probs_MNC=data.batch.log_probs_MNC[:2], present_MN=data.batch.present_MN[:2]
            ),
        }
    )
    two = Average("average", {"text": 3.0, "audio": 1.0})
    two.fit(alone, seed=1)
    np.testing.assert_allclose(fusion(data.batch), two(alone.batch))
    assert fusion.describe() == {
        "weights": {"text": 0.75, "audio": 0.25, "video": 0.0},
        "left_out": ["video"],
    }
    with pytest.raises(UserError, match=r"no weight for gaze or pose.*\+fusion.weights.gaze=0.5"):
        fusion.candidates(["gaze", "pose"])
    assert list(Chosen("chosen", {"average": fusion}).candidates(["gaze", "pose"])) == [
        "gaze alone",
        "pose alone",
        "gaze recalibrated",
        "pose recalibrated",
    ]


def test_a_temperature_is_the_inverse_slope_of_a_logistic_regression() -> None:
    # For two classes, logits / temperature is a logistic regression on their difference without
    # an intercept.
    rng = np.random.default_rng(2)
    difference_N = rng.normal(scale=3, size=4000)
    labels_N = (rng.random(4000) < 1 / (1 + np.exp(-difference_N / 2.5))).astype(int)
    logits_NC = np.stack([np.zeros(4000), difference_N], 1)
    model = LogisticRegression(C=1e12, fit_intercept=False, tol=1e-10)
    slope = model.fit(difference_N[:, None], labels_N).coef_[0, 0]
    assert temperature(normalised(logits_NC), labels_N) == pytest.approx(1 / slope, rel=1e-3)


def test_a_single_modality_is_fitted_on_the_utterances_that_have_it() -> None:
    data = with_gaps(drawn(2000)[0])
    fusion = Single("audio recalibrated", "audio")
    fusion.fit(data, seed=1)
    has_N = data.batch.present_MN[1]
    expected = temperature(data.batch.log_probs_MNC[1][has_N], data.labels_N[has_N])
    np.testing.assert_allclose(
        fusion(data.batch)[has_N], normalised(data.batch.log_probs_MNC[1][has_N] / expected)
    )
    prior_C = (np.bincount(data.labels_N, minlength=7) + 1) / (len(data.labels_N) + 7)
    np.testing.assert_allclose(np.exp(fusion(data.batch)[~has_N][0]), prior_C)


def test_learned_weights_are_those_that_scipy_finds() -> None:
    data = with_gaps(drawn(1500)[0], share=0.1)
    fusion = Learned("learned", l2=2.0)
    fusion.fit(data, seed=1)
    evidence_MNC = fusion.evidence(data.batch)

    def loss(parameters: np.ndarray) -> float:
        weight_M, bias_C = parameters[:3], parameters[3:]
        scores_NC = fusion.prior_C + np.tensordot(weight_M, evidence_MNC, 1) + bias_C
        likelihood_N = normalised(scores_NC)[np.arange(1500), data.labels_N]
        squares = ((weight_M - 1) ** 2).sum() + (bias_C**2).sum()
        return float(-likelihood_N.sum() + 2.0 * squares) / 1500

    found = minimize(loss, np.concatenate([np.ones(3), np.zeros(7)]), method="BFGS")
    described = fusion.describe()
    np.testing.assert_allclose(list(described["weights"].values()), found.x[:3], atol=2e-3)
    np.testing.assert_allclose(described["biases"], found.x[3:], atol=2e-3)


def test_weights_are_searched_as_a_loop_over_scikit_learn_would() -> None:
    rng = np.random.default_rng(5)
    evidence_MNC, labels_N = rng.normal(size=(3, 200, 7)), rng.integers(0, 7, 200)
    grid_WM, prior_C = simplex(3, 6), np.log(PRIOR_C)
    assert grid_WM.shape == (28, 3)
    np.testing.assert_allclose(grid_WM.sum(1), 1)
    assert simplex(1, 6).tolist() == [[1.0]]
    expected_W = [
        f1_score(
            labels_N,
            (prior_C + 3 * np.tensordot(weight_M, evidence_MNC, 1)).argmax(1),
            average="weighted",
        )
        for weight_M in grid_WM
    ]
    found_W = weight_scores(prior_C, evidence_MNC, grid_WM, labels_N)
    np.testing.assert_allclose(found_W, expected_W, atol=1e-12)


def copied(number: int, seed: int) -> Joined:
    """Utterances whose text and audio logits are the same, and whose video logits are noise."""
    rng = np.random.default_rng(seed)
    labels_N = np.arange(number) % 7
    logits_NC = rng.normal(size=(number, 7)) + 1.5 * np.eye(7)[labels_N]
    noise_NC = rng.normal(size=(number, 7))
    return joined(np.stack([2 * logits_NC, 2 * logits_NC, noise_NC]), labels_N)


@pytest.mark.slow
def test_modality_dropout_makes_the_network_rely_less_on_any_one_modality() -> None:
    """Text may be missing where audio says the same: fewer predictions change, and they are
    better."""
    train, unseen = copied(200, 1), copied(2000, 2)
    missing_MN = np.array([[False], [True], [True]]) & unseen.batch.present_MN
    changed, losses = [], []
    for dropout in (0, 0.5):
        fusion = configured("stacked", "fusion.steps=60", f"fusion.modality_dropout={dropout}")
        fusion.fit(train, seed=1)
        with_NC = fusion(unseen.batch)
        without_NC = fusion(unseen.batch._replace(present_MN=missing_MN))
        changed.append((with_NC.argmax(1) != without_NC.argmax(1)).mean())
        losses.append(-without_NC[np.arange(2000), unseen.labels_N].mean())
    assert changed[1] < changed[0] / 2
    assert losses[1] < losses[0] - 0.1


@pytest.mark.slow
def test_a_matrix_recognises_a_class_that_is_taken_for_another() -> None:
    labels_N = np.random.default_rng(1).integers(0, 3, 900)
    logits_NC = np.random.default_rng(2).normal(size=(900, 3))
    logits_NC[np.arange(900), (labels_N + 1) % 3] += 5  # every class is taken for the next one
    data, half = joined(logits_NC[None], labels_N), np.arange(900) < 450
    right = {}
    for name in ("learned", "matrix"):
        fusion = configured(name, "fusion.l2=1")
        fusion.fit(data.where(half), seed=1)
        right[name] = (fusion(data.batch.where(~half)).argmax(1) == labels_N[~half]).mean()
    assert right["matrix"] > 0.95
    assert right["learned"] < 0.6
