"""Text models: length-grouped batches give the logits that transformers' own model gives on padded
ones."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import AutoModelForSequenceClassification, AutoTokenizer

LONGEST = 512


@pytest.mark.parametrize("model", ["bert", "roberta"])
def test_transformers_own_model_gives_the_same_logits(
    model: str, compose_train: Callable[..., Any]
) -> None:
    """AutoModelForSequenceClassification on some test utterances, padded to 512, in fp32: equal to
    1e-5."""
    from meld_lightning.runs.inputs import read_inputs
    from meld_lightning.training.build import build

    cfg = compose_train([f"model={model}"])
    table, _, datamodule, module = build(cfg, read_inputs(cfg))
    module.eval()
    encoder: Any = module.encoder
    ours: dict[int, np.ndarray] = {}
    with torch.inference_mode():
        for batch in datamodule.scoring_dataloader("test"):
            ours.update(zip(batch.rows_N.tolist(), module(batch).numpy(), strict=True))
    rows = sorted(ours)[::60]
    assert len(ours) == (table["split"] == "test").sum()

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
