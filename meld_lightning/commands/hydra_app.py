"""A command as a Hydra app: composes conf/COMMAND.yaml with the user's overrides, and reports each
of Hydra's errors in one line.

Reads conf/. Used by every command. Imports Hydra inside its functions: `meld-lightning --help`
does without.
"""

import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from meld_lightning.errors import Stopped, UserError, near_miss
from meld_lightning.launching.resources import Resources


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
