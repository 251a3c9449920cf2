"""Training on readers' votes: the loss is torch's own on probabilities, and only train has them."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from torch.nn import functional

from meld_lightning.corpus import EMOTIONS
from meld_lightning.data.soft_labels import train_targets
from meld_lightning.errors import UserError
from meld_lightning.runs.inputs import Inputs, read_inputs
from meld_lightning.training.build import build
from tests.models.test_classifier import trainer

VOTED_SHARE = 0.6  # of the rows


def with_votes(found: Inputs) -> Inputs:
    """The inputs as if five readers had voted at random for the emotions of some rows."""
    drawn = np.random.default_rng(0)
    table = found.corpus.table
    counts = drawn.multinomial(5, np.full(len(EMOTIONS), 1 / len(EMOTIONS)), len(table))
    counts[drawn.random(len(table)) > VOTED_SHARE] = 0
    columns = {
        f"votes.{name}": pd.Series(counts[:, place], table.index, dtype="Int64")
        for place, name in enumerate(EMOTIONS)
    }
    return found._replace(corpus=replace(found.corpus, table=table.assign(**columns)))


@pytest.mark.slow
@pytest.mark.parametrize("weighting", ["none", "inverse"])
def test_the_loss_is_torchs_own_on_probabilities(
    weighting: str, compose_train: Callable[..., Any]
) -> None:
    asked = ["model=roberta", f"model.class_weights={weighting}", "model.label_smoothing=0.1"]
    found = with_votes(read_inputs(compose_train(asked)))
    table, labels, datamodule, module = build(
        compose_train([*asked, "data.soft_labels=0.25"]), found
    )
    assert labels == EMOTIONS
    module.eval()
    batch = next(iter(datamodule.train_dataloader()))
    rows = batch.rows_N.numpy()
    counts = found.corpus.table[[f"votes.{name}" for name in EMOTIONS]].fillna(0).iloc[rows]
    expected = []
    for label, votes in zip(table["label"].iloc[rows], counts.to_numpy(float), strict=True):
        target = np.zeros(len(EMOTIONS))
        target[label] = 1.0
        if votes.sum():
            target = 0.75 * target + 0.25 * votes / votes.sum()
        expected.append(target)
    targets_NC = torch.tensor(np.stack(expected), dtype=torch.float32)
    assert 0.3 < (targets_NC.max(1).values < 1).float().mean() < 0.9  # some have votes, some none
    logits_NC, weights_C = module(batch), module.class_weights_C
    total = functional.cross_entropy(
        logits_NC, targets_NC, weight=weights_C, label_smoothing=0.1, reduction="sum"
    )
    loss = (total / weights_C[batch.labels_N].sum()).item()
    if weighting == "none":  # torch's mean divides by the number of utterances
        mean = functional.cross_entropy(logits_NC, targets_NC, label_smoothing=0.1)
        assert mean.item() == pytest.approx(loss, abs=1e-6)
    module._trainer = trainer(1, 1)
    assert module.training_step(batch, 0).item() == pytest.approx(loss, abs=1e-5)


def test_votes_of_val_and_test_are_not_trained_on() -> None:
    table = pd.DataFrame(
        {
            "key": ["a", "b", "c", "d"],
            "split": ["train", "val", "test", "train"],
            "label": [1, 1, 1, 1],
            **{f"votes.{name}": pd.array([0, 0, 0, pd.NA], "Int64") for name in EMOTIONS},
        }
    )
    table["votes.fear"] = pd.array([5, 5, 5, pd.NA], "Int64")
    found = train_targets(table, EMOTIONS, 0.5)
    joy = np.eye(len(EMOTIONS))[1]
    np.testing.assert_allclose(found[0], (joy + np.eye(len(EMOTIONS))[EMOTIONS.index("fear")]) / 2)
    np.testing.assert_allclose(found[1:], [joy, joy, joy])


@pytest.mark.slow
def test_soft_labels_enter_the_identity_only_where_they_are_set(
    compose_train: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    from meld_lightning.runs import inputs
    from meld_lightning.runs.identity import canonical_config

    asked = ["model=roberta"]
    plain, soft = compose_train(asked), compose_train([*asked, "data.soft_labels=0.5"])
    same = compose_train([*asked, "data.soft_labels=0.0", "corpus.votes=friends.json"])
    assert canonical_config(plain) == canonical_config(same)
    assert canonical_config(plain) != canonical_config(soft)
    voted = with_votes(read_inputs(plain)).corpus
    monkeypatch.setattr(inputs, "prepared_corpus", lambda *_: voted)
    assert "votes" not in read_inputs(plain).digests  # votes that are not trained on
    digests = read_inputs(soft).digests
    assert {name: digests[name] for name in read_inputs(plain).digests} == read_inputs(
        plain
    ).digests
    voted.table.loc[voted.table["split"] != "train", "votes.joy"] = 5
    assert read_inputs(soft).digests == digests
    voted.table.loc[voted.table["split"] == "train", "votes.joy"] = 5
    assert read_inputs(soft).digests["votes"] != digests["votes"]


@pytest.mark.slow
def test_soft_labels_without_votes_or_for_sentiments_are_refused(
    compose_train: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    from meld_lightning.runs import inputs

    soft = ["model=roberta", "data.soft_labels=0.5"]
    with pytest.raises(UserError, match=r"soft_labels needs readers' votes.*corpus.votes=FILE"):
        read_inputs(compose_train(soft))
    voted = with_votes(read_inputs(compose_train(["model=roberta"]))).corpus
    monkeypatch.setattr(inputs, "prepared_corpus", lambda *_: voted)
    with pytest.raises(UserError, match="it needs target=emotion"):
        read_inputs(compose_train([*soft, "target=sentiment"]))
