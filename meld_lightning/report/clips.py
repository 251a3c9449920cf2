"""The clips that a figure of frames shows: some test clips, their frames and CLIP's probabilities.

Reads the media cache and a CLIP checkpoint, both written by `prepare`. Used by report/render.py.
"""

from __future__ import annotations

from typing import Any

from omegaconf import DictConfig

from meld_lightning.errors import NotPrepared
from meld_lightning.runs.inputs import read_inputs
from meld_lightning.runs.logits import logits_of
from meld_lightning.study.sources import FinishedRun

CORRECT, WRONG = 3, 1  # clips shown with a correct and with a wrong prediction
FRAMES = 4  # most frames shown of each clip


def frame_strip(config: DictConfig, run: FinishedRun) -> list[dict[str, Any]]:
    """Clips as figures.draw_frames takes them; empty if the clips are not decoded here.

    Shows the first test clips that `run` (made from `config`) predicts correctly, each of a
    different emotion, and the first that it predicts wrongly.
    """
    import torch
    from transformers.utils.logging import disable_progress_bar

    from meld_lightning.pretrained.clip import Clip, label_vectors

    disable_progress_bar()

    try:
        found = read_inputs(config)
    except NotPrepared:
        return []
    assert found.media is not None
    assert found.checkpoint is not None
    labels = list(run.result.labels)
    rows = {key: row for row, key in enumerate(found.corpus.table["key"])}
    shown: list[dict[str, Any]] = []
    logits = run.logits("test")
    for key, true, scores in zip(
        logits["key"], logits["label"], logits_of(logits, labels), strict=True
    ):
        predicted = labels[scores.argmax()]
        correct = predicted == true
        alike = [one for one in shown if (one["true"] == one["predicted"]) == correct]
        full = len(alike) >= (CORRECT if correct else WRONG)
        repeated = true in [one["true"] for one in alike]
        if not full and not repeated and found.media.frame_counts[rows[key]] >= FRAMES - 1:
            frames = found.media.frames(rows[key])[:FRAMES]
            shown.append({"key": key, "true": true, "predicted": predicted, "frames": frames})
    clip = Clip(found.checkpoint.folder, found.media.settings["size"]).eval()
    vectors_CD = label_vectors(clip, config.model.prompts, labels)
    with torch.inference_mode():
        for one in shown:
            one["probabilities"] = torch.softmax(
                clip.scale * clip.images(one["frames"]) @ vectors_CD.T, -1
            ).numpy()
    return sorted(shown, key=lambda one: one["true"] != one["predicted"])
