"""A wrong key, type, choice or value is refused in one line that says what was expected and names
the near miss."""

from pathlib import Path
from typing import Any

import pytest
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from meld_lightning.commands.cli import main
from meld_lightning.config.check import check
from meld_lightning.config.nodes import Fuse, Train
from meld_lightning.config.tree import plain
from meld_lightning.errors import UserError
from tests.running import CHECKOUT, call

MORE = [  # further spellings of what the quick cases show, and a training that diverges
    (["train", "modle=bert"], "'modle' is not known (did you mean 'model'?)"),
    (
        ["train", "study=zzz"],
        "there is no study/zzz.yaml; there are: crema_d, meld, ",
    ),
    (["train", "-multirun", "seed=1,2"], "no flag '-multirun' (did you mean '--multirun'?)"),
    (["train", "--multirun", "lr=1e-4,1e-3"], "(did you mean 'optimizer.lr'?)"),
    (["report", "lr=1e-4"], "'lr' is not known\n"),
    (["doctor", "optimizer.lr=1e-4"], "'optimizer.lr' is not one of doctor: a table's row sets it"),
    (["train", "model.batch_size=3"], "did you mean 'data.batch_size'?"),
    (["train", "monitor=val/f1"], "val/f1"),
    (["train", "data.max_tokens=100000"], "expected 8 to 512"),
    (["train", "--config-dir", "nowhere"], "--config-dir nowhere: no such folder"),
    (["train", "--multirun", "model=bert,zzz"], "model=zzz: there is no model/zzz.yaml"),
    (
        ["train", "model=zzz"],
        "no model/zzz.yaml; there are: bert, bert_context, ",
    ),
    (
        ["train", "model=roberta", "optimizer.lr=1e9"],
        "no longer finite; lower optimizer.lr",
    ),
]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["trian"], "no command 'trian' (did you mean 'train'?)"),
        (
            ["train", "data.batchsize=3"],
            "'data.batchsize' is not known (did you mean 'data.batch_size'?)",
        ),
        (["train", "sede=4"], "'sede' is not known (did you mean 'seed'?)"),
        (["train", "model=bertt"], "no model/bertt.yaml (did you mean 'bert'?); there are: bert, "),
        (["train", "model=zzz"], "add --config-dir FOLDER, where FOLDER holds model/"),
        (["train", "logger="], "logger=: no choice is given; there are: csv, none, "),
        (["train", "--mulitrun", "seed=1,2"], "no flag '--mulitrun' (did you mean '--multirun'?)"),
        (["train", "--multirun=true"], "the flag takes no value; give --multirun alone"),
        (["train", "multirun=true"], "--multirun is a flag: give it without a value"),
        (["train", "data.max_tokens=512,"], "'data.max_tokens=512,' ends with a comma: leave it"),
        (["train", "model"], "'model' cannot be read as KEY=VALUE: it has no '='"),
        (["train", "lr=1e-4"], "'lr' is not known (did you mean 'optimizer.lr'?)"),
        (["dashboards", "model=bert"], "config key 'model' is not known\n"),
        (["train", "--config-dir"], "--config-dir : no such folder"),
        (
            ["train", "corpus=manifest", "corpus.root=/nowhere.csv", "corpus.split=speakr"],
            "corpus.split='speakr': expected speaker, dialogue, row or null (did you mean",
        ),
        (
            ["train", "corpus=manifest", "corpus.root=/nowhere.csv", "corpus.split=speaker"],
            "corpus.root=/nowhere.csv: no such file or folder; give the one that holds the corpus",
        ),
        (["train", "corpus.layout=mold"], "'mold' is unknown (did you mean 'meld'?)"),
        (["train", "checkpoints.bert=/nowhere"], "checkpoint /nowhere: no such folder; give one"),
        (["train", "seed=1,2"], "seed=1,2: several values make a sweep: add --multirun"),
        (
            ["train", "--multirun", "hydra.launcher.partition=gpu"],
            "'hydra.launcher.partition' is one of hydra/launcher=slurm: add that",
        ),
        (["train", "model.lr=3"], "'model.lr' is not known (did you mean 'optimizer.lr'?)"),
        (["train", "+dropout=0.1"], "'dropout' is not known (did you mean 'model.dropout'?)"),
        (["train", "epochs=2.5"], "epochs=2.5: expected a whole number, at least 1"),
        (["train", "data=audio_features", "data.speeds=[3]"], "data.speeds=[3]: expected"),
        (["train", "monitor=test/accuracy"], "expected a val/ metric"),
        (["train", "data.context=past"], "model.pooling=mean"),
        (
            ["train", "model.loss=logit_adjusted", "model.class_weights=inverse"],
            "model.loss=logit_adjusted and model.class_weights=inverse correct the same imbalance",
        ),
        (
            ["train", "model.loss=logit_adjusted", "data.sampling=oversampled"],
            "model.loss=logit_adjusted and data.sampling=oversampled correct the same imbalance",
        ),
        (["train", "model.loss=logit_adjusted", "monitor=val/loss"], "use monitor=val/weighted_f1"),
        (["train", "corpus=meld"], "corpus.root"),
        (["train", "data.batch_size=[1,"], "cannot be read as KEY=VALUE; quote text"),
        (["prepare", "corpus=meld", "corpus.root=/nowhere"], "/nowhere"),
        (["train", "checkpoints=minilm", "model=roberta"], "model=roberta"),
        (["reproduce", "table.table_02.titel=x"], "did you mean 'table.table_02.title'?"),
        (["reproduce", "tables=[table_2]"], "no table 'table_2' (did you mean 'table_02'?)"),
        (["reproduce", "hydra/launcher=basic", "tables=[table_04]"], "hydra/launcher=basic"),
        *(pytest.param(*case, marks=pytest.mark.slow) for case in MORE),
    ],
)
def test_wrong_input_gets_one_line(
    arguments: list[str],
    said: str,
    prepared: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(prepared)
    assert main(arguments) == 1
    printed = capsys.readouterr().err
    assert said in printed
    printed = printed.strip()
    assert len(printed.splitlines()) == 1, printed
    assert printed.startswith("meld-lightning: ")


@pytest.fixture(scope="module")
def train_config() -> dict[str, Any]:
    """What `train` composes to without overrides."""
    with initialize_config_dir(str(CHECKOUT / "conf"), version_base="1.3"):
        cfg = compose("train")
    return plain(cfg, resolve=False)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("data.contxt=past", "'data.contxt' is not known (did you mean 'data.context'?)"),
        ("data.batch_size=abc", "data.batch_size='abc': expected a whole number"),
        ("epochs=true", "epochs=True: expected a whole number"),
        ("numerics.deterministic=1", "expected true or false"),
        ("model.dropout=1.5", "model.dropout=1.5: expected 0 to 1"),
        ("optimizer.lr=-1", "optimizer.lr=-1: expected at least 0"),
        ("optimizer.lr=fast", "optimizer.lr='fast': expected a number, at least 0"),
        ("optimizer.epsilon=1", "'optimizer.epsilon' is not known"),
        ("optimizer.eps=tiny", "optimizer.eps='tiny': expected a number"),
        ("scheduler.name=cosin", "(did you mean 'cosine'?)"),
        ("media.keep=[frame]", "expected a list of frames, audio or faces"),
        ("model.pooling=men", "expected classifier, mean or mean_and_mask (did you mean 'mean'?)"),
        ("data.batch_size=0", "expected at least 1"),
        ("epochs=0", "epochs=0: expected at least 1"),
        ("scheduler.warmup=5", "expected 0 to 1"),
        ("gradient_clip=.nan", "expected at least 0"),
        ("numerics.world_size=0", "expected at least 1"),
    ],
)
def test_a_wrong_value_is_refused_by_the_check(
    given: str, said: str, train_config: dict[str, Any]
) -> None:
    cfg = OmegaConf.create(train_config)
    check(cfg, Train)
    cfg.merge_with_dotlist([given])
    with pytest.raises(UserError) as error:
        check(cfg, Train)
    assert said in str(error.value)
    assert "\n" not in str(error.value)


def test_no_key_is_suggested_that_was_not_meant(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Tables have columns named like the keys of runs, and `lr` is not far from `logger`."""
    monkeypatch.chdir(tmp_path)
    for key in ("optimizer.lr", "epochs"):
        assert main(["reproduce", f"{key}=-1"]) == 1
        said = capsys.readouterr().err
        assert said.startswith(f"meld-lightning: config key '{key}' is not one of reproduce: a tab")
        assert "did you mean" not in said


def test_a_typo_inside_a_file_is_refused(train_config: dict[str, Any]) -> None:
    cfg = OmegaConf.create({**train_config, "machine": {"workrs": 1}})
    with pytest.raises(UserError, match="machine.workrs.*did you mean .machine.workers"):
        check(cfg, Train)


@pytest.mark.slow
def test_a_path_with_spaces_and_brackets_needs_no_quotes(prepared: Path, tmp_path: Path) -> None:
    folder = tmp_path / "my corpus (1), [new]"
    folder.mkdir()
    for name in ("train", "dev", "test"):
        (folder / f"{name}_sent_emo.csv").write_bytes(
            (prepared / "cache" / "mini" / f"{name}_sent_emo.csv").read_bytes()
        )
    asked = ["corpus=meld", f"corpus.root={folder}", "checkpoints=none"]
    done = call(["prepare", *asked], tmp_path)
    assert done.returncode == 0, done.stderr
    assert "train 640, val 160, test 480" in done.stdout


@pytest.mark.parametrize("key", ["fusion.among.searched.steps", "folds", "fusion.steps"])
def test_a_fusions_values_are_checked_too(key: str) -> None:
    choice = ["fusion=searched"] if key == "fusion.steps" else []
    with initialize_config_dir(str(CHECKOUT / "conf"), version_base="1.3"):
        cfg = compose("fuse", [*choice, f"{key}=0"])
    with pytest.raises(UserError, match=f"{key}=0: expected at least [12]"):
        check(cfg, Fuse)
