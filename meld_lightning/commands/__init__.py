"""The console script: `meld-lightning COMMAND key=value ...`, each command a Hydra app over
conf/COMMAND.yaml.

Turns every expected failure into one line on stderr and an exit status: 0 done, 1 refused or
failed, 75 to be queued again, 130 stopped.
"""

import importlib
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import meld_lightning
from meld_lightning.errors import Preempted, Stopped, UserError, near_miss
from meld_lightning.launching.resources import Resources
from meld_lightning.storage.atomic import REMEDY, full_disk

COMMANDS = {
    "prepare": "find and check the corpus, make or fetch the checkpoints, write the corpus report",
    "train": (
        "one run, or a sweep with --multirun: fit, choose the epoch on val, keep logits for every"
        " split"
    ),
    "fuse": (
        "one fusion of finished runs: fitted on val by cross-validation over dialogues, scored on"
        " test"
    ),
    "reproduce": "every run that the study's tables need, then the tables",
    "report": "the tables from whatever runs exist",
    "dashboards": (
        "a saved view and a report in W&B for each sweep that was watched with logger=wandb"
    ),
}


TRY_AGAIN = 75  # EX_TEMPFAIL of sysexits.h: the job asks to be queued again
STOPPED = 130  # as a shell tells Ctrl-C


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one command; returns its exit status."""
    name, *rest = list(sys.argv[1:] if argv is None else argv) or ["--help"]
    if name == "--version":
        print(f"meld-lightning {meld_lightning.__version__}")
        return 0
    if name in ("-h", "--help"):
        print(_usage())
        return 0
    if name not in COMMANDS:
        return _refuse(
            f"no command '{name}'{near_miss(name, COMMANDS)}; commands: {', '.join(COMMANDS)}"
        )
    return exit_status(
        lambda: importlib.import_module(f"meld_lightning.commands.{name}").main(rest)
    )


def exit_status(work: Callable[[], None]) -> int:
    """Does the work; tells what went wrong in one line and gives the exit status."""
    try:
        work()
    except UserError as error:
        return _refuse(str(error))
    except OSError as error:  # a full disk, a read-only folder, a path that is no folder
        full = full_disk(error)
        if error.filename is None and not full:
            raise
        remedy = REMEDY if full else "make it writable or choose other paths.*"
        return _refuse(
            f"{error.filename or 'a file that was being written'}: {full or error.strerror};"
            f" {remedy}"
        )
    except Preempted as error:
        print(f"meld-lightning: made room; {error}; queued again, it goes on", file=sys.stderr)
        return TRY_AGAIN
    except (Stopped, KeyboardInterrupt) as error:
        said = str(error) or "nothing finished is lost"
        print(f"meld-lightning: stopped; {said}: the same command goes on", file=sys.stderr)
        return STOPPED
    return 0


def run_hydra(command: str, task: Callable[[Any], None], arguments: Sequence[str]) -> None:
    """Composes conf/`command`.yaml with `arguments` and calls `task` with it.

    Hydra prints and exits on its own; here its errors come back as one UserError that names the
    near miss.
    """
    import hydra
    from hydra.errors import HydraException
    from omegaconf.errors import OmegaConfBaseException

    from meld_lightning.config.check import conf_dir

    failure: list[BaseException] = []

    def guarded(cfg: Any) -> None:
        try:
            _refuse_launcher_without_multirun(command)
            task(cfg)
        except (
            UserError,
            Stopped,
            OSError,
            OmegaConfBaseException,
        ) as error:  # past Hydra's own banner
            failure.append(error)

    os.environ["HYDRA_FULL_ERROR"] = "1"
    sys.argv = [f"meld-lightning {command}", *(_quote_path(argument) for argument in arguments)]
    try:
        hydra.main(version_base="1.3", config_path=str(conf_dir()), config_name=command)(guarded)()
        if failure:
            raise failure[0]
    except (HydraException, OmegaConfBaseException) as error:
        raise UserError(_explain(error, command, arguments)) from error


def _refuse_launcher_without_multirun(command: str) -> None:
    """Hydra composes a launcher that was asked for, and outside of a sweep ignores it without a
    word."""
    from hydra.core.hydra_config import HydraConfig
    from hydra.types import RunMode

    asked = [
        one
        for one in HydraConfig.get().overrides.hydra
        if one.lstrip("+").startswith("hydra/launcher=")
    ]
    if asked and command != "reproduce" and HydraConfig.get().mode == RunMode.RUN:
        raise UserError(
            f"{asked[0]}: without --multirun this process runs alone; add --multirun, or leave"
            " it out"
        )


def _usage() -> str:
    lines = [f"  {name:<10} {text}" for name, text in COMMANDS.items()]
    return "\n".join(
        [
            "usage: meld-lightning COMMAND [key=value ...] [--multirun]",
            "",
            *lines,
            "",
            "meld-lightning COMMAND --help lists the command's config groups and keys.",
        ]
    )


def _refuse(line: str) -> int:
    print(f"meld-lightning: {line}", file=sys.stderr)
    return 1


def _quote_path(argument: str) -> str:
    """Quotes the value of `key=PATH` for Hydra's grammar, which chokes on spaces, brackets and
    commas in paths."""
    key, equals, value = argument.partition("=")
    if (
        equals
        and value
        and not value.startswith(("'", '"'))
        and set(value) & set(" ()[]{},:=\\")
        and os.path.exists(value)  # noqa: PTH110 -- Path.exists raises on text too long for a name
    ):
        return key + "='" + value.replace("\\", "\\\\").replace("'", "\\'") + "'"
    return argument


def _explain(error: Exception, command: str, arguments: Sequence[str]) -> str:
    """One line out of Hydra's several, with the near miss that Hydra does not offer."""
    from hydra.errors import MissingConfigException, OverrideParseException

    from meld_lightning.config.check import conf_dir

    first = " ".join(str(error).split("\n")[0].split()).rstrip(".")
    if isinstance(error, OverrideParseException):
        return (
            f"'{error.override}' cannot be read as key=value ({first}); quote text and paths:"
            " key=\"'...'\""
        )
    if isinstance(error, MissingConfigException) and error.options is not None:
        wrong = str(error.missing_cfg_file).rsplit("/", 1)[-1]
        return f"{first}{near_miss(wrong, error.options)}; there are: {', '.join(error.options)}"
    if first.startswith("Error merging override") and error.__cause__ is not None:
        return (
            f"{first.removeprefix('Error merging override ')}:"
            f" {str(error.__cause__).splitlines()[0]}"
        )
    if "Could not override" in first or "is not in struct" in str(error):
        wrong = first.split("'")[1] if "'" in first else first
        if wrong.removeprefix("hydra.launcher.") in Resources.__dataclass_fields__:
            return f"config key '{wrong}' is one of hydra/launcher=slurm: add that"
        groups = [str(p.relative_to(conf_dir())) for p in conf_dir().rglob("*") if p.is_dir()]
        known = {*_known_keys(command, arguments), *groups} - {wrong}
        return f"config key '{wrong}' is not known{near_miss(wrong, known)}"
    return first


def _known_keys(command: str, arguments: Sequence[str]) -> list[str]:
    """The keys of the config with the groups that were chosen."""
    from hydra import compose, initialize_config_dir

    from meld_lightning.config.check import conf_dir, keys_of, plain

    with initialize_config_dir(str(conf_dir()), version_base="1.3"):
        whole = compose(command, return_hydra_config=True)
        groups = whole.hydra.runtime.choices
        chosen = [one.split(",")[0] for one in arguments if one.split("=")[0] in groups]
        if "--config-dir" in arguments:
            chosen.append(
                "hydra.searchpath="
                f"[file://{Path(arguments[arguments.index('--config-dir') + 1]).resolve()}]"
            )
        launcher = compose(command, chosen, return_hydra_config=True).hydra.launcher
        return [
            *keys_of(plain(compose(command, chosen), resolve=False)),
            *(f"hydra.launcher.{key}" for key in launcher),
        ]
