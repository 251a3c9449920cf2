"""From logits to answers: shares, entropy, the promise of an abstention, conformal sets."""

import math
import sys

import numpy as np
import pytest

from meld_lightning.errors import UserError
from meld_lightning.fusion.average import Average
from meld_lightning.fusion.joined import Joined, LogitsBatch, normalised
from meld_lightning.fusion.likelihood_ratio import Single
from meld_lightning.fusion.searched import Searched
from meld_lightning.inference.answers.abstention import DELTA, threshold_for, upper_bound
from meld_lightning.inference.answers.conformal import label_sets
from meld_lightning.inference.answers.decision import decide, without_absent
from meld_lightning.inference.val_scores import ValScores

LABELS = ("neutral", "joy", "anger")
MODALITIES = ("text", "audio", "video")


def joined(count: int = 300, seed: int = 0) -> Joined:
    """Noisy logits, the text's the best; one item in four has no video."""
    draw = np.random.default_rng(seed)
    labels_N = draw.integers(0, 3, count)
    logits_MNC = draw.standard_normal((3, count, 3))
    for place, signal in enumerate((2.0, 1.0, 0.5)):
        logits_MNC[place, np.arange(count), labels_N] += signal
    present_MN = np.ones((3, count), dtype=bool)
    present_MN[2, ::4] = False
    batch = without_absent(LogitsBatch(normalised(logits_MNC), present_MN), priors())
    keys_N = np.array([str(number) for number in range(count)], dtype=object)
    return Joined(MODALITIES, LABELS, batch, labels_N, keys_N, keys_N)


def priors() -> np.ndarray:
    return np.log(np.tile([0.5, 0.3, 0.2], (3, 1)))


def test_shares_of_summed_evidence_are_its_parts() -> None:
    """Where log-scores are a sum, each modality's Shapley value is its own term (up to the
    normalising constant, which moves all labels alike)."""
    data = joined()
    fusion = Searched("searched", steps=10)
    fusion.fit(data, seed=1)
    answers = decide(fusion, data.batch, priors())
    assert np.allclose(np.abs(answers.share_MN).sum(0), 1)
    assert (answers.share_MN[2, ::4] == 0).all()  # a missing modality decides nothing
    assert np.allclose(answers.log_probs_NC, fusion(data.batch))
    # one modality alone: its share is certain, and its sign says whether it spoke for the label
    single = Single("text", "text")
    single.fit(data, seed=1)
    alone = decide(single, data.batch, priors())
    rows, best = np.arange(len(data.labels_N)), alone.log_probs_NC.argmax(1)
    gained = alone.log_probs_NC[rows, best] - single.prior_C[best]
    assert np.allclose(alone.share_MN[0], np.sign(gained))
    assert (alone.share_MN[1:] == 0).all()


def test_shares_add_up_to_what_the_modalities_changed() -> None:
    """The efficiency of Shapley values: they sum to the full answer minus the one without any."""
    data = joined(40)
    fusion = Average("average", {"text": 0.5, "audio": 0.3, "video": 0.2})
    fusion.fit(data, seed=1)
    answers = decide(fusion, data.batch, priors())
    rows, best = np.arange(40), answers.log_probs_NC.argmax(1)
    nothing = LogitsBatch(data.batch.log_probs_MNC, np.zeros_like(data.batch.present_MN))
    gained = fusion(data.batch)[rows, best] - fusion(nothing)[rows, best]
    signed = answers.share_MN.sum(0)  # = gained / sum of absolute values
    assert np.allclose(np.sign(signed), np.sign(gained))
    phi = answers.share_MN[:, :] * (gained / np.where(signed == 0, 1, signed))
    assert np.allclose(phi.sum(0), gained)
    against = answers.share_MN[:, 1::4] < 0
    assert against.any(), "some modality speaks against some decision"


def test_entropy_is_in_bits() -> None:
    def fused(batch: LogitsBatch) -> np.ndarray:
        return batch.log_probs_MNC[0]

    rows = np.array([[1.0, 0.0, 0.0, 0.0], [0.25] * 4, [0.5, 0.5, 0.0, 0.0]])
    with np.errstate(divide="ignore"):
        log_probs = np.maximum(np.log(rows), -700)
    batch = LogitsBatch(log_probs[None], np.ones((1, 3), dtype=bool))
    answers = decide(fused, batch, np.full((1, 4), math.log(0.25)))
    assert answers.entropies == pytest.approx([0, 2, 1])


def scores(count: int, seed: int) -> ValScores:
    """A classifier of two classes that is right with the probability that it states."""
    draw = np.random.default_rng(seed)
    p = draw.uniform(0.5, 1, count)
    right = draw.uniform(size=count) < p
    return ValScores(("a", "b"), np.stack([p, 1 - p], 1), (~right).astype(np.int64))


def test_the_promised_risk_holds_in_all_but_delta_of_the_draws() -> None:
    """The true risk above a threshold t of this classifier is 1 - (1 + t) / 2."""
    draws, broken, answered = 150, 0, 0
    for seed in range(draws):
        found = threshold_for(scores(600, seed), risk=0.2)
        assert found.bound <= 0.2
        answered += np.isfinite(found.confidence)
        if np.isfinite(found.confidence):
            broken += 1 - (1 + found.confidence) / 2 > 0.2
    assert broken / draws <= DELTA
    assert answered / draws > 0.9  # and it is no empty promise


def test_a_threshold_says_what_it_costs() -> None:
    val = scores(2000, 3)
    found = threshold_for(val, risk=0.2)
    kept = val.confidences >= found.confidence
    assert found.coverage == kept.mean()
    assert found.error == val.mistakes[kept].mean()
    assert found.error < found.bound <= 0.2
    assert threshold_for(val, risk=0.1).coverage < found.coverage
    assert threshold_for(val, risk=0.9).coverage == 1
    nothing = threshold_for(scores(4, 1), risk=0.01)
    assert nothing.confidence == math.inf
    assert nothing.coverage == 0


def test_the_bound_is_that_of_clopper_and_pearson() -> None:
    # no mistakes: 1 - delta ** (1 / n), the rule of three
    assert upper_bound(0, 100, 0.05) == pytest.approx(1 - 0.05 ** (1 / 100))
    assert upper_bound(5, 5, 0.05) == 1
    # R: binom.test(10, 100, alternative = "less")$conf.int
    assert upper_bound(10, 100, 0.05) == pytest.approx(0.1637, abs=1e-4)


def test_conformal_sets_hold_the_label_as_often_as_they_say() -> None:
    pytest.importorskip("mapie", reason="the extra [conformal] is not installed")
    val, new = scores(500, 1), scores(5000, 2)
    sets = label_sets(val, new.probabilities_NC, 0.9)
    covered = sets[np.arange(5000), new.labels_N].mean()
    assert covered == pytest.approx(0.9, abs=0.03)
    wide = label_sets(val, new.probabilities_NC, 0.97)
    assert wide.sum() > sets.sum()
    with pytest.raises(UserError, match="too few"):
        label_sets(scores(5, 1), new.probabilities_NC, 0.9)


def test_conformal_sets_say_how_to_get_mapie(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "mapie", None)
    monkeypatch.setitem(sys.modules, "mapie.classification", None)
    with pytest.raises(UserError, match=r"pip install 'meld-lightning\[conformal\]'"):
        label_sets(scores(50, 1), scores(1, 1).probabilities_NC, 0.9)
