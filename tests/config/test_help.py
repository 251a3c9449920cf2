"""`--help`: the keys of the choices made, with types, choices and meaning, and no heavy import."""

import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

from meld_lightning.commands import cli
from meld_lightning.commands.cli import main
from meld_lightning.config.nodes import COMMANDS
from meld_lightning.config.sections import listing
from tests.repeats import few
from tests.running import CHECKOUT, call, environment

HEAVY = ("torch", "pytorch_lightning", "transformers", "pandas")
FEW = [["--help"], ["train", "model=clip", "-h"], ["report", "--help"]]
EVERY = [[command, "--help"] for command in COMMANDS]
CODE = f"""
import sys
from meld_lightning.commands.cli import main
for arguments in ARGUMENTS:
    assert main(arguments) == 0, arguments
    print("imported:", *(name for name in {HEAVY} if name in sys.modules))
"""


@pytest.mark.parametrize("asked", [FEW, pytest.param(EVERY, marks=pytest.mark.slow)])
def test_help_imports_nothing_heavy(asked: list[list[str]], tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", CODE.replace("ARGUMENTS", str(asked))],
        cwd=tmp_path,
        env=environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert sum(line.startswith("usage: meld-lightning") for line in lines) == len(asked)
    imported = [line for line in lines if line.startswith("imported:")]
    assert dict(zip(map(str, asked), imported, strict=True)) == dict.fromkeys(
        map(str, asked), "imported:"
    )


def helped(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    assert main([*arguments, "--help"]) == 0
    return capsys.readouterr().out


@cache
def printed_help(command: str) -> str:
    """What `COMMAND --help` prints."""
    done = call([command, "--help"], CHECKOUT)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_help_lists_keys_with_meaning_type_and_choices(capsys: pytest.CaptureFixture[str]) -> None:
    text = " ".join(helped(capsys, "train", "data.batch_size=8").split())
    assert "[bert], bert_context, bert_recurrent, clip, clip_probe" in text
    assert "data.batch_size=8 Utterances per optimiser step, over all devices; with" in text
    assert "data.batch_of=dialogues, dialogues (whole number, at least 1)" in text
    assert "(none, past or both)" in text
    assert "epochs=3 Passes over the training split (whole number, at least 1)" in text
    assert "optimizer.lr=2e-5 Peak learning rate" in text
    assert "--cfg job" in text
    assert "_target_" not in text


@pytest.mark.parametrize("command", ["prepare", "train", "fuse", "predict"])
def test_every_listed_key_has_a_meaning(command: str) -> None:
    keys = [key for section in listing(command, []).sections for key in section.keys]
    assert keys
    assert [key.name for key in keys if not key.doc] == []


def test_help_leaves_out_what_only_code_gives() -> None:
    (data,) = (one for one in listing("train", ["model=mfcc"]).sections if one.name == "data")
    assert "data.batch_size" in (names := {key.name for key in data.keys})
    assert "data.groups" not in names


@pytest.mark.slow
def test_help_follows_the_choices(capsys: pytest.CaptureFixture[str]) -> None:
    text = helped(capsys, "train", "model=clip")
    assert "model.aggregation=confidence" in text
    assert "data.encoder" not in text.replace("data.encoder.", "")
    assert "model.pooling" not in text
    assert "data.max_tokens" not in text
    assert "hydra.launcher.jobs=0" in text
    slurm = helped(capsys, "train", "hydra/launcher=slurm")
    assert "hydra.launcher.partition=null" in slurm
    assert "hydra.launcher.memory_gb=16" in slurm


@pytest.mark.parametrize("columns", few(["60", "100", "200"], 1))
def test_no_description_is_wider_than_the_terminal(
    columns: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", columns)
    lines = helped(capsys, "train").splitlines()
    described = [line for line in lines if line.startswith("    ")]
    assert described
    assert max(map(len, described)) <= min(int(columns), 110)


def test_a_wrong_choice_is_refused_by_help_too(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", "model=bertt", "--help"]) == 1
    assert "did you mean 'bert'?" in capsys.readouterr().err


@pytest.mark.parametrize("command", few(reversed(COMMANDS), 4))
def test_help_begins_with_what_the_command_does(command: str) -> None:
    first = printed_help(command).splitlines()[0]
    assert first == f"meld-lightning {command}: {cli.COMMANDS[command]}"


@pytest.mark.parametrize(
    ("command", "absent", "present"),
    [
        (
            "report",
            {"rerun", "machine", "logger", "hydra/launcher", "hydra"},
            {"tables", "study", "corpus", "numerics", "paths", "table"},
        ),
        (
            "dashboards",
            {"target", "rerun", "corpus", "media", "checkpoints", "numerics", "machine", "hydra"},
            {"logger", "monitor", "study", "paths"},
        ),
        ("prepare", {"target", "rerun", "numerics", "machine"}, {"corpus", "media", "checkpoints"}),
        ("fuse", {"media", "checkpoints", "machine"}, {"runs", "fusion", "corpus"}),
        ("train", set(), {"model", "machine", "rerun", "hydra", "logger"}),
    ],
)
def test_help_leaves_out_what_the_command_does_not_use(
    command: str, absent: set[str], present: set[str]
) -> None:
    lines = printed_help(command).splitlines()
    listed = {line.split()[0] for line in lines if line.startswith("  ") and line[2] != " "}
    named = {word.partition("=")[0].partition(".")[0] for word in listed}
    assert named & absent == set()
    assert named >= present


@pytest.mark.slow
def test_help_writes_small_numbers_in_one_style(capsys: pytest.CaptureFixture[str]) -> None:
    for given, shown in (("0.001", "1e-3"), ("2e-4", "2e-4"), ("0.00002", "2e-5")):
        text = helped(capsys, "train", f"optimizer.lr={given}")
        assert f"optimizer.lr={shown} " in text
    assert "optimizer.weight_decay=0.01 " in text
