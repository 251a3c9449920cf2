"""A trained model, loaded with its weights and its processor; neither corpus nor cached features
are needed.

Reads run folders and the checkpoints that `prepare` recorded. Used by Run.model(), by `export` and
by predictions.

Axis: C classes.
"""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from hydra.errors import InstantiationException
from omegaconf import DictConfig

from meld_lightning.errors import UserError
from meld_lightning.models.classifier import Classifier
from meld_lightning.pretrained.checkpoints import Checkpoint, prepared_checkpoint
from meld_lightning.pretrained.loading import (
    load_feature_extractor,
    load_image_processor,
    load_tokenizer,
)
from meld_lightning.runs.identity import class_value
from meld_lightning.runs.result import AGAIN
from meld_lightning.runs.run import Run, load_run
from meld_lightning.training.build import make_module

PROCESSORS = {  # by the kind of decoded media that the datamodule reads
    None: load_tokenizer,
    "audio": load_feature_extractor,
    "frames": load_image_processor,
}


@dataclass(frozen=True)
class LoadedModel:
    """A trained model as it scored its run.

    Attributes:
        folder: the folder of the run.
        module: the LightningModule with its trained weights, in eval mode, on the CPU. It takes the
            batches of its datamodule; where that reads a frozen encoder's features, the encoder is
            in `checkpoint` and the datamodule makes it.
        checkpoint: the pretrained checkpoint, with the tokenizer or processor; None without one.
        labels: names of the classes, in the order of the logits.
        modality: text, audio, video or another word.
        decoded: the kind of decoded media that the datamodule reads: frames, audio, or None.
        train_counts_C: utterances of train per class.
        prior_C: log-probabilities that the run gave an utterance that lacks the modality.
        config: that of the run.
    """

    folder: Path
    module: Classifier
    checkpoint: Checkpoint | None
    labels: tuple[str, ...]
    modality: str
    decoded: str | None
    train_counts_C: np.ndarray
    prior_C: np.ndarray
    config: DictConfig

    @cached_property
    def processor(self) -> Any:
        """The checkpoint's tokenizer, feature extractor or image processor; None without a
        checkpoint. Raises UserError if the checkpoint has none."""
        return None if self.checkpoint is None else PROCESSORS[self.decoded](self.checkpoint.folder)


def load_model(folder: str | Path, cache: str | Path | None = None) -> LoadedModel:
    """The model of a finished run.

    cache: where `prepare` recorded its checkpoint; None: the cache that the run was made with.
    Raises UserError for a fusion, for a run whose weights are not there, and if its checkpoint
    is not prepared or has changed since.
    """
    run = load_run(folder)
    if run.result.modality == "fusion":
        raise UserError(
            f"{run.folder}: a fusion, which has no model of its own; name one of the runs it fuses"
        )
    checkpoint = _checkpoint_of(run, cache)
    counts_C = _train_counts(run)
    module = built_module(run, checkpoint, counts_C)
    if any(parameter.requires_grad for parameter in module.parameters()):
        restore(module, _trained_weights(run), run.folder)
    return LoadedModel(
        folder=run.folder,
        module=module,
        checkpoint=checkpoint,
        labels=run.result.labels,
        modality=run.result.modality,
        decoded=class_value(run.config.data, "decoded"),
        train_counts_C=counts_C,
        prior_C=torch.log_softmax(module.prior_C, 0).numpy(),
        config=run.config,
    )


def built_module(run: Run, checkpoint: Checkpoint | None, train_counts_C: np.ndarray) -> Classifier:
    """The module that a run's config describes, in eval mode, before its weights are restored."""
    try:
        module = make_module(
            run.config,
            run.result.labels,
            train_counts_C,
            checkpoint.folder if checkpoint else None,
            total_steps=1,
        )
    except InstantiationException as error:
        if isinstance(error.__cause__, UserError):
            raise error.__cause__ from None
        raise UserError(
            f"{run.folder}: its model {run.config.model.get('_target_')} cannot be made"
            f" ({' '.join(str(error.__cause__ or error).split())}); put the folder of a class of"
            " your own on PYTHONPATH"
        ) from error
    return module.eval()


def restore(module: Classifier, weights: dict[str, torch.Tensor], folder: Path) -> None:
    """Loads weights into a module; UserError, naming the run's folder, unless they are its own."""
    try:
        module.load_state_dict(weights)
    except RuntimeError as error:
        said = " ".join(str(error).split())
        raise UserError(
            f"{folder}: its weights do not fit its model ({said[:200]}); {AGAIN}"
        ) from error


def _trained_weights(run: Run) -> dict[str, torch.Tensor]:
    """The weights of the epoch that val chose."""
    path = run.folder / "checkpoints" / "best.ckpt"
    if not path.is_file():
        raise UserError(
            f"{run.folder}: no checkpoints/best.ckpt there, as in the evidence of a study, which"
            " keeps no weights; name the folder that the training wrote, or train it again"
        )
    try:
        return torch.load(path, weights_only=True, map_location="cpu")["state_dict"]
    except Exception as error:  # torch raises many kinds for a damaged file
        said = " ".join(str(error).split())
        raise UserError(f"{path}: damaged ({said[:200]}); {AGAIN}") from error


def _train_counts(run: Run) -> np.ndarray:
    """Utterances of train per class (C,), on which class weights and the prior depend."""
    labels = run.logits("train")["label"]
    return labels.value_counts().reindex(list(run.result.labels), fill_value=0).to_numpy(np.int64)


def _checkpoint_of(run: Run, cache: str | Path | None) -> Checkpoint | None:
    """The checkpoint that the run was trained from; UserError if it has changed since."""
    name = run.config.model.get("checkpoint")
    if name is None:
        return None
    base = _where_it_ran(run)
    if (base / name).is_dir():  # a folder relative to the one the run was made in
        name = str(base / name)
    found = prepared_checkpoint(str(name), Path(cache or base / run.config.paths.cache))
    if found.digest != run.result.digests["checkpoint"]:
        raise UserError(
            f"{run.folder}: checkpoint {name} has been prepared again since, with other weights;"
            f" prepare the old one, or {AGAIN}"
        )
    return found


def _where_it_ran(run: Run) -> Path:
    """The folder that the run's relative paths start from: the one that holds its paths.runs."""
    kept, parent = Path(run.config.paths.runs).parts, run.folder.resolve().parents[1]
    if parent.parts[-len(kept) :] == kept:
        return Path(*parent.parts[: -len(kept)])
    return Path()
