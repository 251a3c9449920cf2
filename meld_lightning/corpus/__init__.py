"""The corpus: one row per utterance, whatever the source's layout; MELD's irregularities are
handled here and nowhere else.

Knows nothing of media, models or training.
"""

from meld_lightning.corpus.labels import EMOTIONS, SENTIMENTS, SPLITS
from meld_lightning.corpus.learnable import check_learnable
from meld_lightning.corpus.load import load_corpus
from meld_lightning.corpus.prepared import (
    prepare_corpus,
    prepared_corpus,
    prepared_folder,
    report_media,
)
from meld_lightning.corpus.report.markdown import render_report
from meld_lightning.corpus.report.missing import missing_files
from meld_lightning.corpus.report.published import differs_from_published
from meld_lightning.corpus.table import Corpus

__all__ = [
    "EMOTIONS",
    "SENTIMENTS",
    "SPLITS",
    "Corpus",
    "check_learnable",
    "differs_from_published",
    "load_corpus",
    "missing_files",
    "prepare_corpus",
    "prepared_corpus",
    "prepared_folder",
    "render_report",
    "report_media",
]
