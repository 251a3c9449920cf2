"""Checkpoints load with the real from_pretrained, keep their digest wherever they lie, and no
change goes unseen."""

import json
import os
import shutil
import sys
from pathlib import Path

import pytest
from transformers import AutoModel

from meld_lightning.errors import UserError
from meld_lightning.pretrained import checkpoints
from meld_lightning.pretrained.checkpoints import (
    Checkpoint,
    Recipe,
    prepare_checkpoint,
    prepared_checkpoint,
)
from tests.pretrained.made import PREPARE_MINI, TEXTS, made_of
from tests.running import HANGS_S, start


def test_mini_is_kept_until_texts_or_version_change(
    cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[Path] = []

    def counted(recipe: Recipe) -> Recipe:
        def write(folder: Path) -> None:
            made.append(folder)
            recipe.write(folder)

        return Recipe(recipe.digest, write)

    first = prepare_checkpoint("mini:roberta", cache, counted(made_of(TEXTS)))
    assert made == []
    changed = counted(made_of([*TEXTS, "Oh."]))
    second = prepare_checkpoint("mini:roberta", cache, changed)
    assert len(made) == 1
    assert second.folder != first.folder
    assert prepared_checkpoint("mini:roberta", cache) == second
    monkeypatch.setattr(checkpoints, "RECORD_VERSION", 999)
    with pytest.raises(UserError, match="run: meld-lightning prepare"):
        prepared_checkpoint("mini:roberta", cache)
    prepare_checkpoint("mini:roberta", cache, changed)
    assert len(made) == 2


def test_a_damaged_or_interrupted_checkpoint_is_made_again(cache: Path, mini: Checkpoint) -> None:
    before = prepared_checkpoint("mini:roberta", cache)
    (before.folder / "model.safetensors").write_bytes(b"short")
    record = next((cache / "checkpoints").glob("mini-roberta-*.json"))
    (before.folder.parent / f".{before.folder.name}.0123abcd.tmp").mkdir()
    after = prepare_checkpoint("mini:roberta", cache, made_of(TEXTS))
    assert (after.folder, after.digest) == (before.folder, mini.digest)
    assert [path for path in (cache / "checkpoints").iterdir() if path.name.startswith(".")] == []
    AutoModel.from_pretrained(after.folder)
    for damaged in (record.read_bytes()[:100], b"\xff\xfe" + record.read_bytes()):
        record.write_bytes(damaged)
        with pytest.raises(UserError, match="not prepared"):
            prepared_checkpoint("mini:roberta", cache)
        assert prepare_checkpoint("mini:roberta", cache, made_of(TEXTS)) == after


@pytest.mark.slow
def test_two_processes_at_once_make_one_whole_checkpoint(mini: Checkpoint, tmp_path: Path) -> None:
    command = [sys.executable, "-c", PREPARE_MINI, str(tmp_path), json.dumps(TEXTS)]
    both = [start(command, tmp_path) for _ in range(2)]
    assert [process.wait(HANGS_S) for process in both] == [0, 0]
    assert [process.stdout.split()[-1] for process in both] == [mini.digest] * 2
    assert prepared_checkpoint("mini:roberta", tmp_path).digest == mini.digest


def test_folder_digest_ignores_place_time_and_readme_but_no_model_file(
    mini: Checkpoint, tmp_path: Path
) -> None:
    moved = tmp_path / "elsewhere"
    shutil.copytree(mini.folder, moved, copy_function=shutil.copyfile)
    (moved / "README.md").write_text("a model card")
    assert prepare_checkpoint(str(moved), tmp_path / "cache").digest == mini.digest
    for name in [path.name for path in mini.folder.iterdir()]:
        original = (moved / name).read_bytes()
        (moved / name).write_bytes(original[:-1] + bytes([original[-1] ^ 1]))  # of the same size
        assert prepare_checkpoint(str(moved), tmp_path / "cache").digest != mini.digest, name
        (moved / name).write_bytes(original)
    (moved / "vocab.json").rename(moved / "vocab.txt")
    assert prepare_checkpoint(str(moved), tmp_path / "cache").digest != mini.digest


@pytest.mark.parametrize("damage", ["same size", "longer", "gone", "new"])
def test_prepared_notices_a_changed_file(cache: Path, damage: str) -> None:
    folder = prepared_checkpoint("mini:roberta", cache).folder
    file = folder / ("vocab.txt" if damage == "new" else "model.safetensors")
    if damage == "gone":
        file.unlink()
    elif damage == "same size":
        content = file.read_bytes()
        file.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    else:
        file.write_bytes(b"more" * 2_000_000)
    with pytest.raises(UserError, match=rf"{file.name} is not the file.*meld-lightning prepare"):
        prepared_checkpoint("mini:roberta", cache)


def test_prepared_takes_a_touched_but_equal_file(cache: Path) -> None:
    made = prepared_checkpoint("mini:roberta", cache)
    os.utime(made.folder / "config.json", (1, 1))
    assert prepared_checkpoint("mini:roberta", cache) == made


def test_cache_can_be_moved(cache: Path, mini: Checkpoint, tmp_path: Path) -> None:
    moved = cache.rename(tmp_path / "moved cache")
    checkpoint = prepared_checkpoint("mini:roberta", moved)
    assert checkpoint.digest == mini.digest
    assert moved in checkpoint.folder.parents
