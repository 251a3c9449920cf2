"""Every config file composes and instantiates; a wrong key, type or choice is refused with the near
miss."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hydra import compose, initialize_config_dir
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf

from meld_lightning.commands.cli import main
from meld_lightning.config.check import Dashboards, Fuse, Prepare, Tables, Train, check, plain
from meld_lightning.runs.identity import canonical_config, identify
from meld_lightning.study.plan import needed_fusions, needed_rows
from tests.running import CHECKOUT, Command

CONF = CHECKOUT / "conf"
GROUPS = {
    "checkpoints": 4,
    "corpus": 3,
    "data": 4,
    "experiment": 2,
    "fusion": 5,
    "logger": 4,
    "media": 1,
    "model": 8,
    "numerics": 2,
    "optimizer": 2,
    "study": 4,
    "table": 13,
}
PRIMARIES = {
    "prepare": Prepare,
    "train": Train,
    "fuse": Fuse,
    "reproduce": Tables,
    "report": Tables,
    "dashboards": Dashboards,
}
ROOT = "corpus.root=/data/MELD"


def composed(primary: str, *overrides: str) -> DictConfig:
    with initialize_config_dir(str(CONF), version_base="1.3"):
        return compose(primary, list(overrides))


def test_this_file_knows_every_config_file() -> None:
    found = {path.relative_to(CONF).with_suffix("").as_posix() for path in CONF.rglob("*.yaml")}
    in_groups = [name for name in found if "/" in name]
    assert {name for name in found if "/" not in name} == {*PRIMARIES, "common"}
    assert {
        group: sum(name.startswith(f"{group}/") for name in in_groups) for group in GROUPS
    } == GROUPS
    assert len(found) == sum(GROUPS.values()) + len(PRIMARIES) + 1


@pytest.mark.parametrize("primary", PRIMARIES)
def test_every_command_composes(primary: str) -> None:
    check(composed(primary), PRIMARIES[primary])


@pytest.mark.parametrize(
    "choice",
    [
        f"{path.parent.name}={path.stem}"
        for group in GROUPS
        if group not in ("table", "fusion")
        for path in sorted((CONF / group).glob("*.yaml"))
    ],
)
def test_every_choice_composes_and_instantiates(choice: str) -> None:
    cfg = composed("train", choice, ROOT)
    check(cfg, Train)
    assert callable(
        instantiate(cfg.optimizer)
    )  # data and model are instantiated by every run in test_training.py


@pytest.mark.parametrize("fusion", [path.stem for path in sorted((CONF / "fusion").glob("*.yaml"))])
def test_every_fusion_composes_and_instantiates(fusion: str) -> None:
    cfg = composed("fuse", f"fusion={fusion}", ROOT)
    check(cfg, Fuse)
    assert instantiate(cfg.fusion).name == fusion


@pytest.mark.parametrize("study", [path.stem for path in sorted((CONF / "study").glob("*.yaml"))])
def test_every_run_of_every_study_composes(study: str) -> None:
    cfg = composed("reproduce", f"study={study}", ROOT)
    check(cfg, Tables)
    assert set(cfg.tables) <= set(cfg.table)
    identities = []
    for overrides in needed_rows(plain(cfg.table), cfg.tables).values():
        run = composed("train", f"study={study}", ROOT, *overrides)
        check(run, Train)
        identities.append(canonical_config(run))
    twins = [one for place, one in enumerate(identities) if one in identities[:place]]
    assert not twins, "two rows are the same run"
    for overrides in needed_fusions(plain(cfg.table), cfg.tables).values():
        check(composed("fuse", f"study={study}", ROOT, *overrides), Fuse)


@pytest.mark.parametrize(
    ("override", "same"),
    [
        ("machine.workers=3", True),
        ("machine.accelerator=cpu", True),
        ("logger=wandb", True),
        ("paths.runs=/elsewhere", True),
        ("paths.cache=/elsewhere", True),
        ("media.every=5", True),  # no clip is read for text
        ("seed=2", False),
        ("numerics.threads=2", False),
        ("numerics=bf16", False),
        ("optimizer.lr=3e-5", False),
        ("data.max_tokens=256", False),
        ("target=sentiment", False),
    ],
)
def test_the_hash_holds_what_changes_a_result_and_nothing_else(override: str, same: bool) -> None:
    digests = {"corpus": "0", "checkpoint": "0"}

    def hashed(*extra: str, **changed: str) -> str:
        return identify(composed("train", *extra), "text", "bert", digests | changed).hash

    assert (hashed() == hashed(override)) is same
    assert hashed(corpus="1") != hashed()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["trian"], "no command 'trian' (did you mean 'train'?)"),
        (
            ["train", "data.batchsize=3"],
            "'data.batchsize' is not known (did you mean 'data.batch_size'?)",
        ),
        (["train", "sede=4"], "'sede' is not known (did you mean 'seed'?)"),
        (["train", "modle=bert"], "'modle' is not known (did you mean 'model'?)"),
        (["train", "model=bertt"], "'model/bertt' (did you mean 'bert'?)"),
        (
            ["train", "+data.contxt=past"],
            "'data.contxt' is not known (did you mean 'data.context'?)",
        ),
        (["train", "data.batch_size=abc"], "data.batch_size='abc': expected a whole number"),
        (["train", "model.pooling=men"], "expected classifier or mean (did you mean 'mean'?)"),
        (["train", "monitor=test/accuracy"], "expected a val/ metric"),
        (["train", "monitor=val/f1"], "val/f1"),
        (["train", "data.max_tokens=100000"], "expected 8 to 512"),
        (["train", "data.batch_size=0"], "expected at least 1"),
        (["train", "data.context=past"], "model.pooling=mean"),
        (["train", "epochs=0"], "epochs=0: expected at least 1"),
        (["train", "scheduler.warmup=5"], "expected 0 to 1"),
        (["train", "gradient_clip=nan"], "expected at least 0"),
        (["train", "numerics.world_size=0"], "expected at least 1"),
        (["train", "model=roberta", "optimizer.lr=1e9"], "no longer finite; lower optimizer.lr"),
        (["train", "corpus=meld"], "corpus.root"),
        (["train", "data.batch_size=[1,"], "cannot be read as key=value"),
        (["prepare", "corpus=meld", "corpus.root=/nowhere"], "/nowhere"),
        (["train", "checkpoints=minilm", "model=roberta"], "model=roberta"),
        (["reproduce", "tables=[table_2]"], "table_2"),
        (["reproduce", "hydra/launcher=basic", "tables=[table_04]"], "hydra/launcher=basic"),
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
    printed = capsys.readouterr().err.strip()
    assert said in printed
    assert len(printed.splitlines()) == 1, printed
    assert printed.startswith("meld-lightning: ")


def test_a_typo_inside_a_file_is_refused(tmp_path: Path, compose_train: Callable[..., Any]) -> None:
    from meld_lightning.errors import UserError

    cfg = compose_train([])
    cfg = OmegaConf.create({**plain(cfg, resolve=False), "machine": {"workrs": 1}})
    with pytest.raises(UserError, match="machine.workrs.*did you mean .machine.workers"):
        check(cfg, Train)


def test_a_path_with_spaces_and_brackets_needs_no_quotes(
    prepared: Path, tmp_path: Path, meld_lightning: Command
) -> None:
    folder = tmp_path / "my corpus (1), [new]"
    folder.mkdir()
    for name in ("train", "dev", "test"):
        (folder / f"{name}_sent_emo.csv").write_bytes(
            (prepared / "cache" / "mini" / f"{name}_sent_emo.csv").read_bytes()
        )
    done = meld_lightning(
        "prepare", "corpus=meld", f"corpus.root={folder}", "checkpoints=minilm", cwd=tmp_path
    )
    assert done.returncode == 0, done.stderr
    assert "train 640, val 160, test 480" in done.stdout


@pytest.mark.parametrize("arguments", [["--help"], *([command, "--help"] for command in PRIMARIES)])
def test_help_answers_in_under_a_second(arguments: list[str], meld_lightning: Command) -> None:
    """In CPU seconds of the child, which a busy machine does not stretch."""
    import resource

    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = meld_lightning(*arguments)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert done.returncode == 0
    assert "meld-lightning" in done.stdout
    assert after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime < 1
