"""The prepared form: what prepare stores is what train reads, and changed data is refused."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from omegaconf import OmegaConf

from meld_lightning.corpus import (
    load_corpus,
    prepare_corpus,
    prepared_corpus,
    prepared_folder,
    render_report,
)
from meld_lightning.corpus import prepared as prepare_module
from meld_lightning.errors import NotPrepared, UserError
from meld_lightning.mini import corpus as mini_module
from tests.corpus.manifests import manifest, speech

Write = Callable[..., Path]
MINI = {"name": "mini", "layout": "meld_lightning.mini.reader"}


def settings(root: Path | str, **changes: Any) -> dict[str, Any]:
    return {
        "name": "meld",
        "layout": "meld",
        "root": str(root),
        "split": None,
        "folds": 5,
        "fold": 0,
    } | changes


def test_what_is_prepared_is_what_is_read(tmp_path: Path) -> None:
    cfg = OmegaConf.create(settings(tmp_path / "cache/mini", **MINI))
    stored = prepare_corpus(cfg, tmp_path / "cache")
    read = prepared_corpus(cfg, tmp_path / "cache")
    fresh = load_corpus(tmp_path / "cache/mini", MINI["layout"])
    for corpus in (stored, read):
        pd.testing.assert_frame_equal(corpus.table, fresh.table)
        assert (corpus.digest, corpus.emotions, corpus.sentiments) == (
            fresh.digest,
            fresh.emotions,
            fresh.sentiments,
        )
        assert corpus.report == fresh.report
        assert corpus.sources == fresh.sources
    folder = prepared_folder(cfg, tmp_path / "cache")
    assert sorted(path.name for path in folder.iterdir()) == [
        "corpus.parquet",
        "manifest.json",
        "report.json",
        "report.md",
    ]
    assert json.loads((folder / "report.json").read_text()) == fresh.report
    assert "mini corpus" in (folder / "report.md").read_text()


@pytest.mark.slow
def test_preparing_again_leaves_an_unchanged_form_alone(tmp_path: Path, meld_like: Write) -> None:
    cfg = settings(meld_like())
    prepare_corpus(cfg, tmp_path)
    manifest = prepared_folder(cfg, tmp_path) / "manifest.json"
    before = manifest.stat().st_ino
    prepare_corpus(cfg, tmp_path)
    assert manifest.stat().st_ino == before
    clip = tmp_path / "data/train_splits/dia0_utt0.mp4"
    clip.parent.mkdir()
    clip.write_bytes(b"clip")
    prepare_corpus(cfg, tmp_path)
    assert prepared_corpus(cfg, tmp_path).table["clip"].tolist() == [str(clip), None, None]


def test_a_manifest_survives_with_its_gaps(tmp_path: Path) -> None:
    rows = [
        {
            "id": f"u{n}",
            "text": "x",
            "emotion": "a" if n % 2 else "b",
            "speaker": f"s{n}" if n else "s9",
            "dialogue": "d" if n < 3 else "",
            "utterance": n if n < 2 else "",
        }
        for n in range(9)
    ]
    pd.DataFrame(rows).to_csv(tmp_path / "mine.csv", index=False)
    cfg = settings(tmp_path / "mine.csv", name="mine", layout="manifest", split="row", fold=2)
    stored, read = prepare_corpus(cfg, tmp_path), prepared_corpus(cfg, tmp_path)
    pd.testing.assert_frame_equal(stored.table, read.table)
    assert stored.digest == read.digest
    assert read.table["dialogue_id"].tolist() == ["d"] * 3 + [None] * 6
    with pytest.raises(
        UserError,
        match=r"corpus=manifest corpus.root=.*corpus.split=row corpus.folds=5 corpus.fold=3",
    ):
        prepared_corpus(cfg | {"fold": 3}, tmp_path)


def test_an_unprepared_corpus_is_refused_with_the_command_to_run(
    tmp_path: Path, meld_like: Write
) -> None:
    root = meld_like()
    with pytest.raises(
        UserError,
        match="is not prepared in .*; run: meld-lightning prepare corpus=meld corpus.root=",
    ):
        prepared_corpus(settings(root), tmp_path)
    with pytest.raises(UserError, match="run: meld-lightning prepare corpus=mini"):
        prepared_corpus(settings(tmp_path / "mini", **MINI), tmp_path)
    for missing in (OmegaConf.create(settings("???")), settings("???")):
        with pytest.raises(UserError, match="corpus.root is not set"):
            prepare_corpus(missing, tmp_path)


def test_changed_sources_are_refused_and_touched_ones_are_not(
    tmp_path: Path, meld_like: Write
) -> None:
    cfg, file = settings(meld_like()), tmp_path / "data/test_sent_emo.csv"
    digest = prepare_corpus(cfg, tmp_path).digest
    os.utime(file, (1, 1))
    assert prepared_corpus(cfg, tmp_path).digest == digest
    good = file.read_bytes()
    for bad in (good.replace(b"Hello", b"Hallo"), good + b" "):
        file.write_bytes(bad)
        with pytest.raises(
            UserError,
            match=r"test_sent_emo.csv: missing or changed since it was prepared; run: .*prepare",
        ):
            prepared_corpus(cfg, tmp_path)
    file.unlink()
    with pytest.raises(UserError, match="missing or changed"):
        prepared_corpus(cfg, tmp_path)
    file.write_bytes(good.replace(b"Hello", b"Hallo"))
    assert prepare_corpus(cfg, tmp_path).digest == prepared_corpus(cfg, tmp_path).digest != digest


def test_a_damaged_or_foreign_prepared_form_is_refused(tmp_path: Path, meld_like: Write) -> None:
    cfg = settings(meld_like())
    prepare_corpus(cfg, tmp_path)
    folder = prepared_folder(cfg, tmp_path)
    parquet = (folder / "corpus.parquet").read_bytes()
    (folder / "corpus.parquet").write_bytes(parquet[:-1] + b"x")
    with pytest.raises(UserError, match=r"corpus.parquet: missing or changed since it was written"):
        prepared_corpus(cfg, tmp_path)
    (folder / "corpus.parquet").write_bytes(parquet)
    manifest = json.loads((folder / "manifest.json").read_text())
    (folder / "manifest.json").write_text(json.dumps(manifest | {"version": [0]}))
    with pytest.raises(UserError, match="another version"):
        prepared_corpus(cfg, tmp_path)
    (folder / "manifest.json").unlink()
    with pytest.raises(UserError, match="not prepared"):
        prepared_corpus(cfg, tmp_path)


@pytest.mark.slow
def test_an_older_or_damaged_mini_corpus_is_written_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cfg = settings(tmp_path / "mini", **MINI)
    digest = prepare_corpus(cfg, tmp_path).digest
    (tmp_path / "mini/test_sent_emo.csv").write_text("gone")
    assert prepare_corpus(cfg, tmp_path).digest == digest
    with monkeypatch.context() as patch:
        patch.setattr(mini_module, "MINI_VERSION", 0)
        patch.setattr(mini_module, "SEED", 5)
        mini_module.write_mini(tmp_path / "mini")
    assert load_corpus(tmp_path / "mini").digest != digest
    assert prepare_corpus(cfg, tmp_path).digest == digest
    assert [
        path.name for path in tmp_path.iterdir() if ".tmp" in path.name or ".old" in path.name
    ] == []


@pytest.mark.slow
def test_processes_that_prepare_at_once_do_not_interfere(tmp_path: Path) -> None:
    cfg, go = settings(tmp_path / "mini", **MINI), tmp_path / "go"
    code = (
        "import json, sys, time; from pathlib import Path\nfrom meld_lightning.corpus import"
        " prepare_corpus; from meld_lightning.mini import clips as"
        " mini_clips\nmini_clips.write_clips = lambda *_: None\ncfg, cache ="
        " json.loads(sys.argv[1]), Path(sys.argv[2]); print('ready', flush=True)\nwhile not (cache"
        " / 'go').exists(): time.sleep(0.001)\nprint({prepare_corpus(cfg, cache).digest for _ in"
        " range(3)})"
    )
    command = [sys.executable, "-c", code, json.dumps(cfg), str(tmp_path)]
    started = [subprocess.Popen(command, text=True, stdout=subprocess.PIPE) for _ in range(3)]
    for process in started:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    go.touch()
    digests = {process.communicate(timeout=600)[0].strip() for process in started}
    assert [process.returncode for process in started] == [0] * 3
    assert digests == {str({prepared_corpus(cfg, tmp_path).digest})}
    assert [path.name for path in tmp_path.rglob("*.tmp*")] == []


@pytest.mark.slow
def test_one_process_writes_and_the_others_wait(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Threads here, so that the writing can be slowed and counted; the locks are the same."""
    cfg, calls = settings(tmp_path / "mini", **MINI), []

    def slow(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def wrapped(*arguments: Any) -> Any:
            calls.append(name)
            time.sleep(0.5)
            return function(*arguments)

        return wrapped

    monkeypatch.setattr(mini_module, "write_mini", slow("mini", mini_module.write_mini))
    monkeypatch.setattr(prepare_module, "render_report", slow("store", render_report))
    with ThreadPoolExecutor(3) as pool:
        digests = {
            corpus.digest for corpus in pool.map(lambda _: prepare_corpus(cfg, tmp_path), range(3))
        }
    assert len(digests) == 1
    assert calls == ["mini", "store"]


def test_names_alone_need_no_heavy_library() -> None:
    code = (
        "import sys; from meld_lightning.corpus import EMOTIONS; print([m for m in sys.modules if m"
        " in HEAVY])"
    )
    heavy = "HEAVY = ('torch', 'lightning', 'pytorch_lightning', 'transformers', 'sklearn');"
    done = subprocess.run(
        [sys.executable, "-c", heavy + code], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"


def test_a_corpus_that_was_moved_says_so(tmp_path: Path) -> None:
    path = manifest(tmp_path, speech())
    asked = {"name": "mine", "layout": "manifest", "root": str(path), "split": "dialogue"}
    prepare_corpus(asked, tmp_path / "cache")
    moved = path.rename(tmp_path / "moved.csv")
    with pytest.raises(NotPrepared, match=rf"it was at {path}, which is gone; .* is quick"):
        prepared_corpus({**asked, "root": str(moved)}, tmp_path / "cache")
    again = prepare_corpus({**asked, "root": str(moved)}, tmp_path / "cache")
    assert len(again.table) == 60
