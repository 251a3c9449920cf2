"""Text models that read an utterance with its dialogue and a query: what they pool, and what
leaving the dialogue out means."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pandas as pd
import pytest
import torch
from transformers import AutoModel

from meld_lightning.data.text import TextBatch, TextDataModule, without_context
from meld_lightning.errors import UserError
from meld_lightning.models.text import TextClassifier
from tests.small import LOADING, TRAINING, save_bert, small_sources

WORDS = ["a", "b", "c", "d", "ann", "bob", ":", "feels", "[MASK]"]
TEXTS = ["a b", "c", "d a b", "b b c a"]
SPEAKERS = ["ann", "bob", "ann", "bob"]


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_bert(tmp_path_factory.mktemp("bert"), WORDS)


def made_data(checkpoint: Path, cache: Path, one_dialogue: bool = True, **given: Any) -> Any:
    """A datamodule over TEXTS, as the turns of one dialogue or each in a dialogue of its own."""
    parts = [
        pd.DataFrame({"text": TEXTS, "speaker": SPEAKERS, "split": split, "label": [0, 1, 2, 0]})
        for split in ("train", "val", "test")
    ]
    table = pd.concat(parts, ignore_index=True)
    table["key"] = [f"u{row}" for row in table.index]
    table["utterance_id"] = table.index % 4
    table["dialogue_id"] = "x" if one_dialogue else table["key"]
    cache = cache / ("one" if one_dialogue else "each")  # small_sources' digests are the same
    sources = small_sources(cache, table=table, checkpoint=checkpoint, media=None)
    return TextDataModule(sources=sources, **{**LOADING, **given})


def val_batch(*args: Any, **given: Any) -> TextBatch:
    """The utterances of val in the order of their turns."""
    batch = next(iter(made_data(*args, **given).scoring_dataloader("val")))
    order = batch.rows_N.argsort()
    parts: Any = [None if one is None else one[order] for one in batch[:-1]]
    return TextBatch(*parts)


def model(checkpoint: Path, pooling: Any = "mean_and_mask", **given: Any) -> TextClassifier:
    return TextClassifier("t", checkpoint, pooling, dropout=0.0, **given, **TRAINING)


@pytest.mark.parametrize("query", [True, False])
@pytest.mark.parametrize("context", ["past", "both"])
def test_without_its_dialogue_an_utterance_is_read_as_if_it_had_none(
    checkpoint: Path, tmp_path: Path, context: str, query: bool
) -> None:
    around = {"context": context, "query": query}
    batch = val_batch(checkpoint, tmp_path, **around)
    dropped = without_context(batch, torch.tensor([True, False, True, True]))
    alone = val_batch(checkpoint, tmp_path, one_dialogue=False, **around)
    for row in range(4):
        expected = batch if row == 1 else alone
        length = int(expected.attention_mask_NT[row].sum())
        assert dropped.attention_mask_NT[row].sum() == length
        for name in ("input_ids_NT", "own_mask_NT"):
            found = getattr(dropped, name)[row, :length]
            torch.testing.assert_close(found, getattr(expected, name)[row, :length])
        assert not dropped.own_mask_NT[row, length:].any()
        if query:
            assert dropped.mask_N is not None
            assert expected.mask_N is not None
            assert dropped.mask_N[row] == expected.mask_N[row]


def test_the_mean_and_the_mask_token_are_classified(checkpoint: Path, tmp_path: Path) -> None:
    """Against transformers' own model, one utterance at a time."""
    made, encoder = model(checkpoint).eval(), AutoModel.from_pretrained(checkpoint).eval()
    batch = val_batch(checkpoint, tmp_path, context="past", query=True)
    assert made.mask_head is not None
    expected = []
    with torch.inference_mode():
        for ids, mask, own in zip(*batch[:3], strict=True):
            ids = ids[mask.bool()]
            hidden = encoder(input_ids=ids[None]).last_hidden_state[0]
            place = ids.tolist().index(4 + WORDS.index("[MASK]"))
            own = own[: len(ids)]
            expected.append(made.head(hidden[own].mean(0)) + made.mask_head(hidden[place]))
        torch.testing.assert_close(made(batch), torch.stack(expected), atol=1e-5, rtol=1e-4)


def test_the_dialogue_is_left_out_in_training_alone(checkpoint: Path, tmp_path: Path) -> None:
    batch = val_batch(checkpoint, tmp_path, context="both", query=True)
    alone = val_batch(checkpoint, tmp_path, one_dialogue=False, context="both", query=True)
    made = model(checkpoint, context_dropout=1.0)
    with torch.inference_mode():
        torch.testing.assert_close(made(batch), made(alone))
        made.eval()
        assert (made(batch) - made(alone)).abs().max() > 1e-3
        half = model(checkpoint, context_dropout=0.5)
        torch.manual_seed(0)
        drawn = [bool((half(batch) - made(batch)).abs().max() > 1e-3) for _ in range(8)]
        assert any(drawn)


@pytest.mark.parametrize(
    ("data", "pooling", "dropout", "message"),
    [
        ({"context": "past", "query": True}, "mean", 0.0, "go together"),
        ({"context": "past"}, "mean_and_mask", 0.0, "go together"),
        ({"context": "past"}, "classifier", 0.0, "needs model.pooling=mean"),
        ({}, "mean", 0.3, "there is no dialogue to leave out"),
    ],
)
def test_what_the_model_reads_and_the_batches_have_must_agree(
    checkpoint: Path,
    tmp_path: Path,
    data: dict[str, Any],
    pooling: str,
    dropout: float,
    message: str,
) -> None:
    made: Any = model(checkpoint, pooling, context_dropout=dropout)
    made._trainer = SimpleNamespace(datamodule=made_data(checkpoint, tmp_path, **data))
    with pytest.raises(UserError, match=message):
        made.on_fit_start()


def test_a_query_needs_a_dialogue(checkpoint: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="data.query and data.turns are for an utterance with its"):
        made_data(checkpoint, tmp_path, query=True)


@pytest.mark.parametrize(("tokens", "fits"), [(9, True), (8, False)])
def test_a_query_leaves_room_for_the_utterance(
    checkpoint: Path, tmp_path: Path, tokens: int, fits: bool
) -> None:
    """Four markers, and another one behind "ann feels [MASK]"."""
    asked: dict[str, Any] = {"context": "past", "query": True, "max_tokens": tokens}
    if fits:
        batch = val_batch(checkpoint, tmp_path, **asked)
        assert batch.attention_mask_NT.sum(1).max() <= tokens
    else:
        with pytest.raises(UserError, match="max_tokens=8: .* take 8 tokens, which leaves none"):
            made_data(checkpoint, tmp_path, **asked)
