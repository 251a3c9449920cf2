"""The recurrent head over a dialogue, and the batches of complete dialogues that it reads."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from meld_lightning.data.text import TextBatch, TextDataModule
from meld_lightning.errors import UserError
from meld_lightning.models.text import TextClassifier
from tests.pretrained.families import save_text
from tests.small import LABELS, LOADING, TRAINING, save_bert, small_sources

WORDS = ["a", "b", "c", "d", "e", "f", "g", "h"]
# dialogue, turn, speaker, text: the turns of one dialogue lie apart, and one has no text
LINES = [
    ("x", 1, "ann", "b c"),
    ("y", 0, "bob", "a"),
    ("x", 0, "ann", "c d e f g"),
    (None, 0, "bob", "e"),
    ("x", 3, None, "h h"),
    ("x", 2, "bob", ""),
    ("y", 1, None, "f a"),
    ("z", 0, "ann", "b"),
]
DIALOGUES = [[2, 0, 4], [1, 6], [3], [7]]  # rows in the order of their turns


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_bert(tmp_path_factory.mktemp("bert"), WORDS)


def corpus() -> pd.DataFrame:
    """LINES once in each split."""
    columns = ["dialogue_id", "utterance_id", "speaker", "text"]
    parts = [
        pd.DataFrame(LINES, columns=columns).assign(split=split)
        for split in ("train", "val", "test")
    ]
    table = pd.concat(parts, ignore_index=True)
    return table.assign(key=[f"u{row}" for row in table.index], label=table.index % len(LABELS))


def datamodule(checkpoint: Path, cache: Path, **changes: Any) -> TextDataModule:
    sources = small_sources(cache, table=corpus(), checkpoint=checkpoint, media=None)
    given = {"batch_of": "dialogues", "batch_size": 2, **LOADING, **changes}
    return TextDataModule(sources=sources, **given)


def test_batches_hold_complete_dialogues_in_the_order_of_their_turns(
    checkpoint: Path, tmp_path: Path
) -> None:
    one = datamodule(checkpoint, tmp_path)
    for split, first in (("train", 0), ("val", 8)):
        whole = [[row + first for row in rows] for rows in DIALOGUES]
        assert sorted(map(list, one.groups(split))) == sorted(whole)
    assert one.steps_per_epoch == 2
    batch = next(iter(one.scoring_dataloader("train")))
    assert batch.rows_N.tolist() == [2, 0, 4, 1, 6, 3, 7]  # the longest first
    assert batch.turns.dialogues_N.tolist() == [0, 0, 0, 1, 1, 2, 3]
    # ann again; an unknown speaker is no other's, and a dialogue's first turn follows none
    assert batch.turns.same_speaker_N.tolist() == [False, True, *[False] * 5]


@pytest.mark.parametrize(("world_size", "microbatches"), [(1, 1), (2, 1), (1, 2), (3, 2)])
def test_ranks_and_microbatches_share_an_epochs_dialogues(
    checkpoint: Path, tmp_path: Path, world_size: int, microbatches: int
) -> None:
    owned, labels = [], []
    for rank in range(world_size):
        shape = {"rank": rank, "world_size": world_size, "microbatches": microbatches}
        one = datamodule(checkpoint, tmp_path, batch_size=3, **shape)
        for batch in one.train_dataloader():
            owned += batch.rows_N[batch.owned_N].tolist()
            labels.append(len(batch.labels_G))
    assert sorted(owned) == [0, 1, 2, 3, 4, 6, 7]
    # every share of a global batch knows the labels of all of it
    assert sum(labels) == 7 * world_size * one.microbatches


def model(checkpoint: Path, **changes: Any) -> TextClassifier:
    made = TextClassifier("t", checkpoint, "mean", recurrent_units=5, **changes, **TRAINING)
    return made.eval()


def scrambled(checkpoint: Path, recurrent: str) -> TextClassifier:
    """A model whose head has an output layer other than zero."""
    made = model(checkpoint, recurrent=recurrent)
    assert made.dialogue is not None
    torch.nn.init.normal_(made.dialogue.output.weight)
    return made


def split_batch(checkpoint: Path, cache: Path) -> TextBatch:
    found: TextBatch = next(iter(datamodule(checkpoint, cache).scoring_dataloader("val")))
    return found


def test_the_head_is_a_gru_over_each_dialogue(checkpoint: Path, tmp_path: Path) -> None:
    """Against torch's GRUCell, turn by turn, over the means that the encoder gives each utterance
    alone."""
    made, batch = scrambled(checkpoint, "past"), split_batch(checkpoint, tmp_path)
    assert made.dialogue is not None
    assert batch.turns is not None
    cell = torch.nn.GRUCell(33, 5)
    cell.load_state_dict(
        {name.removesuffix("_l0"): value for name, value in made.dialogue.gru.state_dict().items()}
    )
    expected, state = [], torch.zeros(1, 5)
    with torch.inference_mode():
        for place in range(len(batch.rows_N)):
            if place == 0 or batch.turns.dialogues_N[place] != batch.turns.dialogues_N[place - 1]:
                state = torch.zeros(1, 5)
            ids = batch.input_ids_NT[[place], : batch.attention_mask_NT[place].sum()]
            mean = made.encoder(input_ids=ids).last_hidden_state.mean(1)
            same = batch.turns.same_speaker_N[[place]].float()[:, None]
            state = cell(torch.cat([mean, same], 1), state)
            expected.append(made.head(mean) + made.dialogue.output(state))
        torch.testing.assert_close(made(batch), torch.cat(expected), atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("recurrent", ["past", "both"])
def test_past_is_causal_and_both_is_not(checkpoint: Path, tmp_path: Path, recurrent: str) -> None:
    made, batch = scrambled(checkpoint, recurrent), split_batch(checkpoint, tmp_path)
    changed = batch.input_ids_NT.clone()
    changed[2, 1:3] = 5  # the last turn of the first dialogue
    with torch.inference_mode():
        moved = made(batch._replace(input_ids_NT=changed)) - made(batch)
    moves = (moved.abs().sum(1) > 1e-6).tolist()
    earlier = recurrent == "both"
    assert moves == [earlier, earlier, True, *[False] * 4]


def test_training_starts_from_the_utterances_alone(checkpoint: Path, tmp_path: Path) -> None:
    batch = split_batch(checkpoint, tmp_path)
    with torch.inference_mode():
        alone = model(checkpoint)(batch._replace(turns=None))
        torch.testing.assert_close(model(checkpoint, recurrent="both")(batch), alone)


def test_the_recurrent_head_reads_means(checkpoint: Path) -> None:
    with pytest.raises(UserError, match="add model.pooling=mean"):
        TextClassifier("t", checkpoint, "classifier", recurrent="past", **TRAINING)


def test_dialogues_without_a_recurrent_head_are_refused(checkpoint: Path, tmp_path: Path) -> None:
    made: Any = model(checkpoint)
    made._trainer = SimpleNamespace(datamodule=datamodule(checkpoint, tmp_path))
    with pytest.raises(UserError, match="data.batch_of=dialogues and model.recurrent"):
        made.on_fit_start()


def test_a_recurrent_head_and_context_dropout_are_refused(checkpoint: Path, tmp_path: Path) -> None:
    made: Any = model(checkpoint, recurrent="past", context_dropout=0.3)
    made._trainer = SimpleNamespace(datamodule=datamodule(checkpoint, tmp_path, context="past"))
    with pytest.raises(UserError, match="context_dropout=0.3: a recurrent head reads every"):
        made.on_fit_start()


def test_dialogues_are_not_oversampled(checkpoint: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="sampling=oversampled draws single utterances"):
        datamodule(checkpoint, tmp_path, sampling="oversampled")


def test_layers_that_share_their_weights_have_one_learning_rate(tmp_path: Path) -> None:
    save_text(tmp_path, "albert", num_hidden_layers=4)
    made = TextClassifier("t", tmp_path, "mean", layer_decay=0.5, **TRAINING)
    factors = {name: made.lr_factor(name) for name, _ in made.named_parameters()}
    assert factors["encoder.embeddings.word_embeddings.weight"] == 0.5
    assert factors["encoder.encoder.albert_layer_groups.0.albert_layers.0.ffn.weight"] == 1


@pytest.mark.parametrize("pooling", ["mean", "classifier"])
def test_learning_rates_fall_from_the_head_to_the_embeddings(
    checkpoint: Path, pooling: str
) -> None:
    options: Any = {"pooling": pooling, "layer_decay": 0.5, "head_lr_factor": 10.0}
    made = TextClassifier("t", checkpoint, **options, **TRAINING)
    optimizer = made.configure_optimizers()["optimizer"]
    rate = {id(p): group["lr"] for group in optimizer.param_groups for p in group["params"]}
    base = TRAINING["optimizer"].keywords["lr"]
    found = {name: rate[id(p)] / base for name, p in made.named_parameters()}
    below = "encoder.bert." if pooling == "classifier" else "encoder."
    head = "encoder.classifier." if pooling == "classifier" else "head."
    if pooling == "classifier":  # above all layers, though it has no number
        assert found["encoder.bert.pooler.dense.weight"] == pytest.approx(1.0)
    for part, factor in (
        (f"{below}embeddings.word_embeddings.weight", 0.25),
        (f"{below}encoder.layer.0.output.dense.bias", 0.5),
        (f"{below}encoder.layer.1.output.dense.weight", 1.0),
        (f"{head}weight", 10.0),
    ):
        assert found[part] == pytest.approx(np.float64(factor)), part
