"""A committed study's results as the page is made from them, and a corpus that fits them."""

from collections.abc import Sequence
from pathlib import Path

import pandas as pd
import pytest

from meld_lightning.commands import report
from meld_lightning.corpus import Corpus
from meld_lightning.corpus.table import COLUMNS
from meld_lightning.page import make
from meld_lightning.page.study_report import StudyReport
from tests.page.rendered import copy_evidence


def report_of(study: str, folder: Path, *words: str) -> StudyReport:
    """What `report` makes the study's page from in `folder`, where nothing but its evidence is."""
    copy_evidence(study, folder)
    found: list[StudyReport] = []

    def keep(made: StudyReport, target: Path) -> Path:
        found.append(made)
        return target

    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setattr(make, "write_page", keep)
        report.main([f"study={study}", *words])
    return found[0]


def corpus_of(
    keys: Sequence[str], texts: Sequence[str], emotions: Sequence[str], labels: Sequence[str]
) -> Corpus:
    """A corpus of one dialogue on test. emotions: of each utterance."""
    table = pd.DataFrame(
        {
            "key": keys,
            "split": "test",
            "dialogue_id": 7,
            "utterance_id": range(len(keys)),
            "speaker": "Ada",
            "text": texts,
            "emotion": emotions,
            "start_s": 0.0,
            "end_s": 2.5,
            "unit": "test/dia7",
        }
    ).reindex(columns=list(COLUMNS))
    table["clip"] = table["audio"] = None
    return Corpus("own", table, tuple(labels), (), {})
