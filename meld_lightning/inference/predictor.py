"""Predictor: emotions of clips, arrays and texts, from a run, a fusion or an exported folder.

Reads these, decodes the clips into a temporary cache, and writes nothing else. Used from Python and
by the commands `predict` and `demo`.

    from meld_lightning import Predictor

    predictor = Predictor.from_pretrained("runs/fusion-chosen/HASH")
    answers = predictor(["a.mp4", "b.mp4"], text=["Oh, no!", None])

Axes: M modalities, N items, C classes.
"""

import logging
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
import torch

from meld_lightning.errors import UserError
from meld_lightning.fusion.joined import LogitsBatch, normalised
from meld_lightning.inference.answers.abstention import DELTA, Threshold, threshold_for
from meld_lightning.inference.answers.conformal import label_sets
from meld_lightning.inference.answers.decision import Answers, decide
from meld_lightning.inference.answers.output import LABEL, SHARE
from meld_lightning.inference.items.given import Clip, Text, given_items
from meld_lightning.inference.mini_only import refuse_outside_items
from meld_lightning.inference.parts import Scoring, score_items
from meld_lightning.inference.score import Scored
from meld_lightning.inference.source import Source, load_source

logger = logging.getLogger(__name__)

DECODING = {"timeout_s": 3600.0}  # an hour of 4K video takes longer than a corpus' clips may


@dataclass(frozen=True)
class Asked:
    """Options of an answer.

    risk: the accepted share of wrong answers; items that are too uncertain for it are abstained
        from. None: answer everything.
    conformal: the probability with which a set of labels contains the true one; None: no sets.
    """

    risk: float | None = None
    conformal: float | None = None

    def __post_init__(self) -> None:
        for name, value in (("risk", self.risk), ("conformal", self.conformal)):
            if value is not None and not 0 < value < 1:
                raise UserError(f"{name}={value}: expected a number between 0 and 1")


class Predictor:
    """Predicts emotions with the models and the fusion of a source.

    Args:
        source: the models and their fusion.
        allow_mini: let models made from the mini corpus answer about anything.
    """

    def __init__(self, source: Source, allow_mini: bool = False) -> None:
        self.source, self.allow_mini = source, allow_mini

    @classmethod
    def from_pretrained(
        cls,
        folder: str | Path,
        device: Literal["auto", "cpu", "cuda", "mps"] = "auto",
        int8: bool = False,
        allow_mini: bool = False,
        cache: str | Path | None = None,
    ) -> "Predictor":
        """A predictor from the folder of a finished run, of a fusion, or of an export.

        Args:
            folder: the folder of the run, fusion or export.
            device: where the models compute; auto takes a GPU where there is one.
            int8: quantise the models' linear layers to 8 bits on load, which computes on the CPU
                alone; see quantised.py.
            allow_mini: let models made from the mini corpus answer about anything.
            cache: where `prepare` recorded the checkpoints; None: where each run was made.

        Raises UserError, one line, if the folder holds none or anything in it is damaged.
        """
        if int8 and device not in ("auto", "cpu"):
            raise UserError(f"device={device}: int8 models compute on the CPU; choose auto or cpu")
        where = _device("cpu" if int8 else device)
        return cls(load_source(folder, where, cache, int8=int8), allow_mini)

    @property
    def labels(self) -> tuple[str, ...]:
        """The labels, in the order of the probabilities."""
        return self.source.labels

    def about(self) -> dict[str, Any]:
        """What a JSON document says about the source."""
        return {"source": self.source.folder.name, "mini": self.source.mini}

    def __call__(
        self,
        clips: Clip | Sequence[Clip] | None = None,
        text: Text | Sequence[Text] = None,
        audio: Clip | Sequence[Clip | None] | None = None,
        *,
        risk: float | None = None,
        conformal: float | None = None,
    ) -> pd.DataFrame:
        """One row per item; answers/output.py lists the columns.

        Args:
            clips: a path, uint8 frames (F, H, W, 3) in RGB, or several of them. A path may also be
                a folder or a table, as for the command.
            text: the utterance of each clip, or texts alone. None where a clip has none.
            audio: for each clip the path of its sound, or a float32 waveform (T,) at 16 kHz, mono.
                None: the clip's own sound.
            risk: the accepted share of wrong answers; items that are too uncertain for it are
                abstained from. None: answer everything.
            conformal: the probability with which a set of labels contains the true one; None: no
                sets.

        Raises UserError, one line, if nothing can be answered. If only some clips cannot be read,
        their rows say why.
        """
        items, given = given_items(clips, text, audio)
        return self.answer(items, Asked(risk, conformal), Scoring(given=given))

    def answer(self, items: pd.DataFrame, asked: Asked, how: Scoring) -> pd.DataFrame:
        """The answers to a table of items (items/table.py); a row for each, in its order."""
        if not self.allow_mini:
            refuse_outside_items(self.source, items)
        how = Scoring(how.kept, {**DECODING, **how.decoding}, how.given)
        val = self.source.calibrated
        if asked.conformal is not None:  # fails before the work if it cannot be satisfied
            label_sets(val, val.probabilities_NC[:0], asked.conformal)
        threshold = None if asked.risk is None else self.threshold(asked.risk)
        scored = score_items(self.source, items, how)
        try:
            _refuse_if_none_is_read(items, scored)
        except UserError:
            if how.kept is not None:  # it holds nothing to continue from
                shutil.rmtree(how.kept, ignore_errors=True)
            raise
        batch = LogitsBatch(
            normalised(np.stack([one.logits_NC for one in scored.values()]).astype(np.float64)),
            np.stack([one.present_N for one in scored.values()]),
            tuple(one.embeddings_ND for one in scored.values() if one.embeddings_ND is not None),
        )
        answers = decide(self.source.fusion, batch, self.source.prior_MC)
        return self._frame(items, scored, answers, threshold, asked.conformal)

    def threshold(self, risk: float) -> Threshold:
        """The least confidence that is answered at this risk; warns where there is none."""
        found = threshold_for(self.source.calibrated, risk)
        if not np.isfinite(found.confidence):
            logger.warning(
                "risk=%g: the %d utterances of val support no threshold that keeps the share of"
                " wrong answers this low with a probability of %g; every item is abstained from",
                risk,
                found.utterances,
                1 - DELTA,
            )
        return found

    def _frame(
        self,
        items: pd.DataFrame,
        scored: Mapping[str, Scored],
        answers: Answers,
        threshold: Threshold | None,
        conformal: float | None,
    ) -> pd.DataFrame:
        labels, p_NC = self.labels, answers.probabilities
        confidence_N = p_NC.max(1)
        present_MN = np.stack([one.present_N for one in scored.values()])
        nothing_N = ~present_MN.any(0)  # the prior alone is not an answer
        unsure_N = confidence_N < (threshold.confidence if threshold else 0.0)
        columns: dict[str, Any] = {
            "id": items["id"].tolist(),
            "emotion": [labels[best] for best in p_NC.argmax(1)],
            "confidence": confidence_N,
            "entropy": answers.entropies,
            "abstained": nothing_N | unsure_N,
        }
        columns |= {LABEL + label: p_NC[:, place] for place, label in enumerate(labels)}
        for place, name in enumerate(scored):
            columns[SHARE + name] = np.where(present_MN[place], answers.share_MN[place], np.nan)
        keys = columns["id"]
        columns["used"] = [
            tuple(name for name, one in scored.items() if one.present_N[row])
            for row in range(len(keys))
        ]
        columns["missing"] = [
            {name: one.why[key] for name, one in scored.items() if key in one.why} for key in keys
        ]
        columns |= {name: items[name].to_numpy() for name in ("start", "end")}
        if conformal is not None:
            sets_NC = label_sets(self.source.calibrated, p_NC, conformal)
            columns["set"] = [
                tuple(label for label, kept in zip(labels, row_C, strict=True) if kept)
                for row_C in sets_NC
            ]
        if items["text"].notna().any():
            columns["text"] = items["text"].tolist()
        return pd.DataFrame(columns)


def predict(
    clips: Clip | Sequence[Clip] | None = None,
    text: Text | Sequence[Text] = None,
    *,
    source: str | Path,
    allow_mini: bool = False,
    **asked: Any,
) -> pd.DataFrame:
    """The emotions of clips and texts in one call; see Predictor, which keeps the models for more.

    Args:
        clips: see Predictor.
        text: see Predictor.
        source: the folder of a run, of a fusion, or of an export.
        allow_mini: let models made from the mini corpus answer about anything.
        asked: audio, risk and conformal; see Predictor.
    """
    return Predictor.from_pretrained(source, allow_mini=allow_mini)(clips, text, **asked)


def _refuse_if_none_is_read(items: pd.DataFrame, scored: Mapping[str, Scored]) -> None:
    """UserError, with the first item's reasons, if no item has any modality."""
    if any(one.present_N.any() for one in scored.values()):
        return
    first = items["id"].iloc[0]
    reasons = "; ".join(f"{name}: {one.why.get(first)}" for name, one in scored.items())
    what = first if len(items) == 1 else f"none of the {len(items)} items can be read; {first}"
    raise UserError(f"{what}: nothing to predict from ({reasons})")


def _device(name: str) -> torch.device:
    if name == "cuda" or (name == "auto" and torch.cuda.is_available()):
        if not torch.cuda.is_available():
            raise UserError("device=cuda: no CUDA device here; choose auto or cpu")
        return torch.device("cuda")
    if name == "mps" or (name == "auto" and torch.backends.mps.is_available()):
        if not torch.backends.mps.is_available():
            raise UserError("device=mps: no MPS device here; choose auto or cpu")
        return torch.device("mps")
    return torch.device("cpu")
