"""Rendering again is left out only where everything it rests on, and all that it left, is as it
was."""

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from omegaconf import DictConfig, OmegaConf

from meld_lightning.corpus import prepared_folder
from meld_lightning.page import up_to_date
from meld_lightning.page.up_to_date import Rendering, rendering
from meld_lightning.study.plan import PlannedRun, Plans

Asked = Callable[[], Rendering]
ROW = ("table_few", "batch_32")


@pytest.fixture
def cfg(tmp_path: Path) -> DictConfig:
    return OmegaConf.create(
        {
            "study": {"name": "mini", "show_clips": False},
            "corpus": {"name": "mini", "root": str(tmp_path / "corpus")},
            "paths": {"cache": str(tmp_path / "cache"), "experiments": str(tmp_path / "tables")},
            "reports": str(tmp_path / "reports"),
        }
    )


@pytest.fixture
def asked(cfg: DictConfig, tmp_path: Path) -> Asked:
    """The rendering of a study of one run, as it stands now."""
    run = tmp_path / "runs" / "text-bert" / "0123456789ab"
    prepared = prepared_folder(cfg.corpus, tmp_path / "cache")
    for path in (
        *(run / "result.json", run / "fusion.json", run / "logits" / "test.parquet"),
        *(run / "embeddings" / "test.parquet", run / "checkpoints" / "best.ckpt"),
        prepared / "corpus.parquet",
        *(tmp_path / "tables" / "mini" / "table.md", tmp_path / "reports" / "mini" / "index.html"),
    ):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(path.name)
    planned = PlannedRun(["model=bert"], OmegaConf.create({"seed": 1}))
    plans = Plans({ROW: [planned]}, {ROW: [OmegaConf.create({"fusion": "average"})]})
    runs: Any = {ROW: [SimpleNamespace(folder=run)]}
    return lambda: rendering(cfg, ["study=mini"], plans, runs)


def test_what_was_just_rendered_is_up_to_date(asked: Asked) -> None:
    assert not asked().is_up_to_date()
    asked().keep()
    assert asked().is_up_to_date()


@pytest.mark.parametrize(
    "file",
    [
        "runs/text-bert/0123456789ab/result.json",
        "runs/text-bert/0123456789ab/fusion.json",
        "runs/text-bert/0123456789ab/logits/test.parquet",
        "runs/text-bert/0123456789ab/logits/val.parquet",
        "runs/text-bert/0123456789ab/embeddings/test.parquet",
        "cache/corpus/*/corpus.parquet",
        "tables/mini/table.md",
        "tables/mini/table_02/table.md",
        "reports/mini/index.html",
        "reports/mini/rendered.json",
    ],
)
def test_a_file_that_changes_or_appears_has_it_rendered_again(
    asked: Asked, tmp_path: Path, file: str
) -> None:
    asked().keep()
    path = next(tmp_path.glob(file), tmp_path / file)
    path.parent.mkdir(exist_ok=True)
    path.write_text("CHANGED!")
    assert not asked().is_up_to_date()


def test_so_does_a_file_that_is_deleted(asked: Asked, tmp_path: Path) -> None:
    asked().keep()
    (tmp_path / "tables" / "mini" / "table.md").unlink()
    assert not asked().is_up_to_date()


def test_weights_alone_do_not(asked: Asked, tmp_path: Path) -> None:
    """No table reads them, and they are large."""
    asked().keep()
    next(tmp_path.glob("runs/*/*/checkpoints/best.ckpt")).write_text("other")
    assert asked().is_up_to_date()


@pytest.mark.parametrize(
    ("name", "other"),
    [("_package_digest", "other code"), ("_versions", ["3.99"])],
)
def test_other_code_and_other_libraries_do(
    asked: Asked, monkeypatch: pytest.MonkeyPatch, name: str, other: object
) -> None:
    asked().keep()
    monkeypatch.setattr(up_to_date, name, lambda: other)
    assert not asked().is_up_to_date()


@pytest.mark.parametrize(("key", "value"), [("study.show_clips", True), ("study.title", "mine")])
def test_so_do_other_settings(asked: Asked, cfg: DictConfig, key: str, value: object) -> None:
    asked().keep()
    OmegaConf.update(cfg, key, value)
    assert not asked().is_up_to_date()
