"""The page of a committed study, rendered from its evidence alone, and the data that it holds."""

import base64
import json
import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from meld_lightning.commands import report
from tests.running import CHECKOUT, shared


def rendered(study: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which the whole study has been rendered, once for all tests; they only read."""

    def make(folder: Path) -> None:
        page_of(study, folder)

    return shared(tmp_path_factory, f"rendered-{study}", make)


def page_of(study: str, folder: Path, *words: str) -> Path:
    """Renders the study's page in `folder`, where nothing but its evidence is."""
    copy_evidence(study, folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        report.main([f"study={study}", *words])
    return folder / "reports" / study / "index.html"


def copy_evidence(study: str, folder: Path) -> None:
    """Copies the study's runs, counts, audits and note, and none of its tables."""
    committed, copied = CHECKOUT / "experiments" / study, folder / "experiments" / study
    shutil.copytree(committed / "runs", copied / "runs")
    for path in (*committed.glob("*.json"), committed / "note.md"):
        shutil.copyfile(path, copied / path.name)


def data_of(page: Path) -> dict[str, Any]:
    """Name -> value of each JSON block of the page."""
    text = page.read_text(encoding="utf-8")
    blocks = re.findall(r'<script type="application/json" id="data-(\w+)">(.*?)</script>', text)
    return {name: json.loads(block) for name, block in blocks}


def unpacked(text: str) -> np.ndarray:
    """The bytes that the page holds as text."""
    return np.frombuffer(base64.b64decode(text), dtype=np.uint8)


def mistakes(data: dict[str, Any], params: dict[str, str]) -> np.ndarray:
    """Whether each utterance is a mistake that a link into the explorer asks for."""
    run = data["predictions"]["runs"][params["a"]]
    of_set = data["predictions"]["sets"][run["set"]]
    true, predicted = unpacked(of_set["true"]), unpacked(run["predicted"])
    asked = true if "emotion" in params else predicted
    label = of_set["labels"].index(params.get("emotion") or params["predicted"])
    return (asked == label) & (true != predicted)
