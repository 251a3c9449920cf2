"""A face network's own emotions over a clip, and the probe on its features."""

from pathlib import Path

import numpy as np
import pytest
import torch

from meld_lightning.data.video import VideoBatch
from meld_lightning.errors import UserError
from meld_lightning.models.face import FaceExpression, FaceProbe
from meld_lightning.pretrained.face_networks import FaceExpressionNet
from tests.faces import write_expression
from tests.small import TRAINING

OWN = FaceExpressionNet.labels
SETTINGS = {**TRAINING, "labels": ("joy", "calm", "anger"), "train_counts": np.ones(3, int)}


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("face")
    write_expression(folder)
    return folder


@pytest.fixture
def batch() -> VideoBatch:
    """Two clips of one and three faces."""
    embeds_NFD = torch.randn(2, 3, 256 + 7, generator=torch.Generator().manual_seed(0))
    two = torch.tensor([0, 1])
    return VideoBatch(
        embeds_NFD, torch.tensor([1, 3]), two, two, torch.tensor([True, True]), two
    )  # fmt: skip


def test_emotions_are_those_of_the_network(checkpoint: Path, batch: VideoBatch) -> None:
    model = FaceExpression("f", checkpoint, None, "mean", **SETTINGS)
    found_NC = model(batch)
    chance_NFK = torch.softmax(batch.embeds_NFD[..., 256:], -1)
    means = [chance_NFK[0, 0], chance_NFK[1].mean(0)]  # padding is no face
    for row, mean_K in enumerate(means):
        for column, label in ((0, "joy"), (2, "anger")):
            assert found_NC[row, column].exp() == pytest.approx(float(mean_K[OWN.index(label)]))
    assert (found_NC.argmin(1) == 1).all(), "a label that the network does not know"
    assert torch.isfinite(found_NC).all()
    assert not list(model.parameters())


def test_labels_that_map_to_the_same_one_are_summed(checkpoint: Path, batch: VideoBatch) -> None:
    given = {"joy": "joy", "neutral": "calm", "sadness": "calm"}
    found_NC = FaceExpression("f", checkpoint, given, "mean", **SETTINGS)(batch)
    chance_K = torch.softmax(batch.embeds_NFD[0, 0, 256:], -1)
    both = chance_K[OWN.index("neutral")] + chance_K[OWN.index("sadness")]
    assert found_NC[0, 1].exp() == pytest.approx(float(both))
    with pytest.raises(UserError, match="model.label_map.hapy: the checkpoint has no label"):
        FaceExpression("f", checkpoint, {"hapy": "joy"}, **SETTINGS)


def test_the_probe_reads_features_and_logits(checkpoint: Path, batch: VideoBatch) -> None:
    model = FaceProbe("p", checkpoint, "mean", **SETTINGS).eval()
    assert model.classifier.in_features == 256 + 7
    alone = batch._replace(embeds_NFD=batch.embeds_NFD.clone())
    alone.embeds_NFD[0, 1:] = 99  # padding
    assert torch.allclose(model(alone), model(batch))
