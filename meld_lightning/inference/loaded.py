"""Loads a trained model with its weights and its processor, without the corpus and without cached
features.

Reads the folders of runs, with the checkpoints that `prepare` recorded, and exported folders. Used
by Run.model(), export/folder.py and source.py.

Axis: C classes.
"""

from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from hydra.errors import InstantiationException
from omegaconf import DictConfig, OmegaConf
from safetensors.torch import load_file

from meld_lightning.errors import UserError
from meld_lightning.inference.allowed import checked
from meld_lightning.inference.bundle import MEMBERS, Bundle, is_export, read_bundle
from meld_lightning.inference.members import FUSION, where_it_ran
from meld_lightning.inference.quantised import quantised
from meld_lightning.inference.weights import (
    CHECKPOINT,
    WEIGHTS,
    Weights,
    quiet,
    transformers_model,
    write_fine_tuned,
)
from meld_lightning.models.classifier import Classifier
from meld_lightning.pretrained.checkpoints import Checkpoint, prepared_checkpoint
from meld_lightning.pretrained.faces import load_face_processor
from meld_lightning.pretrained.loading import (
    load_feature_extractor,
    load_image_processor,
    load_tokenizer,
)
from meld_lightning.runs.identity import decoded_kind, is_import
from meld_lightning.runs.result import AGAIN
from meld_lightning.runs.run import Run, load_run
from meld_lightning.storage.atomic import atomic_folder
from meld_lightning.storage.fingerprint import bytes_digest
from meld_lightning.storage.json_files import read_json
from meld_lightning.training.build import make_module
from meld_lightning.training.checkpoint_file import best_weights

MEMBER = "member.json"  # of an exported model: the name of its checkpoint, train's class counts
PROCESSORS = {  # by the kind of decoded media that the datamodule reads
    None: load_tokenizer,
    "audio": load_feature_extractor,
    "frames": load_image_processor,
    "faces": load_face_processor,
}


@dataclass(frozen=True)
class LoadedModel:
    """A trained model with the weights that scored its run.

    Attributes:
        folder: the folder of the run.
        module: the LightningModule with its trained weights, in eval mode, on the CPU. It reads the
            batches of its datamodule. If these are features of a frozen encoder, the encoder is in
            `checkpoint`, and the datamodule loads it.
        checkpoint: the pretrained checkpoint, with the tokenizer or processor; None if the model
            has none.
        labels: names of the classes, in the order of the logits.
        modality: text, audio, video or another word.
        decoded: the kind of decoded media that the datamodule reads: frames, faces, audio, or
            None.
        train_counts_C: utterances of train per class.
        prior_C: log-probabilities that the run gave an utterance without its modality.
        config: the config of the run; its optimizer is a stand-in, see allowed.py.
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

    def save_pretrained(self, folder: str | Path) -> None:
        """Writes a folder that transformers' AutoModelForSequenceClassification and AutoTokenizer
        load, with the labels' names and the same logits.

        Raises UserError if transformers has no such model: text with pooling=mean or keep_head,
        sound and frames. `meld-lightning export` exports all of them.
        """
        inner = transformers_model(self.module)
        whole = inner and all(key.startswith(f"{inner[0]}.") for key in self.module.state_dict())
        if not (inner and whole) or getattr(self.module, "columns", None) is not None:
            raise UserError(
                f"{self.folder}: transformers has no model that is {self.config.model.name} with"
                " its head (only text with pooling=classifier and a head of its own is one); use"
                " meld-lightning export"
            )
        assert self.checkpoint is not None
        target = Path(folder)
        if target.exists() and (not target.is_dir() or any(target.iterdir())):
            raise UserError(f"{target}: something is there already; name another folder")
        with atomic_folder(target) as fresh:
            write_fine_tuned(inner[1], self.checkpoint.folder, self.labels, fresh)

    def remade(self, checkpoint: Path) -> Classifier:
        """An untrained model of the same config from another checkpoint folder. Its seed differs so
        that weights initialised at random differ too."""
        other = OmegaConf.merge(self.config, {"seed": int(self.config.seed) + 1})
        assert isinstance(other, DictConfig)
        return _made(self.folder, other, self.labels, self.train_counts_C, checkpoint)


def load_model(
    folder: str | Path, cache: str | Path | None = None, *, int8: bool = False
) -> LoadedModel:
    """The model of a finished run, of an exported run, or of one of an export's members.

    cache: where `prepare` recorded the run's checkpoint; None: the cache of the run's own config.
    int8: convert linear layers to int8, which needs less memory; see quantised.py.
    Raises UserError for a fusion or an import, if the run's weights are missing, if its checkpoint
    is not prepared or has changed since, and if a file of an export is missing or altered.
    """
    loaded = _full(Path(folder), cache)
    return replace(loaded, module=quantised(loaded.module)) if int8 else loaded


def _full(folder: Path, cache: str | Path | None) -> LoadedModel:
    """The model in the precision that it was trained in."""
    if is_export(folder):
        bundle = read_bundle(folder)
        if len(bundle.modalities) > 1:
            members = ", ".join(str(bundle.member_folder(one)) for one in bundle.modalities)
            raise UserError(f"{folder}: an export of several models; name one of {members}")
        return _exported(bundle, bundle.modalities[0])
    if folder.resolve().parent.name == MEMBERS and is_export(folder.resolve().parents[1]):
        return _exported(read_bundle(folder.resolve().parents[1]), folder.resolve().name)
    if (folder / MEMBER).is_file():
        raise UserError(
            f"{folder}: a model outside of its export, whose bundle.json has the digests of its"
            " files; give the model's folder inside the export"
        )
    return _trained(load_run(folder), cache)


def _trained(run: Run, cache: str | Path | None) -> LoadedModel:
    """The model of a finished run."""
    if run.result.modality == FUSION:
        raise UserError(
            f"{run.folder}: a fusion, which has no model of its own; name one of the runs it fuses"
        )
    if is_import(run.config.model):
        raise UserError(
            f"{run.folder}: imported predictions, which have no model; name a run that was trained"
        )
    loaded = _loaded(run, _checkpoint_of(run, cache), _train_counts(run))
    if any(parameter.requires_grad for parameter in loaded.module.parameters()):
        _restore(loaded.module, best_weights(run.folder), run.folder)
    return loaded


def _exported(bundle: Bundle, modality: str) -> LoadedModel:
    """The model of one of an export's members."""
    folder, below = bundle.member_folder(modality), f"{MEMBERS}/{modality}/"
    if modality not in bundle.modalities:
        raise UserError(f"{folder}: no model of this export, which has {bundle.modalities}")
    bundle.check_files(below)
    member = read_json(folder / MEMBER)
    run, checkpoint = load_run(folder), None
    if (folder / CHECKPOINT).is_dir():
        below += f"{CHECKPOINT}/"
        files = [f"{one} {sha}" for one, sha in bundle.sha256.items() if one.startswith(below)]
        digest = bytes_digest([line.encode() for line in sorted(files)])
        checkpoint = Checkpoint(member["checkpoint"], folder / CHECKPOINT, digest)
    counts_C = np.array([member["train_counts"][label] for label in bundle.labels], np.int64)
    loaded = _loaded(run, checkpoint, counts_C)
    module = loaded.module
    _restore(module, {**module.state_dict(), **load_file(folder / WEIGHTS)}, folder)
    return loaded


def _loaded(run: Run, checkpoint: Checkpoint | None, train_counts_C: np.ndarray) -> LoadedModel:
    """The model that a run's config describes, in eval mode, before its weights are restored."""
    config, labels = checked(run.config, run.folder, checkpoint is not None), run.result.labels
    module = _made(
        run.folder, config, labels, train_counts_C, checkpoint.folder if checkpoint else None
    )
    return LoadedModel(
        folder=run.folder,
        module=module,
        checkpoint=checkpoint,
        labels=labels,
        modality=run.result.modality,
        decoded=decoded_kind(config.data),
        train_counts_C=train_counts_C,
        prior_C=torch.log_softmax(module.log_prior_C, 0).numpy(),
        config=config,
    )


def _made(
    folder: Path,
    config: DictConfig,
    labels: tuple[str, ...],
    train_counts_C: np.ndarray,
    checkpoint: Path | None,
) -> Classifier:
    """The module in eval mode; UserError, which names the run's folder, if it cannot be made."""
    try:
        with quiet():
            made = make_module(config, labels, train_counts_C, checkpoint, total_steps=1)
    except InstantiationException as error:
        if isinstance(error.__cause__, UserError):
            raise error.__cause__ from None
        said = " ".join(str(error.__cause__ or error).split())
        raise UserError(
            f"{folder}: its model {config.model.get('_target_')} cannot be made ({said[:200]}); put"
            " the folder of a class of your own on PYTHONPATH"
        ) from error
    return made.eval()


def _restore(module: Classifier, weights: Weights, folder: Path) -> None:
    """Loads weights into a module; UserError, naming the run's folder, if they do not fit it."""
    try:
        module.load_state_dict(weights)
    except RuntimeError as error:
        said = " ".join(str(error).split())
        raise UserError(
            f"{folder}: its weights do not fit its model ({said[:200]}); {AGAIN}"
        ) from error


def _train_counts(run: Run) -> np.ndarray:
    """Utterances of train per class (C,), on which class weights and the prior depend."""
    labels = run.logits("train")["label"]
    return labels.value_counts().reindex(list(run.result.labels), fill_value=0).to_numpy(np.int64)


def _checkpoint_of(run: Run, cache: str | Path | None) -> Checkpoint | None:
    """The checkpoint that the run was trained from; UserError if it has changed since."""
    name = run.config.model.get("checkpoint")
    if name is None:
        return None
    base = where_it_ran(run)
    if (base / name).is_dir():  # a folder relative to the one the run was made in
        name = str(base / name)
    found = prepared_checkpoint(str(name), Path(cache or base / run.config.paths.cache))
    if found.digest != run.result.digests["checkpoint"]:
        raise UserError(
            f"{run.folder}: checkpoint {name} has been prepared again since, with other weights;"
            f" prepare the old one, or {AGAIN}"
        )
    return found
