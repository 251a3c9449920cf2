"""Text models: length-grouped batches give the logits that transformers' own model gives on padded
ones, and a kept head's labels are matched by name."""

from collections.abc import Callable
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from meld_lightning.data.text import TextBatch
from meld_lightning.errors import UserError
from meld_lightning.models.text import TextClassifier
from tests.pretrained.families import save_text
from tests.small import LABELS, TRAINING

LONGEST = 128


@pytest.mark.parametrize("model", ["bert", "roberta"])
def test_transformers_own_model_gives_the_same_logits(
    model: str, compose_train: Callable[..., Any]
) -> None:
    """AutoModelForSequenceClassification on some test utterances, padded to LONGEST, in fp32: equal
    to 1e-5."""
    from meld_lightning.runs.inputs import read_inputs
    from meld_lightning.training.build import build

    cfg = compose_train([f"model={model}"])
    table, _, datamodule, module = build(cfg, read_inputs(cfg))
    module.eval()
    encoder: Any = module.encoder
    ours: dict[int, np.ndarray] = {}
    with torch.inference_mode():
        for batch in islice(datamodule.scoring_dataloader("test"), 0, None, 4):
            ours.update(zip(batch.rows_N.tolist(), module(batch).numpy(), strict=True))
    rows = sorted(ours)[::15]
    assert len(rows) >= 8

    folder = Path(encoder.config._name_or_path)
    theirs = AutoModelForSequenceClassification.from_pretrained(
        folder, num_labels=7, attn_implementation="eager"
    ).eval()
    theirs.load_state_dict(encoder.state_dict())
    tokenizer = AutoTokenizer.from_pretrained(folder)
    padded = tokenizer(
        table["text"].iloc[rows].tolist(),
        padding="max_length",
        truncation=True,
        max_length=LONGEST,
        return_tensors="pt",
    )
    padded.pop("token_type_ids", None)
    with torch.inference_mode():
        expected = torch.cat(
            [
                theirs(**{k: v[i : i + 8] for k, v in padded.items()}).logits
                for i in range(0, len(rows), 8)
            ]
        )
    np.testing.assert_allclose(np.stack([ours[row] for row in rows]), expected.numpy(), atol=1e-5)


@pytest.mark.slow
def test_mean_pooling_sees_the_utterance_alone(compose_train: Callable[..., Any]) -> None:
    """With dialogue around it, the pooled tokens are the utterance between its two separators."""
    from meld_lightning.runs.inputs import read_inputs
    from meld_lightning.training.build import build

    cfg = compose_train(["data.context=both", "model.pooling=mean", "data.max_tokens=64"])
    table, _, datamodule, module = build(cfg, read_inputs(cfg))
    encoder: Any = module.encoder
    tokenizer = AutoTokenizer.from_pretrained(Path(encoder.config._name_or_path))
    seen = 0
    for batch in datamodule.scoring_dataloader("val"):
        for ids, own, mask, row in zip(
            batch.input_ids_NT,
            batch.own_mask_NT,
            batch.attention_mask_NT,
            batch.rows_N,
            strict=True,
        ):
            spoken = tokenizer.decode(ids[own], skip_special_tokens=True)
            speaker, text = table.loc[int(row), ["speaker", "text"]]
            whole = tokenizer.decode(
                tokenizer(f"{speaker}: {text}", add_special_tokens=False)["input_ids"][:60]
            )
            assert spoken == whole
            assert mask.sum() <= 64
            seen += int(mask.sum()) > int(own.sum())
    assert seen > 50, "hardly any utterance had dialogue around it"


@pytest.mark.parametrize(
    "theirs", [("anger", "Neutral", "happy"), ("anger", "neutral", "happy", "x")]
)
def test_a_kept_heads_labels_are_matched_by_name(theirs: tuple[str, ...], tmp_path: Path) -> None:
    """A head with our labels in another order, and one with a label that we do not have."""
    folder = save_text(
        tmp_path,
        "bert",
        AutoModelForSequenceClassification,
        id2label=dict(enumerate(theirs)),
        label2id={label: place for place, label in enumerate(theirs)},
    )
    kept: dict[str, Any] = {"keep_head": True, "label_map": {"happy": "joy"}}
    model = TextClassifier("t", folder, **kept, **TRAINING).eval()
    own = AutoModelForSequenceClassification.from_pretrained(folder).eval()
    ids = torch.tensor([[2, 7, 8, 3]])
    batch = batch_of(ids)
    with torch.inference_mode():
        logits = own(input_ids=ids).logits[0]
        assert LABELS == ("neutral", "joy", "anger")
        torch.testing.assert_close(model(batch)[0], logits[[1, 2, 0]])
        merged: dict[str, Any] = {
            "keep_head": True,
            "label_map": {"happy": "joy", theirs[-1]: "joy"},
        }
        found = TextClassifier("t", folder, **merged, **TRAINING).eval()(batch)[0]
        torch.testing.assert_close(found[1], logits[2:].logsumexp(0))
        new = TextClassifier("t", folder, **TRAINING).eval()(batch)[0]
        assert (new - logits[[1, 2, 0]]).abs().max() > 1e-3


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"keep_head": True}, "no label for neutral, joy, anger; its labels are LABEL_0"),
        ({"keep_head": True, "label_map": {"LABEL_9": "joy"}}, "the checkpoint has no label"),
        ({"keep_head": True, "label_map": {"LABEL_0": "jpy"}}, "did you mean 'joy'"),
        ({"keep_head": True, "pooling": "mean"}, "use model.pooling=classifier"),
        ({"label_map": {"LABEL_0": "joy"}}, "add model.keep_head=true"),
    ],
)
def test_a_head_that_cannot_be_kept_is_refused(
    options: dict[str, Any], message: str, tmp_path: Path
) -> None:
    folder = save_text(tmp_path, "bert", AutoModelForSequenceClassification, num_labels=3)
    with pytest.raises(UserError, match=message) as caught:
        TextClassifier("t", folder, **options, **TRAINING)
    assert "\n" not in str(caught.value)


def batch_of(ids_NT: torch.Tensor) -> TextBatch:
    rows_N, ones_NT = torch.arange(len(ids_NT)), torch.ones_like(ids_NT)
    return TextBatch(ids_NT, ones_NT, ones_NT.bool(), rows_N, rows_N, rows_N >= 0, rows_N)
