"""Text: a pretrained encoder, fine-tuned to classify utterances.

Reads a checkpoint that transformers' AutoModel loads. Used by training with batches of
data/text.py.

Axes: N utterances, T tokens, H hidden units, C classes.
"""

from pathlib import Path
from typing import Annotated, Any, Literal

import torch
from pydantic import Field
from torch import nn
from transformers import AutoConfig, AutoModel, AutoModelForSequenceClassification

from meld_lightning.data.text import TextBatch
from meld_lightning.errors import UserError
from meld_lightning.models.class_weights import ClassWeights
from meld_lightning.models.classifier import Classifier


class TextClassifier(Classifier):
    """A text encoder with a classification head.

    Args:
        name: the model's name in run folders and tables.
        checkpoint: folder of an encoder that from_pretrained loads.
        pooling: the architecture's own classification head, as the paper uses it, or the mean of
            the utterance's own tokens and one linear layer, which dialogue context needs.
        dropout: rate for hidden layers, attention and head; null keeps the checkpoint's own.
        labels: names of the classes.
        training: see Classifier.
    """

    def __init__(
        self,
        name: str,
        checkpoint: str | Path,
        pooling: Literal["classifier", "mean"] = "classifier",
        dropout: Annotated[float, Field(ge=0, le=1)] | None = None,
        class_weights: ClassWeights = "none",
        label_smoothing: Annotated[float, Field(ge=0, le=1)] = 0.0,
        *,
        labels: tuple[str, ...],
        **training: Any,
    ) -> None:
        super().__init__(class_weights=class_weights, label_smoothing=label_smoothing, **training)
        torch.manual_seed(self.seed)  # the new head's weights
        config = AutoConfig.from_pretrained(checkpoint, num_labels=len(labels))
        if dropout is not None:
            _set_dropout(config, dropout)
        self.pooling = pooling
        if pooling == "classifier":
            self.encoder = AutoModelForSequenceClassification.from_pretrained(
                checkpoint, config=config, attn_implementation="sdpa", dtype=torch.float32
            )
        else:
            self.encoder = _without_pooler(checkpoint, config)
            self.dropout = nn.Dropout(
                getattr(config, "hidden_dropout_prob", 0.1) if dropout is None else dropout
            )
            self.head = nn.Linear(config.hidden_size, len(labels))
        self.train()  # from_pretrained returns a model in eval mode

    def on_fit_start(self) -> None:
        datamodule: Any = getattr(self.trainer, "datamodule", None)
        if self.pooling == "classifier" and datamodule is not None and datamodule.context != "none":
            raise UserError(
                f"data.context={datamodule.context} needs model.pooling=mean: the model's own head"
                " cannot tell the utterance from the dialogue around it"
            )

    def forward(self, batch: TextBatch) -> torch.Tensor:
        """Logits (N, C)."""
        output = self.encoder(input_ids=batch.input_ids_NT, attention_mask=batch.attention_mask_NT)
        if self.pooling == "classifier":
            return output.logits
        own_NT1 = batch.own_mask_NT.unsqueeze(-1)
        mean_NH = (output.last_hidden_state * own_NT1).sum(1) / own_NT1.sum(1)
        return self.head(self.dropout(mean_NH))


def _without_pooler(checkpoint: str | Path, config: Any) -> nn.Module:
    """The encoder without a pooler: unused, it would have no gradient, which DDP refuses."""
    try:
        return AutoModel.from_pretrained(
            checkpoint,
            config=config,
            attn_implementation="sdpa",
            dtype=torch.float32,
            add_pooling_layer=False,
        )
    except TypeError:  # architectures without a pooler do not have the option
        return AutoModel.from_pretrained(
            checkpoint, config=config, attn_implementation="sdpa", dtype=torch.float32
        )


def _set_dropout(config: Any, rate: float) -> None:
    """Sets every dropout rate of a transformers config, whatever the architecture calls them."""
    names = [
        n
        for n in vars(config)
        if n.endswith(("dropout", "dropout_prob")) and isinstance(getattr(config, n), float)
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
