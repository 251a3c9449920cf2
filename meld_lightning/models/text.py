"""Text: a pretrained encoder, fine-tuned to classify utterances.

Reads a checkpoint that transformers' AutoModel loads. Used by training with batches of
data/text.py.

Axes: N utterances, T tokens, H hidden units, C classes.
"""

import re
from pathlib import Path
from typing import Annotated, Any, Literal

import torch
from pydantic import Field
from torch import nn

from meld_lightning.data.text import TextBatch, TextDataModule, without_context
from meld_lightning.data.tokens import Context
from meld_lightning.errors import UserError
from meld_lightning.models.class_weights import ClassWeights
from meld_lightning.models.classifier import Classifier
from meld_lightning.models.dialogue import DialogueHead
from meld_lightning.models.losses import Loss
from meld_lightning.pretrained.labels import columns
from meld_lightning.pretrained.text import encode, load_classifier, load_encoder, text_config

ENCODED_TOGETHER = 16  # utterances of a batch of dialogues
NUMBER = re.compile(r"\.(\d+)\.")  # of a layer, in a parameter's name


class TextClassifier(Classifier):
    """A text encoder with a classification head.

    Args:
        name: the model's name in run folders and tables.
        checkpoint: folder of an encoder that from_pretrained loads.
        pooling: the architecture's own classification head, as the paper uses it, or the mean of
            the utterance's own tokens and one linear layer, which dialogue context needs, or
            both that mean and the mask token of the query, which needs data.query=true.
        context_dropout: probability with which a training utterance is read without its dialogue,
            drawn at every step.
        layer_decay: factor by which the learning rate falls from each layer of the encoder to the
            layer below it; the embeddings count as the lowest. 1: all layers have the same rate.
        head_lr_factor: factor on the learning rate of everything above the encoder.
        recurrent: adds a recurrent head over the turns of a dialogue: the earlier ones (past, so
            that the model is causal), or the later ones as well (both). Needs
            data.batch_of=dialogues and pooling=mean.
        recurrent_units: hidden units of that head, in each direction.
        recurrent_dropout: its dropout rate.
        dropout: rate for hidden layers, attention and head; null keeps the checkpoint's own.
        keep_head: whether to start from the checkpoint's own classification head, whose labels
            are matched to the corpus's by name, instead of a new head.
        label_map: for keep_head, the corpus's label for each label of the checkpoint that has
            another name, such as {happy: joy}. Several labels may map to one; those without a
            label of the corpus are left out.
        labels: names of the classes.
        training: see Classifier.
    """

    def __init__(
        self,
        name: str,
        checkpoint: str | Path,
        pooling: Literal["classifier", "mean", "mean_and_mask"] = "classifier",
        dropout: Annotated[float, Field(ge=0, le=1)] | None = None,
        class_weights: ClassWeights = "none",
        label_smoothing: Annotated[float, Field(ge=0, le=1)] = 0.0,
        loss: Loss = "cross_entropy",
        keep_head: bool = False,
        label_map: dict[str, str] | None = None,
        layer_decay: Annotated[float, Field(gt=0, le=1)] = 1.0,
        head_lr_factor: Annotated[float, Field(gt=0)] = 1.0,
        context_dropout: Annotated[float, Field(ge=0, le=1)] = 0.0,
        recurrent: Context = "none",
        recurrent_units: Annotated[int, Field(ge=1)] = 128,
        recurrent_dropout: Annotated[float, Field(ge=0, le=1)] = 0.3,
        *,
        labels: tuple[str, ...],
        **training: Any,
    ) -> None:
        super().__init__(
            class_weights=class_weights, label_smoothing=label_smoothing, loss=loss, **training
        )
        torch.manual_seed(self.seed)  # the new head's weights
        config = text_config(checkpoint, **({} if keep_head else {"num_labels": len(labels)}))
        if dropout is not None:
            _set_dropout(config, dropout)
        self.pooling = pooling
        self.columns = _kept_columns(config, labels, label_map, pooling) if keep_head else None
        if label_map and not keep_head:
            raise UserError(
                "model.label_map is for the checkpoint's head: add model.keep_head=true"
            )
        if pooling == "classifier":
            self.encoder = load_classifier(checkpoint, config, keep_head)
        else:
            self.encoder = load_encoder(checkpoint, config)
            self.dropout = nn.Dropout(
                getattr(config, "hidden_dropout_prob", 0.1) if dropout is None else dropout
            )
            self.head = nn.Linear(config.hidden_size, len(labels))
        self.mask_head = None
        if pooling == "mean_and_mask":
            self.mask_head = nn.Linear(config.hidden_size, len(labels))
        self.context_dropout, self.dialogue = context_dropout, None
        if recurrent != "none":
            if pooling != "mean":
                raise UserError(
                    f"model.recurrent={recurrent} reads the mean of an utterance's tokens: add"
                    " model.pooling=mean"
                )
            self.dialogue = DialogueHead(
                config.hidden_size, len(labels), recurrent, recurrent_units, recurrent_dropout
            )
        self.layer_decay, self.head_lr_factor = layer_decay, head_lr_factor
        self.train()  # from_pretrained returns a model in eval mode

    def lr_factor(self, parameter: str) -> float:
        """Lower for lower layers: discriminative fine-tuning (Howard and Ruder, ACL 2018, section
        3.2)."""
        encoder: Any = self.encoder
        # with a head of the architecture's own the encoder is one part of the model, beside it
        own = (
            f"encoder.{encoder.base_model_prefix}." if self.pooling == "classifier" else "encoder."
        )
        if not parameter.startswith(own):
            return self.head_lr_factor
        depths = _depths(self.get_submodule(own.removesuffix(".")))
        return self.layer_decay ** (max(depths.values()) - depths[parameter.removeprefix(own)])

    def last_layer(self) -> nn.Module:
        """The head over the mean of the utterance's own tokens, or the architecture's own."""
        return super().last_layer() if self.pooling == "classifier" else self.head

    def on_fit_start(self) -> None:
        datamodule: Any = getattr(self.trainer, "datamodule", None)
        if isinstance(datamodule, TextDataModule):
            self._check_reads(datamodule)

    def _check_reads(self, data: TextDataModule) -> None:
        """UserError unless the batches have what the model reads, and no dialogue that it cannot
        tell from the utterance."""
        if (data.batch_of == "dialogues") != (self.dialogue is not None):
            raise UserError(
                "data.batch_of=dialogues and model.recurrent=past or both go together: give both"
                " or neither"
            )
        if data.query != (self.mask_head is not None):
            raise UserError(
                "data.query=true and model.pooling=mean_and_mask go together: give both or neither"
            )
        if data.context == "none" and self.context_dropout > 0:
            raise UserError(
                f"model.context_dropout={self.context_dropout:g}: there is no dialogue to leave"
                " out; add data.context=past or data.context=both"
            )
        if self.dialogue is not None and self.context_dropout > 0:
            raise UserError(
                f"model.context_dropout={self.context_dropout:g}: a recurrent head reads every"
                " utterance of a dialogue; leave it out, or leave out model.recurrent and"
                " data.batch_of"
            )
        if data.context != "none" and self.pooling == "classifier":
            raise UserError(
                f"data.context={data.context} needs model.pooling=mean: the model's own head"
                " cannot tell the utterance from the dialogue around it"
            )

    def forward(self, batch: TextBatch) -> torch.Tensor:
        """Logits (N, C)."""
        if self.dialogue is not None:
            assert batch.turns is not None
            mean_NH = self._means_by_length(batch)
            return self.head(self.dropout(mean_NH)) + self.dialogue(mean_NH, batch.turns)
        if self.training and self.context_dropout > 0:
            dropped_N = torch.rand(len(batch.rows_N), device=self.device) < self.context_dropout
            batch = without_context(batch, dropped_N)
        output = encode(self.encoder, batch.input_ids_NT, batch.attention_mask_NT)
        if self.pooling == "classifier":
            return output if self.columns is None else _merged(output, self.columns)
        logits_NC = self.head(self.dropout(_mean(output, batch.own_mask_NT)))
        if self.mask_head is None:
            return logits_NC
        mask_NH = output[torch.arange(len(output), device=output.device), batch.mask_N]
        return logits_NC + self.mask_head(self.dropout(mask_NH))

    def _means_by_length(self, batch: TextBatch) -> torch.Tensor:
        """Mean over each utterance's own tokens (N, H), encoding utterances of similar length
        together: those of a dialogue differ much, and most of a batch would be padding."""
        lengths_N = batch.attention_mask_NT.sum(1)
        order_N = lengths_N.argsort(descending=True, stable=True)
        parts = []
        for rows in order_N.split(ENCODED_TOGETHER):
            longest = int(lengths_N[rows[0]])
            ids, mask, own = (
                whole[rows, :longest]
                for whole in (batch.input_ids_NT, batch.attention_mask_NT, batch.own_mask_NT)
            )
            parts.append(_mean(encode(self.encoder, ids, mask), own))
        return torch.cat(parts)[order_N.argsort()]


def _depths(encoder: nn.Module) -> dict[str, int]:
    """Each parameter's height in the encoder: 0 for the embeddings, then 1 for the lowest layer.

    What has no number is as high as what is defined before it: a pooler or a last norm as the
    highest layer. Layers that share their weights, as ALBERT's do, count as one.
    """
    found, depth = {}, 0
    for name, _ in encoder.named_parameters():
        if place := NUMBER.search(name):  # encoder.layer.3.output.dense.weight
            depth = int(place[1]) + 1
        found[name] = depth
    return found


def _mean(output_NTH: torch.Tensor, own_mask_NT: torch.Tensor) -> torch.Tensor:
    """Mean over each utterance's own tokens (N, H)."""
    own_NT1 = own_mask_NT.unsqueeze(-1)
    return (output_NTH * own_NT1).sum(1) / own_NT1.sum(1)


def _kept_columns(
    config: Any, labels: tuple[str, ...], label_map: dict[str, str] | None, pooling: str
) -> list[list[int]]:
    """For each label of the corpus the columns of the checkpoint's head that stand for it."""
    if pooling != "classifier":
        raise UserError(
            f"model.keep_head=true: model.pooling={pooling} has a head of its own; use"
            " model.pooling=classifier"
        )
    theirs = {str(name): int(place) for place, name in config.id2label.items()}
    same = {name: ours for name in theirs for ours in labels if name.casefold() == ours.casefold()}
    found = columns(theirs, {**same, **(label_map or {})}, labels)
    lacking = [label for label, places in zip(labels, found, strict=True) if not places]
    if lacking:
        raise UserError(
            f"model.keep_head=true: the checkpoint's head has no label for {', '.join(lacking)};"
            f" its labels are {', '.join(theirs)}: add model.label_map={{THEIRS: {lacking[0]}}}, or"
            " leave keep_head out for a new head"
        )
    return found


def _merged(logits_NK: torch.Tensor, columns: list[list[int]]) -> torch.Tensor:
    """Logits (N, C) of the corpus's labels. Columns of the same label are combined by logsumexp,
    which adds their probabilities."""
    return torch.stack([logits_NK[:, places].logsumexp(1) for places in columns], dim=1)


def _set_dropout(config: Any, rate: float) -> None:
    """Sets every dropout rate of a transformers config, whatever the architecture calls them."""
    names = [
        n
        for n in vars(config)
        if n.endswith(("dropout", "dropout_prob", "dropout_rate", "pdrop"))
        and isinstance(getattr(config, n), float)
    ]
    names += [
        n for n in ("hidden_dropout_prob", "attention_probs_dropout_prob") if hasattr(config, n)
    ]
    if not names:
        raise UserError(
            f"model.dropout={rate}: this checkpoint's config has no dropout rate; use"
            " model.dropout=null"
        )
    for name in set(names):
        setattr(config, name, rate)
    if getattr(config, "classifier_dropout", 0) is not None:
        config.classifier_dropout = rate
