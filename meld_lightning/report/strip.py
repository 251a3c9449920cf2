"""The clips of a frame strip: some of test, their kept frames and what CLIP says of each.

Reads the media cache and a CLIP checkpoint, where `prepare` left them. Used by report/study.py.
"""

from __future__ import annotations

from typing import Any

from omegaconf import DictConfig

from meld_lightning.errors import NotPrepared
from meld_lightning.report.statistics import Run
from meld_lightning.runs.run import inputs

RIGHT, WRONG, FRAMES = 3, 1, 4  # clips told rightly, clips told wrongly, most frames of each


def frame_strip(config: DictConfig, run: Run) -> list[dict[str, Any]]:
    """Clips as figures.draw_frames takes them; none where they are not decoded here.

    The first of test that `run` (of `config`) tells rightly, each of another emotion, and the first
    that it does not.
    """
    import torch
    from transformers.utils.logging import disable_progress_bar

    from meld_lightning.pretrained.clip import Clip, label_vectors

    disable_progress_bar()

    try:
        found = inputs(config)
    except NotPrepared:
        return []
    assert found.media is not None
    assert found.checkpoint is not None
    labels = run.result["labels"]
    rows = {key: row for row, key in enumerate(found.corpus.table["key"])}
    shown: list[dict[str, Any]] = []
    logits = run.logits("test")
    for key, true, scores in zip(
        logits["key"], logits["label"], logits[labels].to_numpy(), strict=True
    ):
        predicted, right = labels[scores.argmax()], labels[scores.argmax()] == true
        alike = [one for one in shown if (one["true"] == one["predicted"]) == right]
        full = len(alike) >= (RIGHT if right else WRONG) or true in [one["true"] for one in alike]
        if not full and found.media.frame_counts[rows[key]] >= FRAMES - 1:
            frames = found.media.frames(rows[key])[:FRAMES]
            shown.append({"key": key, "true": true, "predicted": predicted, "frames": frames})
    clip = Clip(found.checkpoint.folder, found.media.settings["size"]).eval()
    vectors_CD = label_vectors(clip, config.model.prompts, labels)
    with torch.inference_mode():
        for one in shown:
            one["chances"] = torch.softmax(
                clip.scale * clip.images(one["frames"]) @ vectors_CD.T, -1
            ).numpy()
    return sorted(shown, key=lambda one: one["true"] != one["predicted"])
