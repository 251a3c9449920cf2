"""The pooled embeddings of a finished run, computed from its weights once a fusion asks for them.

Reads the run's folder and what `prepare` left; writes embeddings/<split>.parquet into the folder,
which is deleted with the run. Called by the commands and launchers that fuse. torch is imported
only if something has to be computed.

Axes: N utterances, D dimensions.
"""

import logging
from typing import TYPE_CHECKING

import numpy as np

from meld_lightning.errors import UserError
from meld_lightning.runs.embeddings import embeddings_file, write_embeddings
from meld_lightning.runs.identity import is_import
from meld_lightning.runs.logits import logits_of
from meld_lightning.runs.result import AGAIN
from meld_lightning.runs.run import Run, claimed

if TYPE_CHECKING:
    from meld_lightning.data.sources import Sources
    from meld_lightning.training.build import Built

logger = logging.getLogger(__name__)

SPLITS = ("val", "test")  # what a fusion is fitted on, and scores
SAME = 0.05  # the largest difference of probabilities that devices and precisions explain


def keep_embeddings(run: Run) -> None:
    """Makes sure that the run has its embeddings of val and test.

    Raises UserError for a run without a model of its own, if what it was trained on is no longer
    prepared, and if its weights do not give its logits.
    """
    if all(embeddings_file(run.folder, split).is_file() for split in SPLITS):
        return
    if run.result.modality == "fusion" or is_import(run.config.get("model", {})):
        raise UserError(
            f"{run.folder}: a fusion or an import has no model, and so no embeddings; name a run"
            " that was trained, or choose a fusion of logits"
        )
    logger.info("%s: computes its embeddings", run.folder)
    built, sources = _restored(run)
    found = {split: _embedded(run, built, sources, split) for split in SPLITS}
    width = max(embeddings_ND.shape[1] for _, embeddings_ND in found.values())
    with claimed(run.folder):
        for split, (keys, embeddings_ND) in found.items():
            if not embeddings_ND.shape[1]:  # no utterance of the split has the modality
                embeddings_ND = np.zeros((len(keys), width), dtype=np.float32)
            write_embeddings(embeddings_file(run.folder, split), keys, embeddings_ND)


def _restored(run: Run) -> tuple["Built", "Sources"]:
    """The run's datamodule, its module with the weights that val chose, and what both read."""
    from meld_lightning.training.build import build, sources_of
    from meld_lightning.training.checkpoint_file import best_weights
    from meld_lightning.training.train import Training

    request = Training(run.config)
    if request.identity.hash != run.result.hash:
        raise UserError(
            f"{run.folder}: its corpus or checkpoint has been prepared again since, with other"
            f" content; {AGAIN}"
        )
    alone = run.config.copy()
    alone.numerics.world_size = 1
    built = build(alone, request.inputs)
    if any(parameter.requires_grad for parameter in built.module.parameters()):
        built.module.load_state_dict(best_weights(run.folder))
    sources = sources_of(alone, request.inputs)
    built.module.to(sources.device).eval()
    return built, sources


def _embedded(
    run: Run, built: "Built", sources: "Sources", split: str
) -> tuple[list[str], np.ndarray]:
    """The keys of a split's utterances and their embeddings (N, D); D is 0 if none has the
    modality. Those that lack it have zeros."""
    from lightning_fabric.utilities.apply_func import move_data_to_device

    rows_N = np.flatnonzero((built.table["split"] == split).to_numpy())
    place = {row: number for number, row in enumerate(rows_N)}
    logits_NC = np.full((len(rows_N), len(built.labels)), np.nan, dtype=np.float32)
    embeddings_ND = np.zeros((len(rows_N), 0), dtype=np.float32)
    with sources.inference():
        for batch in built.datamodule.scoring_dataloader(split):
            moved = move_data_to_device(batch, sources.device)
            scored, batch_ND = built.module.score_and_embed(moved)
            if not embeddings_ND.shape[1]:
                embeddings_ND = np.zeros((len(rows_N), batch_ND.shape[1]), dtype=np.float32)
            places = [place[row] for row in scored.rows_N.tolist()]
            logits_NC[places], embeddings_ND[places] = scored.logits_NC, batch_ND
    keys = built.table["key"].iloc[rows_N].tolist()
    _check_same(run, split, keys, logits_NC)
    return keys, embeddings_ND


def _check_same(run: Run, split: str, keys: list[str], logits_NC: np.ndarray) -> None:
    """UserError unless these are the logits that the run left of the split."""
    frame = run.logits(split).set_index("key").loc[keys]
    known_N = frame["present"].to_numpy(bool)
    ours, theirs = (
        np.exp(one_NC - np.logaddexp.reduce(one_NC, axis=1, keepdims=True))
        for one_NC in (logits_NC[known_N], logits_of(frame[known_N], run.result.labels))
    )
    if not np.allclose(ours, theirs, atol=SAME, rtol=0):
        raise UserError(
            f"{run.folder}: its weights give other logits of {split} than it left, so that its"
            f" embeddings would be another model's; {AGAIN}"
        )
