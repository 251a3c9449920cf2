"""A user's own fusion method is two files: a class, and a YAML file that names it."""

import json
from pathlib import Path

import pandas as pd
import pytest

from tests.fusion.conftest import MakeRun
from tests.running import argv, call, run

CLASS = '''
import numpy as np
from meld_lightning.fusion.joined import Joined, LogitsBatch, normalised
from meld_lightning.fusion.method import Fusion


class Median(Fusion):
    """The median of the modalities' log-probabilities, plus a class's share of val."""

    fitted = ("bonus_C",)

    def __init__(self, name: str, strength: float = 1.0) -> None:
        super().__init__(name)
        self.strength = strength

    def fit_to(self, data: Joined, seed: int) -> None:
        self.bonus_C = self.strength * self.prior_C

    def __call__(self, batch: LogitsBatch) -> np.ndarray:
        return normalised(np.median(batch.log_probs_MNC, axis=0) + self.bonus_C)
'''
YAML = "_target_: my_fusions.Median\nname: median\nstrength: 1.0\n"
SCORED = """
import sys
import numpy as np
import pandas as pd
from meld_lightning.fusion.joined import JoinedRuns
from meld_lightning.fusion.state import load_fusion
from meld_lightning.runs.run import load_run
runs = {name: load_run(folder) for name, folder in (one.split("=") for one in sys.argv[2:])}
test, fusion = JoinedRuns(runs).split("test"), load_fusion(sys.argv[1])
assert type(fusion).__name__ == "Median" and fusion.strength == 0.5
print(pd.Series(fusion.labels)[fusion(test.batch).argmax(1)].value_counts().to_dict())
"""


@pytest.mark.slow
def test_a_fusion_in_two_files_is_fitted_chosen_and_loaded(
    tmp_path: Path, make_run: MakeRun
) -> None:
    work = tmp_path / "work"
    (work / "configs" / "fusion").mkdir(parents=True)
    (work / "my_fusions.py").write_text(CLASS)
    (work / "configs" / "fusion" / "median.yaml").write_text(YAML)
    folders = {name: make_run(name, 0.6) for name in ("text", "pose", "gaze")}
    runs = [f"runs.{name}={folder}" for name, folder in folders.items()]
    fuse = argv("fuse", "--config-dir", "configs", *runs)

    done = run([*fuse, "fusion=median", "fusion.strength=0.5"], work)
    assert done.returncode == 0, done.stderr
    (folder,) = work.glob("runs/fusion-median/*/")
    assert json.loads((folder / "fusion.json").read_text())["chosen"] == "median"
    loaded = run([*argv()[:1], "-c", SCORED, str(folder), *(one[5:] for one in runs)], work)
    predictions = pd.read_csv(folder / "predictions.csv").query("split == 'test'")
    assert loaded.stdout.strip() == str(predictions["predicted_label"].value_counts().to_dict())

    among = ["+fusion@fusion.among.median=median", "fusion.among.stacked.steps=5"]
    done = run([*fuse, *among], work)
    assert done.returncode == 0, done.stderr
    (folder,) = work.glob("runs/fusion-chosen/*/")
    assert "median" in json.loads((folder / "fusion.json").read_text())["cross_validated"]


@pytest.mark.slow
def test_a_method_that_does_not_say_what_it_fits_is_refused(
    tmp_path: Path, make_run: MakeRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    work = tmp_path / "work"
    monkeypatch.syspath_prepend(str(work))  # as `python -m` does
    (work / "my_fusions.py").write_text(CLASS.replace('    fitted = ("bonus_C",)\n', ""))
    overrides = ["fusion=average", "~fusion.weights", "fusion._target_=my_fusions.Median"]
    done = call(["fuse", *overrides, f"runs.text={make_run('text', 0.6)}"], work)
    assert done.returncode == 1
    assert "Median.fitted" in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1, done.stderr
