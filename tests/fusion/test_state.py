"""A fitted fusion is saved, and gives the same scores to the last bit wherever it is loaded."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from meld_lightning.commands.cli import main
from meld_lightning.errors import UserError
from meld_lightning.fusion.alone import Alone
from meld_lightning.fusion.joined import LogitsBatch
from meld_lightning.fusion.likelihood_ratio import Single
from meld_lightning.fusion.method import Fusion
from meld_lightning.fusion.state import ARRAYS, DESCRIPTION, load_fusion, save_fusion
from meld_lightning.runs.logits import logit_columns
from meld_lightning.storage.fingerprint import file_digest
from tests.fusion.conftest import MakeRun, configured, drawn, with_gaps
from tests.running import run_well

ELSEWHERE = """
import sys
from pathlib import Path
import numpy as np
import torch
from meld_lightning.fusion.joined import LogitsBatch
from meld_lightning.fusion.state import load_fusion

torch.manual_seed(int(sys.argv[1]))
for folder in Path().glob("*/fitted_fusion.json"):
    batch = np.load(folder.parent / "batch.npz")
    fusion = load_fusion(folder.parent)
    scores_NC = fusion(LogitsBatch(batch["log_probs_MNC"], batch["present_MN"]))
    np.save(folder.parent / "elsewhere.npy", scores_NC)
"""


def keep(batch: LogitsBatch, scores_NC: np.ndarray, folder: Path) -> None:
    np.savez(folder / "batch.npz", **batch._asdict())
    np.save(folder / "here.npy", scores_NC)


@pytest.mark.slow
def test_every_fusion_gives_the_same_scores_in_another_process(
    tmp_path: Path, make_run: MakeRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Fitted here on utterances of which some lack modalities; and once by the command, whose runs
    are gone when the fusion is loaded."""
    data, unseen = with_gaps(drawn(1500)[0]), with_gaps(drawn(2000)[0], share=0.5)
    saved = tmp_path / "saved"
    fusions: list[Fusion] = [
        configured("average", "~fusion.weights.video"),
        configured("searched"),
        configured("learned", "fusion.l2=0.3"),
        configured("stacked", "fusion.hidden=5", "fusion.steps=7"),
        Single("audio recalibrated", "audio"),
        Alone("audio alone", "audio"),
    ]
    for fusion in fusions:
        fusion.fit(data, seed=1)
        (saved / fusion.name).mkdir(parents=True)
        save_fusion(fusion, saved / fusion.name)
        keep(unseen.batch, fusion(unseen.batch), saved / fusion.name)

    monkeypatch.chdir(tmp_path / "work")
    names = ("text", "video")
    runs = [f"runs.{name}={make_run(name, 0.6, missing=0.2)}" for name in names]
    for name in ("stacked", "chosen"):
        quick = "fusion.steps=5" if name == "stacked" else "fusion.among.stacked.steps=5"
        assert main(["fuse", f"fusion={name}", quick, *runs]) == 0
        (folder,) = Path("runs").glob(f"fusion-{name}/*/")
        fusion = load_fusion(folder)
        assert fusion.modalities == names
        batch = LogitsBatch(unseen.batch.log_probs_MNC[[0, 2]], unseen.batch.present_MN[[0, 2]])
        folder = folder.rename(saved / f"command-{name}")
        keep(batch, fusion(batch), folder)
    (tmp_path / "work" / "runs").rename(tmp_path / "gone")

    run_well([sys.executable, "-c", ELSEWHERE, "5"], saved)
    found = {folder.name: np.load(folder / "elsewhere.npy") for folder in saved.iterdir()}
    assert len(found) == 8
    for name, scores_NC in found.items():
        assert np.array_equal(scores_NC, np.load(saved / name / "here.npy")), name
        assert not list((saved / name).glob("*.p*kl*"))


def test_the_saved_scores_of_a_run_are_those_of_its_logits(
    tmp_path: Path, make_run: MakeRun, undrawn: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """result.json's figures on test are those of the fusion that was saved beside it."""
    import pandas as pd

    from meld_lightning.corpus import EMOTIONS
    from meld_lightning.fusion.joined import JoinedRuns
    from meld_lightning.runs.run import load_run

    monkeypatch.chdir(tmp_path / "work")
    folders = {name: make_run(name, 0.6, missing=0.2) for name in ("text", "audio")}
    assert main(["fuse", "fusion=learned", *(f"runs.{k}={v}" for k, v in folders.items())]) == 0
    (folder,) = Path("runs").glob("fusion-learned/*/")
    test = JoinedRuns({name: load_run(one) for name, one in folders.items()}).split("test")
    logits = pd.read_parquet(folder / "logits" / "test.parquet").set_index("key")
    written = logits.loc[list(test.keys_N), logit_columns(EMOTIONS)].to_numpy()
    assert np.array_equal(load_fusion(folder)(test.batch).astype(np.float32), written)


def test_files_that_are_not_whole_are_refused_in_one_line(tmp_path: Path) -> None:
    fusion = configured("searched", "fusion.steps=2")
    fusion.fit(drawn(100)[0], seed=1)

    def refused(expected: str) -> None:
        with pytest.raises(UserError, match=expected) as error:
            load_fusion(tmp_path)
        assert len(str(error.value).splitlines()) == 1
        save_fusion(fusion, tmp_path)

    refused("no fitted fusion there")
    (tmp_path / ARRAYS).write_bytes((tmp_path / ARRAYS).read_bytes()[:-8])
    refused("is not the file that was saved with it")
    (tmp_path / DESCRIPTION).write_text("{")
    refused("damaged")
    for key, value, expected in (
        ("format", 99, "format 99, expected 1"),
        ("method", "json.JSONDecoder", "no subclass of Fusion"),
        ("method", "nowhere.Median", "no subclass of Fusion"),
        ("settings", {"steps": 2}, "damaged"),
    ):
        described = json.loads((tmp_path / DESCRIPTION).read_text())
        (tmp_path / DESCRIPTION).write_text(json.dumps({**described, key: value}))
        refused(expected)


def test_weights_of_another_module_are_refused_in_one_line(tmp_path: Path) -> None:
    fusion = configured("learned")
    fusion.fit(drawn(100)[0], seed=1)
    save_fusion(fusion, tmp_path)
    arrays = load_file(tmp_path / ARRAYS)
    arrays["module.other_C"] = arrays.pop("module.bias_C")
    save_file(arrays, tmp_path / ARRAYS)
    described = json.loads((tmp_path / DESCRIPTION).read_text())
    described["sha256"] = file_digest(tmp_path / ARRAYS)
    (tmp_path / DESCRIPTION).write_text(json.dumps(described))
    with pytest.raises(UserError, match=r'damaged \(.*Missing key.*"bias_C"') as error:
        load_fusion(tmp_path)
    assert len(str(error.value).splitlines()) == 1


@pytest.mark.parametrize("hidden", [-1, 6, 10**12])
def test_sizes_that_the_weights_do_not_have_are_refused(hidden: int, tmp_path: Path) -> None:
    """Before a module of that size is made."""
    fusion = configured("stacked", "fusion.hidden=5", "fusion.steps=2")
    fusion.fit(drawn(100)[0], seed=1)
    save_fusion(fusion, tmp_path)
    described = json.loads((tmp_path / DESCRIPTION).read_text())
    assert described["settings"]["hidden"] == 5
    described["settings"]["hidden"] = hidden
    (tmp_path / DESCRIPTION).write_text(json.dumps(described))
    with pytest.raises(UserError, match="damaged") as error:
        load_fusion(tmp_path)
    assert len(str(error.value).splitlines()) == 1


@pytest.mark.parametrize("weight", [np.zeros(3), np.array(0.0)], ids=["a row", "a number"])
def test_weights_without_the_axes_of_a_matrix_are_refused(
    weight: np.ndarray, tmp_path: Path
) -> None:
    arrays = {"prior_C": np.zeros(2), "known_M": np.array([True]), "temperature_M": np.ones(1)}
    arrays |= {"width_M": np.array([3]), "gate_M": np.ones(1)}
    save_file({**arrays, "module.projections.0.linear.weight": weight}, tmp_path / ARRAYS)
    described = {
        "format": 1,
        "method": "Embeddings",
        "settings": {"name": "embeddings"},
        "modalities": ["text"],
        "labels": ["neutral", "joy"],
        "sha256": file_digest(tmp_path / ARRAYS),
    }
    (tmp_path / DESCRIPTION).write_text(json.dumps(described))
    with pytest.raises(UserError, match="damaged"):
        load_fusion(tmp_path)
