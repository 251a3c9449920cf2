"""A command as a Hydra app: composes conf/COMMAND.yaml with the user's overrides, answers --help,
and turns each of Hydra's errors into one line (see `composition`).

Reads conf/ and the folder that --config-dir names. Used by every command. Imports Hydra inside its
functions, because `meld-lightning --help` does not need it.
"""

import gc
import os
import re
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from meld_lightning.commands.cli import COMMANDS
from meld_lightning.errors import Stopped, UserError, near_miss

HELP = ("--help", "-h")
MULTIRUN = ("--multirun", "-m")
CONFIG_DIR = ("--config-dir", "-cd")
DEEPEST = 200  # brackets in one argument
SETS_MODE = ("experiment=", "hydra.mode=", "hydra.searchpath=")


def run_hydra(command: str, task: Callable[[Any], None], arguments: Sequence[str]) -> None:
    """Composes conf/`command`.yaml with `arguments` and calls `task` with it.

    Hydra would print errors and exit; here each is raised as one UserError that suggests the
    nearest name.
    """
    from hydra.errors import HydraException
    from omegaconf.errors import OmegaConfBaseException

    from meld_lightning.commands.composition import explain
    from meld_lightning.config.tree import before_conf

    folders, rest = _config_dirs(arguments)
    with before_conf(folders):
        try:
            if set(rest) & set(HELP):
                from meld_lightning.config.help import command_help

                print(command_help(command, COMMANDS[command], rest))
            else:
                _check_flags(rest)
                check_values(rest)
                _run(command, task, rest)
        except (HydraException, OmegaConfBaseException) as error:
            raise UserError(explain(error, command, rest)) from error


def _run(command: str, task: Callable[[Any], None], arguments: Sequence[str]) -> None:
    import hydra
    from omegaconf.errors import OmegaConfBaseException

    from meld_lightning.config.tree import conf_dir

    failure: list[BaseException] = []

    def guarded(cfg: Any) -> None:
        gc.enable()  # paused by cli
        try:
            _refuse_launcher_without_multirun(command)
            task(cfg)
        except (UserError, Stopped, OSError, OmegaConfBaseException) as error:
            failure.append(error)  # raised below, where Hydra adds no banner of its own

    os.environ["HYDRA_FULL_ERROR"] = "1"
    sys.argv = [f"meld-lightning {command}", *(_quote_path(argument) for argument in arguments)]
    app = hydra.main(version_base="1.3", config_path=str(conf_dir()), config_name=command)(guarded)
    with _mode_from_flags(arguments):
        app()
    if failure:
        raise failure[0]


@contextmanager
def _mode_from_flags(arguments: Sequence[str]) -> Iterator[None]:
    """Within the block, --multirun alone decides whether Hydra sweeps, unless a config may too.

    Hydra would compose the whole config once more, only to look for `hydra.mode` in it. In conf/
    only experiments set it; files in the user's own folders may set it, too.
    """
    from hydra._internal.hydra import Hydra

    from meld_lightning.config.tree import user_folders

    if user_folders() or any(argument.lstrip("+").startswith(SETS_MODE) for argument in arguments):
        yield
        return
    original = Hydra.get_mode
    setattr(Hydra, "get_mode", lambda *_, **__: None)  # noqa: B010 -- mypy refuses a plain one
    try:
        yield
    finally:
        setattr(Hydra, "get_mode", original)  # noqa: B010


def _config_dirs(arguments: Sequence[str]) -> tuple[list[Path], list[str]]:
    """The folders that --config-dir names, and the other arguments."""
    folders, rest, queue = [], [], list(arguments)
    while queue:
        name, equals, value = queue.pop(0).partition("=")
        if name not in CONFIG_DIR:
            rest.append(f"{name}{equals}{value}")
            continue
        given = value if equals else queue.pop(0) if queue else ""
        folder = Path(given)
        if not given or not folder.is_dir():
            raise UserError(f"--config-dir {given}: no such folder; give one that holds configs")
        folders.append(folder)
    return folders, rest


def _check_flags(arguments: Sequence[str]) -> None:
    """UserError for a flag that Hydra does not know, for which argparse would print its usage."""
    from hydra._internal.utils import get_args_parser

    known = {flag for action in get_args_parser()._actions for flag in action.option_strings}
    for argument in arguments:
        flag = argument.partition("=")[0]
        if flag.startswith("-") and flag not in known:
            hint = near_miss(flag, [name for name in known if name.startswith("--")])
            raise UserError(
                f"no flag '{flag}'{hint}; flags: --multirun, --config-dir FOLDER, --cfg job, --help"
            )
        if argument != flag and flag in (*HELP, *MULTIRUN):
            raise UserError(f"'{argument}': the flag takes no value; give {flag} alone")


def check_values(arguments: Sequence[str]) -> None:
    """UserError for a value on which Hydra's parser would crash instead of refusing it."""
    for argument in arguments:
        key = argument.partition("=")[0][:40]
        if re.search(r"[0-9]{1000}", argument):
            raise UserError(f"{key}: a number of more than 1,000 digits; give a shorter one")
        if max(argument.count(sign) for sign in "([{") > DEEPEST:
            raise UserError(f"{key}: more than {DEEPEST} brackets; write it into a config file")


def _refuse_launcher_without_multirun(command: str) -> None:
    """Refuses a launcher outside of a sweep, where Hydra would silently ignore it. `reproduce`
    starts its own sweeps, and `doctor` looks at the launcher that they would use."""
    from hydra.core.hydra_config import HydraConfig
    from hydra.types import RunMode

    asked = [
        override
        for override in HydraConfig.get().overrides.hydra
        if override.lstrip("+").startswith("hydra/launcher=")
    ]
    if asked and command not in ("reproduce", "doctor") and HydraConfig.get().mode == RunMode.RUN:
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
