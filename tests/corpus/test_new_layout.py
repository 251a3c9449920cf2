"""A corpus layout costs two files: a reader, wherever it can be imported from, and a config
file."""

from pathlib import Path

import pytest

from meld_lightning.corpus import load_corpus
from meld_lightning.corpus.readers.layout import layouts
from meld_lightning.errors import UserError
from tests.running import call, call_well

READER = '''
"""The layout "lines": a text file with one utterance per line, `split<TAB>label<TAB>text`."""

import pandas as pd

from meld_lightning.corpus.readers.layout import Found, ReadRequest
from meld_lightning.corpus.table import typed

VERSION = 1


def read(request: ReadRequest) -> Found:
    rows = [
        dict(zip(("split", "emotion", "text"), line.split("\\t")), key=f"line{n}", unit=f"line{n}")
        for n, line in enumerate(request.root.read_text().splitlines())
    ]
    return Found(
        name=request.root.stem,
        folder=request.root.parent,
        table=typed(pd.DataFrame(rows)).assign(label="wild", present=False),
        emotions=("calm", "wild"),
        sentiments=(),
        sources=(request.root,),
        repaired=(0,) * len(rows),
        note="Lines of a play.",
    )
'''
CONFIG = """
name: lines
layout: acme.lines
root: ???
split: null
folds: 5
fold: 0
test: null
"""
LINES = "train\tcalm\tHello there.\ntrain\twild\tOh no!\nval\tcalm\tWell.\ntest\twild\tStop!\n"


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project of its own with the two files, and a corpus."""
    for name, text in (
        ("acme/lines.py", READER),
        ("conf/corpus/lines.yaml", CONFIG),
        ("play.txt", LINES),
    ):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    return tmp_path


def test_a_layout_of_two_files_is_prepared(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(project))  # as `python -m` does
    command = ["prepare", f"--config-dir={project / 'conf'}", "corpus=lines"]
    command += ["corpus.root=play.txt", "checkpoints=none"]
    done = call(command, project)
    assert done.returncode == 0, done.stderr
    assert "corpus lines: train 2, val 1, test 1 utterances" in done.stdout
    report = next((project / "cache" / "corpus").glob("lines-*/report.md"))
    assert "Lines of a play." in report.read_text()
    manifest = report.with_name("manifest.json")
    before = manifest.stat().st_ino
    call_well(command, project)
    assert manifest.stat().st_ino == before  # unchanged, so it is not written again


def test_a_layout_is_found_by_its_dotted_path(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(project))
    corpus = load_corpus(project / "play.txt", "acme.lines")
    assert corpus.name == "play"
    assert corpus.table["emotion"].tolist() == ["calm", "wild", "calm", "wild"]
    assert corpus.labels("emotion") == ("calm", "wild")


def test_an_unknown_layout_is_refused_and_a_broken_one_says_why(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(project))
    (project / "acme" / "torn.py").write_text("import no_such_module\n")
    for layout, message in {
        "mold": r"'mold' is unknown \(did you mean 'meld'\?\); expected crema_d, manifest, meld or",
        "acme.lime": "'acme.lime' is unknown",
        "json": "'json' is unknown",
        "meld_files": "'meld_files' is unknown",
        "acme.torn": "acme.torn: No module named 'no_such_module'",
    }.items():
        with pytest.raises(UserError, match=message):
            load_corpus(project / "play.txt", layout)
    assert layouts() == ["crema_d", "manifest", "meld"]
