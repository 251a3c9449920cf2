"""load_corpus: a folder or a manifest to a Corpus.

Reads the user's corpus; writes nothing. Used by prepare.py and, as part of the public interface, by
anyone.
"""

from pathlib import Path

from meld_lightning.corpus.labels import EMOTIONS, SENTIMENTS, ordered
from meld_lightning.corpus.readers.manifest import read_manifest
from meld_lightning.corpus.readers.meld import read_meld
from meld_lightning.corpus.report.build import build_report
from meld_lightning.corpus.table import Corpus
from meld_lightning.errors import UserError, near_miss

LAYOUTS = ("meld", "manifest")


def load_corpus(
    root: str | Path,
    layout: str = "meld",
    *,
    name: str | None = None,
    split: str | None = None,
    folds: int = 5,
    fold: int = 0,
    test: str | Path | None = None,
) -> Corpus:
    """Read a corpus and check it.

    layout "meld": `root` is a folder that holds MELD's three CSV files, and perhaps its clips,
    however nested. layout "manifest": `root` is a CSV or Parquet file of the user's own (columns:
    see manifest.py). Where it has no split column, `split` (speaker, dialogue or row) names the
    units that go as a whole into one of `folds` folds: `fold` is test, the next one val, the rest
    train. `test` (a path from the first one's folder) is a second manifest whose rows are all test:
    units that it holds are left out of the first, of which `fold` is val and the rest train. Raises
    UserError, one line, where something is missing or cannot be read.
    """
    root = Path(root).expanduser().resolve()
    if layout not in LAYOUTS:
        raise UserError(
            f"corpus.layout {layout!r} is unknown{near_miss(layout, LAYOUTS)}; expected meld or"
            " manifest"
        )
    if layout == "manifest":
        found = read_manifest(
            root,
            split,
            folds,
            fold,
            None if test is None else root.parent / Path(test).expanduser(),
        )
        emotions = ordered(found.table["emotion"], EMOTIONS)
        sentiments = ordered(found.table["sentiment"].dropna(), SENTIMENTS)
        return Corpus(
            name or root.stem,
            found.table,
            emotions,
            sentiments,
            build_report(name or root.stem, layout, root.parent, found),
            found.sources,
        )
    if split is not None or fold != 0 or test is not None:
        raise UserError(
            "corpus.split, corpus.fold and corpus.test are for layout manifest: MELD's layout has"
            " its own train, dev and test"
        )
    from meld_lightning.mini.corpus import MARKER, mini_optimum

    found = read_meld(root)
    optimum = mini_optimum(root) if (root / MARKER).is_file() else None
    name = name or ("mini" if optimum else "meld")
    report = build_report(name, layout, root, found, optimum)
    return Corpus(name, found.table, EMOTIONS, SENTIMENTS, report, found.sources)
