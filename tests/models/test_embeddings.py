"""What a model's last layer reads is its embedding: that layer gives the logits from it."""

from pathlib import Path

import pytest
import torch

from meld_lightning.data.video import VideoBatch
from meld_lightning.errors import UserError
from meld_lightning.models.classifier import Classifier
from meld_lightning.models.face import FaceExpression, FaceProbe
from tests.faces import write_expression
from tests.small import TRAINING

SETTINGS = {**TRAINING, "labels": ("joy", "calm", "anger")}


@pytest.fixture
def batch() -> VideoBatch:
    """Two clips of one and three faces."""
    embeds_NFD = torch.randn(2, 3, 256 + 7, generator=torch.Generator().manual_seed(0))
    two = torch.tensor([0, 1])
    return VideoBatch(embeds_NFD, torch.tensor([1, 3]), two, two, torch.ones(2).bool(), two)


def test_the_last_layer_gives_the_logits_from_the_embeddings(
    tmp_path: Path, batch: VideoBatch
) -> None:
    write_expression(tmp_path)
    with torch.inference_mode():
        probe = FaceProbe("f", tmp_path, "attentive", **SETTINGS).eval()
        scored, embeddings_ND = probe.score_and_embed(batch)
        assert torch.equal(scored.logits_NC, probe(batch))
        torch.testing.assert_close(probe.classifier(embeddings_ND), scored.logits_NC)
        # nothing is fitted: the mean over the clip's own faces
        scored, embeddings_ND = FaceExpression("f", tmp_path, **SETTINGS).score_and_embed(batch)
    own = [batch.embeds_NFD[0, :1], batch.embeds_NFD[1]]
    torch.testing.assert_close(embeddings_ND, torch.stack([one.mean(0) for one in own]))
    assert scored.logits_NC.shape == (2, 3)


def test_a_model_without_a_linear_layer_says_so() -> None:
    given = {name: value for name, value in TRAINING.items() if name != "labels"}
    model = Classifier(class_weights="none", label_smoothing=0.0, **given)
    with pytest.raises(UserError, match="Classifier has no linear layer.*define last_layer"):
        model.last_layer()
