"""What is not finite or not there counts as missing, from the manifest to the predictions of a
fusion; labels may be named like columns."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
from safetensors.torch import load_file, save_file

from meld_lightning import load_run
from meld_lightning.runs.logits import logits_of
from tests.finished import only_run
from tests.running import call, call_well
from tests.small import save_bert

LABELS = ("present", "key", "unit")
OTHERS = [f"checkpoints.{name}=null" for name in ("roberta", "wav2vec2", "speech_emotion", "clip")]
POISON = "poison"  # a word that the checkpoint's embedding makes NaN
Train = Callable[..., tuple[Any, Path]]


def rows() -> list[dict[str, str]]:
    """Thirty utterances in dialogues of three."""
    return [
        {
            "id": f"u{n}",
            "text": f"word{n % 3} hello",
            "emotion": LABELS[n % 3],
            "split": ("train", "train", "train", "val", "test")[n // 3 % 5],
            "dialogue": f"d{n // 3}",
            "label": "ignored",  # columns of ours that are none of a manifest's
            "present": "ignored",
        }
        for n in range(30)
    ]


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    words = ["hello", "word0", "word1", "word2", POISON]
    folder = save_bert(tmp_path_factory.mktemp("bert"), words)
    weights = load_file(folder / "model.safetensors")
    weights["embeddings.word_embeddings.weight"][-1] = torch.nan
    save_file(weights, folder / "model.safetensors", {"format": "pt"})
    return folder


@pytest.fixture
def train(tmp_path: Path, checkpoint: Path) -> Train:
    """train({key: text}, ...) -> how `train` ended, with these texts instead, and where it ran."""

    def trained(texts: dict[str, str], *overrides: str) -> tuple[Any, Path]:
        table = pd.DataFrame(rows()).set_index("id", drop=False)
        for key, text in texts.items():
            table.loc[key, "text"] = text
        table.to_csv(tmp_path / "mine.csv", index=False)
        corpus = ["corpus=manifest", f"corpus.root={tmp_path / 'mine.csv'}"]
        corpus += [f"checkpoints.bert={checkpoint}", *OTHERS]
        call_well(["prepare", *corpus, "media.keep=[]"], tmp_path)
        model = ["model=bert", "model.pooling=mean", "data.batch_size=6", "epochs=1", *overrides]
        return call(["train", *corpus, *model], tmp_path), tmp_path

    return trained


@pytest.mark.slow
def test_the_missing_is_named_counted_and_carried_through(train: Train) -> None:
    missing = {"u0": "", "u9": " \t ", "u12": "\u200b"}  # train, val, test
    done, folder = train({**missing, "u13": f"hello {POISON}", "u10": POISON})
    assert done.returncode == 0, done.stderr
    lines = [line for line in done.stdout.splitlines() if "not finite" in line]
    [line] = lines
    assert line.endswith(
        ": logits are not finite and count as missing for these utterances (2): u10, u13"
    )
    [report] = folder.glob("cache/corpus/*/report.md")
    assert "**no text** (3): u0; u9; u12." in report.read_text()

    found = load_run(only_run(folder))
    # its name is not that of a run from before these texts counted as missing
    assert set(found.result.digests) == {"corpus", "checkpoint", "missing_text"}
    prior = None
    for split, absent in (("train", ["u0"]), ("val", ["u9", "u10"]), ("test", ["u12", "u13"])):
        frame = found.logits(split)
        assert frame.loc[~frame["present"], "key"].tolist() == absent
        assert found.result.metrics[split]["n"] == len(frame) == (18 if split == "train" else 6)
        for logits in logits_of(frame[~frame["present"]], LABELS):
            prior = logits if prior is None else prior
            assert logits.tolist() == prior.tolist()
    predictions = pd.read_csv(found.folder / "predictions.csv", keep_default_na=False)
    assert set(predictions["true_label"]) == set(LABELS)
    assert sorted(predictions.loc[~predictions["present"], "key"]) == [
        "u0",
        "u10",
        "u12",
        "u13",
        "u9",
    ]

    corpus = ["corpus=manifest", f"corpus.root={folder / 'mine.csv'}"]
    call_well(["fuse", *corpus, f"runs.text={found.folder}", "fusion=average"], folder)
    [fused] = folder.glob("runs/fusion-average/*/result.json")
    frame = load_run(fused.parent).logits("test")
    assert frame.loc[~frame["present"], "key"].tolist() == ["u12", "u13"]
    assert set(frame["label"]) == set(LABELS)


def test_an_input_that_breaks_a_step_is_named(train: Train) -> None:
    done, _ = train({"u16": f"hello {POISON}"})
    assert done.returncode == 1
    [line] = done.stderr.strip().splitlines()
    assert "u16: the model's loss is not finite at step " in line
    assert "correct or remove this utterance" in line
    assert "optimizer.lr" not in line


@pytest.mark.slow
def test_nothing_is_written_where_most_outputs_are_not_finite(train: Train) -> None:
    done, folder = train({f"u{n}": POISON for n in (12, 13, 14, 27)})
    assert done.returncode == 1
    [line] = done.stderr.strip().splitlines()
    assert "logits of 4 of 6 utterances of test are not finite, such as u12" in line
    assert not list(folder.glob("runs/*/*/logits/*"))
    assert not list(folder.glob("runs/*/*/result.json"))
