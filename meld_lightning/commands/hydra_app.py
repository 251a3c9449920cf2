"""A command as a Hydra app: composes conf/COMMAND.yaml with the user's overrides, answers --help,
and reports each of Hydra's errors in one line.

Reads conf/ and the folder that --config-dir names. Used by every command. Imports Hydra inside its
functions: `meld-lightning --help` does without.
"""

import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from meld_lightning.errors import Stopped, UserError, near_miss

HELP = ("--help", "-h")
CONFIG_DIR = ("--config-dir", "-cd")


def run_hydra(command: str, task: Callable[[Any], None], arguments: Sequence[str]) -> None:
    """Composes conf/`command`.yaml with `arguments` and calls `task` with it.

    Hydra prints and exits on its own; here its errors come back as one UserError that names the
    near miss.
    """
    from hydra.errors import HydraException
    from omegaconf.errors import OmegaConfBaseException

    from meld_lightning.config.tree import before_conf

    folders, rest = _config_dirs(arguments)
    with before_conf(folders):
        try:
            if set(rest) & set(HELP):
                from meld_lightning.config.help import command_help

                print(command_help(command, rest))
            else:
                _run(command, task, rest)
        except (HydraException, OmegaConfBaseException) as error:
            raise UserError(_explain(error, command, rest)) from error


def _run(command: str, task: Callable[[Any], None], arguments: Sequence[str]) -> None:
    import hydra
    from omegaconf.errors import OmegaConfBaseException

    from meld_lightning.config.tree import conf_dir

    failure: list[BaseException] = []

    def guarded(cfg: Any) -> None:
        try:
            _refuse_launcher_without_multirun(command)
            task(cfg)
        except (UserError, Stopped, OSError, OmegaConfBaseException) as error:
            failure.append(error)  # raised below, where Hydra adds no banner of its own

    os.environ["HYDRA_FULL_ERROR"] = "1"
    sys.argv = [f"meld-lightning {command}", *(_quote_path(argument) for argument in arguments)]
    hydra.main(version_base="1.3", config_path=str(conf_dir()), config_name=command)(guarded)()
    if failure:
        raise failure[0]


def _config_dirs(arguments: Sequence[str]) -> tuple[list[Path], list[str]]:
    """The folders that --config-dir names, and the other arguments."""
    folders, rest, queue = [], [], list(arguments)
    while queue:
        name, equals, value = queue.pop(0).partition("=")
        if name not in CONFIG_DIR:
            rest.append(f"{name}{equals}{value}")
            continue
        folder = Path(value if equals else queue.pop(0) if queue else "")
        if not folder.is_dir():
            raise UserError(f"--config-dir {folder}: no such folder; give one that holds configs")
        folders.append(folder)
    return folders, rest


def _refuse_launcher_without_multirun(command: str) -> None:
    """Refuses a launcher outside of a sweep, where Hydra would silently ignore it."""
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


def _quote_path(argument: str) -> str:
    """Quotes the value of `key=PATH` for Hydra's grammar, which rejects spaces, brackets and commas
    in paths."""
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
    """One line for Hydra's several, with the near miss that Hydra does not offer."""
    from hydra.errors import MissingConfigException, OverrideParseException

    first = " ".join(str(error).split("\n")[0].split()).rstrip(".")
    if isinstance(error, OverrideParseException):
        return (
            f"'{error.override}' cannot be read as key=value ({first}); quote text and paths:"
            " key=\"'...'\""
        )
    if first.startswith("Ambiguous value for argument"):
        wrong = first.split("'")[1]
        return f"{wrong}: several values make a sweep: add --multirun; quote text with a comma"
    if isinstance(error, MissingConfigException) and error.options is not None:
        wrong = str(error.missing_cfg_file).rsplit("/", 1)[-1]
        return f"{first}{near_miss(wrong, error.options)}; there are: {', '.join(error.options)}"
    if first.startswith("Error merging override") and error.__cause__ is not None:
        return (
            f"{first.removeprefix('Error merging override ')}:"
            f" {str(error.__cause__).splitlines()[0]}"
        )
    if "Could not override" in first or "is not in struct" in str(error):
        return _unknown_key(first.split("'")[1] if "'" in first else first, command, arguments)
    return first


def _unknown_key(wrong: str, command: str, arguments: Sequence[str]) -> str:
    from meld_lightning.config.composed import Composed
    from meld_lightning.config.suggestions import suggestion

    composed = Composed.of(command, arguments, groups_alone=True)
    slurm = Composed.of(command, ["hydra/launcher=slurm"]).launcher
    if wrong.removeprefix("hydra.launcher.") in slurm:
        return f"config key '{wrong}' is one of hydra/launcher=slurm: add that"
    known = {*composed.keys(), *composed.groups} - {wrong}
    return f"config key '{wrong}' is not known{suggestion(wrong, known)}"
