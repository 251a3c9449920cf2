"""Audio: a speech encoder fine-tuned, the same one frozen with a probe on its layers, an existing
emotion checkpoint used unchanged, and an MFCC baseline.

Reads speech checkpoints. Used by training with batches of data/audio.py and data/audio_features.py.

Axes: N utterances, S speeds, T samples, F frames, H hidden units, L layers, D pooled features, C
classes, K classes of an existing checkpoint.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import torch
from pydantic import Field
from torch import nn

from meld_lightning.data.audio import AudioBatch
from meld_lightning.data.audio_features import AudioFeaturesBatch
from meld_lightning.errors import UserError
from meld_lightning.models.class_weights import ClassWeights
from meld_lightning.models.classifier import Classifier
from meld_lightning.models.layers import Standardise
from meld_lightning.models.losses import Loss
from meld_lightning.models.scoring import MIN_PROBABILITY
from meld_lightning.pretrained.emotion import load_emotion
from meld_lightning.pretrained.labels import columns
from meld_lightning.pretrained.speech import (
    RATE,
    SpeechEncoder,
    Trained,
    extracted,
    pooled,
    speech_config,
)

Pooling = Literal["mean", "mean_std", "attentive"]
MIN_SAMPLES = 1600  # 0.1 s; shorter clips are padded with silence


class AudioClassifier(Classifier):
    """A speech encoder with the head of transformers' Wav2Vec2ForSequenceClassification.

    The head projects the frames, pools them and applies a linear layer.

    Args:
        name: the model's name in run folders and tables.
        checkpoint: folder of a speech encoder that from_pretrained loads; pretrained/speech.py
            lists the model types.
        train: the part that is fine-tuned: all of it, the transformer without the convolutions
            below it, or the head alone.
        pooling: over the clip's frames: their mean, mean and deviation, or attention with learnt
            weights.
        layer_weights: whether the head reads a learnt mixture of all layers instead of the last.
        spec_augment: whether to mask frames in training, as the checkpoint's config says.
        projection: width of the head.
        dropout: rate before the projection and before the last layer.
        labels: names of the classes.
        training: see Classifier.
    """

    def __init__(
        self,
        name: str,
        checkpoint: str | Path,
        train: Trained = "transformer",
        pooling: Pooling = "mean",
        layer_weights: bool = False,
        spec_augment: bool = True,
        projection: Annotated[int, Field(ge=1)] = 256,
        dropout: Annotated[float, Field(ge=0, le=1)] = 0.1,
        class_weights: ClassWeights = "none",
        label_smoothing: Annotated[float, Field(ge=0, le=1)] = 0.0,
        loss: Loss = "cross_entropy",
        *,
        labels: tuple[str, ...],
        **training: Any,
    ) -> None:
        super().__init__(
            class_weights=class_weights, label_smoothing=label_smoothing, loss=loss, **training
        )
        torch.manual_seed(self.seed)  # the head's weights
        self.encoder = SpeechEncoder(checkpoint, train, spec_augment)
        self.pooling = pooling
        self.mixture_L = nn.Parameter(torch.zeros(self.encoder.depth)) if layer_weights else None
        self.dropout = nn.Dropout(dropout)
        self.projector = nn.Linear(self.encoder.hidden_size, projection)
        self.attention = nn.Linear(projection, 1) if pooling == "attentive" else None
        self.classifier = nn.Linear(projection * (2 if pooling == "mean_std" else 1), len(labels))
        self.train()

    def forward(self, batch: AudioBatch) -> torch.Tensor:
        """Logits (N, C)."""
        hidden_LNFH, mask_NF = self.encoder(
            batch.wave_NT, batch.samples_N, every_layer=self.mixture_L is not None
        )
        if self.mixture_L is None:
            hidden_NFH = hidden_LNFH[-1]
        else:
            hidden_NFH = torch.einsum("l,lnfh->nfh", torch.softmax(self.mixture_L, 0), hidden_LNFH)
        projected_NFH = self.projector(self.dropout(hidden_NFH))
        if self.attention is None:
            return self.classifier(
                self.dropout(pooled(projected_NFH, mask_NF, self.pooling == "mean_std"))
            )
        weight_NF1 = self.attention(torch.tanh(projected_NFH)).masked_fill(
            ~mask_NF.unsqueeze(-1), float("-inf")
        )
        return self.classifier(self.dropout((torch.softmax(weight_NF1, 1) * projected_NFH).sum(1)))


class AudioProbe(Classifier):
    """A linear layer on the pooled layers of a frozen speech encoder, which the datamodule caches.

    Args:
        name: the model's name in run folders and tables.
        checkpoint: folder of a speech encoder, which the datamodule reads.
        layers: hidden states of the encoder to read, such as [2, 3]; 0 is the input of its first
            layer, null reads all.
        layer_weights: whether to read a learnt mixture of these layers instead of all side by side.
        dropout: rate on the features.
        labels: names of the classes.
        training: see Classifier.
    """

    def __init__(
        self,
        name: str,
        checkpoint: str | Path,
        layers: Sequence[int] | None = None,
        layer_weights: bool = False,
        dropout: Annotated[float, Field(ge=0, le=1)] = 0.5,
        class_weights: ClassWeights = "none",
        label_smoothing: Annotated[float, Field(ge=0, le=1)] = 0.0,
        loss: Loss = "cross_entropy",
        *,
        labels: tuple[str, ...],
        **training: Any,
    ) -> None:
        super().__init__(
            class_weights=class_weights, label_smoothing=label_smoothing, loss=loss, **training
        )
        torch.manual_seed(self.seed)
        config = speech_config(checkpoint)
        depth, width = int(config.num_hidden_layers) + 1, 2 * int(config.hidden_size)
        self.layers = list(range(depth)) if layers is None else [int(layer) for layer in layers]
        if not self.layers or not all(0 <= layer < depth for layer in self.layers):
            raise UserError(
                f"model.layers={self.layers}: expected one or more of 0 to {depth - 1}, the layers"
                " of this checkpoint"
            )
        # an index on the device: a list would be copied to it, which waits, at every step
        self.layers_L: torch.Tensor
        self.register_buffer("layers_L", torch.tensor(self.layers), persistent=False)
        self.mixture_L = nn.Parameter(torch.zeros(len(self.layers))) if layer_weights else None
        self.standardise = Standardise(len(self.layers) * width)
        self.dropout = nn.Dropout(dropout)
        self.classifier = nn.Linear(width * (1 if layer_weights else len(self.layers)), len(labels))

    def forward(self, batch: AudioFeaturesBatch) -> torch.Tensor:
        """Logits (N, C)."""
        rows_N = torch.arange(len(batch.rows_N), device=self.device)
        speed_N = (
            torch.randint_like(rows_N, batch.features_NSLD.shape[1])
            if self.training
            else torch.zeros_like(rows_N)
        )
        features_NLD = batch.features_NSLD[rows_N, speed_N][:, self.layers_L]
        features_NLD = self.standardise(features_NLD.flatten(1), batch.owned_N).view_as(
            features_NLD
        )
        if self.mixture_L is None:
            return self.classifier(self.dropout(features_NLD.flatten(1)))
        return self.classifier(
            self.dropout(torch.einsum("l,nld->nd", torch.softmax(self.mixture_L, 0), features_NLD))
        )


class SpeechCheckpoint(Classifier):
    """An existing emotion checkpoint, scored without any training, one clip at a time.

    Args:
        name: the model's name in run folders and tables.
        checkpoint: folder of a model that AutoModelForAudioClassification loads.
        label_map: the corpus's label for each label of the checkpoint. A label of the corpus that
            is missing here is never predicted.
    """

    def __init__(
        self,
        name: str,
        checkpoint: str | Path,
        label_map: dict[str, str],
        *,
        labels: tuple[str, ...],
        **training: Any,
    ) -> None:
        super().__init__(class_weights="none", label_smoothing=0.0, **training)
        self.extractor, self.model = load_emotion(checkpoint)
        self.model.requires_grad_(False)
        known = {str(label): int(index) for label, index in self.model.config.label2id.items()}
        self.columns = columns(known, label_map, labels)

    def forward(self, batch: AudioBatch) -> torch.Tensor:
        """Logits (N, C): the checkpoint's log-probabilities; labels that map to the same one are
        summed."""
        rows = []
        for wave_T, count in zip(batch.wave_NT, batch.samples_N.tolist(), strict=True):
            clip_T = nn.functional.pad(wave_T[:count], (0, max(0, MIN_SAMPLES - count)))
            inputs = extracted(self.extractor, clip_T).to(self.device)
            probability_K = torch.softmax(self.model(**inputs).logits[0].float(), 0)
            probability_C = torch.stack([probability_K[places].sum() for places in self.columns])
            rows.append(torch.log(probability_C.clamp_min(MIN_PROBABILITY)))
        return torch.stack(rows)


class MfccClassifier(Classifier):
    """A light baseline without pretrained weights: mean and deviation over the clip of MFCCs and
    their deltas, and one hidden layer.

    Args:
        name: the model's name in run folders and tables.
        coefficients: MFCCs per frame (windows of 25 ms every 10 ms, 64 mel bands).
        hidden: width of the hidden layer.
        dropout: rate on the hidden layer.
    """

    def __init__(
        self,
        name: str,
        coefficients: Annotated[int, Field(ge=1)] = 40,
        hidden: Annotated[int, Field(ge=1)] = 128,
        dropout: Annotated[float, Field(ge=0, le=1)] = 0.3,
        class_weights: ClassWeights = "none",
        label_smoothing: Annotated[float, Field(ge=0, le=1)] = 0.0,
        loss: Loss = "cross_entropy",
        *,
        labels: tuple[str, ...],
        **training: Any,
    ) -> None:
        super().__init__(
            class_weights=class_weights, label_smoothing=label_smoothing, loss=loss, **training
        )
        torch.manual_seed(self.seed)
        from torchaudio.transforms import MFCC, ComputeDeltas

        options = {"n_fft": 400, "win_length": 400, "hop_length": 160, "n_mels": 64, "center": True}
        self.mfcc, self.deltas = MFCC(RATE, coefficients, melkwargs=options), ComputeDeltas()
        # by row of the corpus that is fitted: the features are the same in every epoch
        self._known: dict[int, torch.Tensor] | None = None
        self.head = nn.Sequential(
            Standardise(4 * coefficients),
            nn.Linear(4 * coefficients, hidden),
            nn.ReLU(),
            nn.Dropout(dropout),
            nn.Linear(hidden, len(labels)),
        )

    def on_fit_start(self) -> None:
        self._known = {}

    def forward(self, batch: AudioBatch) -> torch.Tensor:
        """Logits (N, C)."""
        known = {} if self._known is None else self._known
        with torch.no_grad(), torch.autocast(self.device.type, enabled=False):
            rows = batch.rows_N.tolist()
            clips = zip(rows, batch.wave_NT, batch.samples_N.tolist(), strict=True)
            for row, wave_T, count in clips:
                if row not in known:
                    known[row] = self._features(wave_T[:count])
            features_ND = torch.stack([known[row] for row in rows])
        standardise, *layers = self.head
        return nn.Sequential(*layers)(standardise(features_ND, batch.owned_N))

    def _features(self, clip_T: torch.Tensor) -> torch.Tensor:
        """Mean and deviation over time of MFCCs and deltas (D,)."""
        mfcc_DF = self.mfcc(nn.functional.pad(clip_T, (0, max(0, MIN_SAMPLES - len(clip_T)))))
        both_DF = torch.cat([mfcc_DF, self.deltas(mfcc_DF)])
        return torch.cat([both_DF.mean(1), both_DF.std(1)])
