"""The corpus: every utterance as one row; all of MELD's quirks end here.

Used by every other room. Knows nothing of models or training.
"""

from meld_lightning.corpus.labels import EMOTIONS, SENTIMENTS, SPLITS
from meld_lightning.corpus.loading import load_corpus
from meld_lightning.corpus.mini import mini_optimum, write_mini
from meld_lightning.corpus.prepare import prepare_corpus, prepared_corpus, prepared_folder, report_media
from meld_lightning.corpus.render import render_report
from meld_lightning.corpus.table import Corpus

__all__ = [
    "EMOTIONS",
    "SENTIMENTS",
    "SPLITS",
    "Corpus",
    "load_corpus",
    "mini_optimum",
    "prepare_corpus",
    "prepared_corpus",
    "prepared_folder",
    "render_report",
    "report_media",
    "write_mini",
]
