"""Config files: each composes and passes the check, defaults come from the code, and nothing stands
in two files that could stand in one."""

from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hydra import compose, initialize_config_dir
from hydra.utils import instantiate
from omegaconf import DictConfig

from meld_lightning.config.check import check
from meld_lightning.config.nodes import COMMANDS
from meld_lightning.config.tree import before_conf, plain
from meld_lightning.runs.identity import canonical_config
from meld_lightning.study.plan import needed_fusions, needed_rows
from tests.repeats import few
from tests.running import CHECKOUT

CONF = CHECKOUT / "conf"
FILES = sorted(path.relative_to(CONF).with_suffix("").as_posix() for path in CONF.rglob("*.yaml"))
OF_TRAIN = (
    "checkpoints",
    "corpus",
    "data",
    "experiment",
    "logger",
    "model",
    "numerics",
    "optimizer",
    "study",
)
OF_REPRODUCE = ("study/shared", "study/tables", "table", "table/shared")
ROOT = "corpus.root=/data/MELD"


def composed(command: str, *overrides: str) -> DictConfig:
    with initialize_config_dir(str(CONF), version_base="1.3"):
        return compose(command, list(overrides))


def choices(group: str) -> list[str]:
    return [name.rpartition("/")[2] for name in FILES if name.rpartition("/")[0] == group]


def test_every_file_of_conf_is_composed_by_a_test_below() -> None:
    groups = Counter(name.rpartition("/")[0] for name in FILES)
    assert set(groups) == {"", "fusion", *OF_TRAIN, *OF_REPRODUCE}
    assert set(choices("")) == {*COMMANDS, "common", "plain"}
    assert len(FILES) == 91


@pytest.mark.parametrize("command", few(COMMANDS, 6))
def test_every_command_composes(command: str) -> None:
    check(composed(command), COMMANDS[command])


@pytest.mark.parametrize("command", ["doctor", "report"])
def test_commands_about_a_study_compose_it_as_reproduce_does(command: str) -> None:
    given, expected = (plain(composed(one, "study=mini")) for one in (command, "reproduce"))
    assert {key: given.get(key) for key in expected} == expected


def alone() -> list[list[str]]:
    """Each model, which needs its own data and checkpoint, and each experiment, which chooses
    models."""
    return [[f"{group}={name}"] for group in ("experiment", "model") for name in choices(group)]


def together() -> list[list[str]]:
    """Overrides such that each choice of train's other groups is in at least one list."""
    first = [f"{group}={name}" for group in ("data", "checkpoints") for name in choices(group)]
    apart = {"model", "experiment", "data", "checkpoints"}
    others = {group: choices(group) for group in OF_TRAIN if group not in apart}
    assert len(first) > max(map(len, others.values()))
    return [
        [one, *(f"{group}={names[place % len(names)]}" for group, names in others.items())]
        for place, one in enumerate(first)
    ]


@pytest.mark.parametrize("chosen", [*together(), *few(alone(), 6)], ids=" ".join)
def test_every_choice_composes_and_passes_the_check(chosen: list[str]) -> None:
    # a checkpoint is named: only the mini corpus has default ones
    named = ["checkpoints.bert=bundled:all-MiniLM-L6-v2", "checkpoints.face=a_folder"]
    cfg = composed("train", *chosen, ROOT, *named)
    check(cfg, COMMANDS["train"])
    assert callable(
        instantiate(cfg.optimizer)
    )  # data and model need prepared files, which their own tests have


@pytest.mark.parametrize("fusion", choices("fusion"))
def test_every_fusion_composes_and_instantiates(fusion: str) -> None:
    cfg = composed("fuse", f"fusion={fusion}", ROOT)
    check(cfg, COMMANDS["fuse"])
    assert instantiate(cfg.fusion).name == fusion


@pytest.mark.slow
def test_every_table_is_in_the_report() -> None:
    assert set(composed("report").table) >= set(choices("table"))


@pytest.mark.parametrize(
    "study",
    [
        name if name == "meld_minilm" else pytest.param(name, marks=pytest.mark.slow)
        for name in choices("study")
    ],
)
def test_every_run_of_every_study_composes(study: str) -> None:
    cfg = composed("reproduce", f"study={study}", ROOT)
    check(cfg, COMMANDS["reproduce"])
    assert set(cfg.tables) <= set(cfg.table)
    identities: list[Any] = []
    for overrides in needed_rows(plain(cfg.table), cfg.tables).values():
        run = composed("train", f"study={study}", ROOT, *overrides)
        check(run, COMMANDS["train"])
        assert "table" not in run
        identities.append(canonical_config(run))
    twins = [one for place, one in enumerate(identities) if one in identities[:place]]
    assert not twins, "two rows are the same run"
    for overrides in needed_fusions(plain(cfg.table), cfg.tables).values():
        check(composed("fuse", f"study={study}", ROOT, *overrides), COMMANDS["fuse"])


def test_less_than_15_in_100_lines_of_conf_stand_more_than_once() -> None:
    lines = [
        stripped
        for file in CONF.rglob("*.yaml")
        for line in file.read_text().splitlines()
        if (stripped := line.partition(" #")[0].strip()) and not stripped.startswith("#")
    ]
    counts = Counter(lines)
    assert sum(counts[line] > 1 for line in lines) / len(lines) < 0.15


def test_experiments_alone_make_a_command_sweep() -> None:
    """Where neither one nor a file of the user's own is asked for, the command looks for no
    `hydra.mode`."""
    setting = [file for file in CONF.rglob("*.yaml") if "mode:" in file.read_text()]
    assert {file.parent.name for file in setting} == {"experiment"}


MODEL = '''
from typing import Annotated, Literal
from pydantic import Field
from meld_lightning.models.text import TextClassifier

class Mine(TextClassifier):
    """A model of a user's own.

    Args:
        width: units of its layer.
    """

    def __init__(self, width: Annotated[int, Field(ge=4)] = 8, kind: Literal["a", "b"] = "a",
                 **options):
        super().__init__(**options)
'''


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of a user's own with a model and its config, which states none of its options."""
    (tmp_path / "my_model.py").write_text(MODEL)
    for name, text in {
        "model/mine.yaml": "_target_: my_model.Mine\nname: mine\ncheckpoint: x\npooling: mean\n",
        "model/mine_wide.yaml": "defaults:\n  - mine\n\nname: mine_wide\nwidth: 32\n",
        "model/mine_other.yaml": "defaults:\n  - mine_wide\n\n_target_: my_model.Mine\nkind: b\n",
        "table/table_mine.yaml": "# @package table.table_mine\ntitle: mine\nrows: {a: [seed=1]}\n",
    }.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    monkeypatch.syspath_prepend(tmp_path)
    return tmp_path


def composed_with(folder: Path, *overrides: str, command: str = "train") -> dict[str, Any]:
    with before_conf([folder]):
        cfg = composed(command, *overrides)
    check(cfg, COMMANDS[command])
    return plain(cfg)


def test_an_option_of_a_users_class_needs_no_yaml(own: Path) -> None:
    """Its own options and those of the class that it extends."""
    model = composed_with(own, "model=mine", "model.kind=b", "model.dropout=0.1")["model"]
    expected = {
        "_target_": "my_model.Mine",
        "name": "mine",
        "checkpoint": "x",
        "pooling": "mean",
        "width": 8,
        "kind": "b",
        "dropout": 0.1,
        "class_weights": "none",
        "label_smoothing": 0.0,
        "keep_head": False,
        "label_map": None,
    }
    assert {key: model.get(key) for key in expected} == expected


@pytest.mark.parametrize(
    ("choice", "width", "kind"), [("mine_wide", 32, "a"), ("mine_other", 32, "b")]
)
def test_what_a_file_states_goes_before_a_default(
    own: Path, choice: str, width: int, kind: str
) -> None:
    model = composed_with(own, f"model={choice}")["model"]
    assert (model["width"], model["kind"], model["pooling"]) == (width, kind, "mean")


@pytest.mark.slow
def test_a_table_is_one_file(own: Path) -> None:
    cfg = composed_with(own, "tables=[table_mine]", command="report")
    assert cfg["table"]["table_mine"]["title"] == "mine"


def test_a_library_class_keeps_its_own_defaults() -> None:
    assert set(composed("train", "optimizer=adafactor").optimizer) == {
        "_target_",
        "_partial_",
        "lr",
        "weight_decay",
    }


def test_another_application_is_left_alone(own: Path) -> None:
    (own / "train.yaml").write_text("defaults:\n  - model: mine\n")
    with initialize_config_dir(str(own), version_base="1.3"):
        assert set(compose("train")) == {"model"}
        assert "width" not in compose("train").model
