"""load_corpus: reads the user's corpus, whatever its layout, and checks it.

Reads the user's files; writes nothing (a layout's reader may: the mini corpus's does). Used by
prepared.py and, as part of the public interface, by anyone.
"""

import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from meld_lightning.corpus.emotionlines import join_votes, read_emotionlines, with_votes
from meld_lightning.corpus.readers.layout import ReadRequest, find_reader
from meld_lightning.corpus.report.build import build_report
from meld_lightning.corpus.report.votes import votes_report
from meld_lightning.corpus.table import Corpus, typed


def load_corpus(
    root: str | Path,
    layout: str = "meld",
    *,
    name: str | None = None,
    split: str | None = None,
    folds: int = 5,
    fold: int = 0,
    test: str | Path | None = None,
    test_by: str | None = None,
    columns: Mapping[str, str] | None = None,
    labels: Mapping[str, str] | None = None,
    votes: str | Path | None = None,
    realignment: str | Path | None = None,
) -> Corpus:
    """Reads a corpus and checks it.

    Args:
        root: for layout "meld" a folder that contains MELD's three CSV files, and perhaps its
            clips, at any depth; for layout "manifest" a CSV or Parquet file of your own (its
            columns are listed in readers/manifest.py).
        layout: "meld", "manifest", or the dotted path of a module with a reader
            (readers/layout.py).
        name: what to call the corpus; None leaves that to the reader.
        split: for a corpus without a split of its own, the unit (speaker, dialogue or row) that is
            never divided between two splits.
        folds: how many folds the units form.
        fold: the fold that is test; the next one is val, the others are train.
        test: a second manifest, relative to the first one's folder, whose rows are all test. Rows
            of the first manifest whose unit (see split) is also in the second are left out; of the
            others `fold` is val and the rest train. What is not that unit may be in both: with
            split="speaker" a dialogue may, with split="dialogue" a speaker.
        test_by: the unit (speaker, dialogue, text or row) by which the second manifest is divided
            into `folds`, so that a fusion can be fitted to clips like those of test: `fold` is
            test, the next one is val, the others are train, as is what is left of the first
            manifest.
        columns: for a manifest, the file's name of each column that has another name than ours,
            such as {"text": "utterance"}.
        labels: for a manifest, our name of each label that has another one in the file, such as
            {"happy": "joy"}; two of the file's labels may become one.
        votes: EmotionLines' own file; its readers' votes are joined to the rows (emotionlines.py).
        realignment: for MELD, MELD-FAIR's MELD_video_realignment_timestamps.csv: each row gets the
            clip that holds most of its speech (readers/realignment.py).

    Raises UserError, one line, if something is missing or cannot be read.
    """
    root = absolute(root)
    other = None if test is None else root.parent / Path(test).expanduser()
    pieces = None if realignment is None else absolute(realignment)
    request = ReadRequest(
        root, split, folds, fold, other, dict(columns or {}), dict(labels or {}), pieces, test_by
    )
    found = find_reader(layout).read(request)
    found = replace(found, table=typed(found.table))  # a layout's own columns are none of ours
    name = name or found.name
    counted = {}
    if votes is not None:
        path = absolute(votes)
        joined = join_votes(found.table, read_emotionlines(path))
        table = with_votes(found.table, found.emotions, joined)
        found = replace(found, table=table, sources=(*found.sources, path))
        counted = {"votes": votes_report(table, joined)}
    report = {**build_report(name, layout, found), **counted}
    return Corpus(name, found.table, found.emotions, found.sentiments, report, found.sources)


def absolute(path: str | Path) -> Path:
    """`path` from the root folder on, without links; Path.resolve and Path.expanduser raise where
    links form a loop and where there is no such home."""
    return Path(os.path.realpath(os.path.expanduser(path)))  # noqa: PTH111
