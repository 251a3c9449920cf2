"""What a row of a table stands for, in words: `searched` alone says little.

Reads the source of the class that the row's runs are made with; writes nothing. Used by
page/tables.py.
"""

from __future__ import annotations

from omegaconf import OmegaConf

from meld_lightning.config.sections import first_sentence
from meld_lightning.config.signatures import summary
from meld_lightning.report.folds import unpooled
from meld_lightning.report.rows import Row
from meld_lightning.study.spec import BASELINE, Table


def row_gloss(row: Row, owner: Table) -> str:
    """Its fusion or model and its settings, as in "A weighted mean (fusion=average)"; "" for a row
    without runs. owner: the table that declares the row."""
    if row.key == BASELINE:
        return "Predicts the most common label of train for every utterance."
    if not row.runs:
        return ""
    config = unpooled(row.runs[0])[0].config
    kind = "fusion" if "fusion" in config else "model"
    made_by = first_sentence(summary(str(OmegaConf.select(config, f"{kind}._target_"))))
    settings = ", ".join(owner.rows.get(row.declared) or [])
    return f"{made_by} ({settings})" if made_by and settings else made_by or settings
