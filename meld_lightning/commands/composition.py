"""Hydra's errors while it composes a config, each as one line that names the near miss and what to
do. Used by `hydra_app`."""

import re
from collections.abc import Sequence

from hydra.errors import (
    HydraException,
    MissingConfigException,
    OverrideParseException,
)

from meld_lightning.config.nodes import COMMANDS, OPEN, Tables
from meld_lightning.config.tree import user_folders
from meld_lightning.errors import near_miss

OWN = "NAME.yaml"
SLURM = "hydra_plugins.meld_lightning_launchers.slurm.SlurmLauncherConf"
MISSING = re.compile(r"(?:In '(?P<parent>[^']+)': )?Could not find '(?P<file>[^']+)'")


def explain(error: Exception, command: str, arguments: Sequence[str]) -> str:
    """One line for Hydra's several.

    command, arguments: what was called, to say which keys and choices there are.
    """
    first = " ".join(str(error).split("\n")[0].split()).rstrip(".")
    if isinstance(error, OverrideParseException):
        return _unreadable(str(error.override))
    if first.startswith("Ambiguous value for argument"):
        wrong = first.split("'")[1]
        return f"{wrong}: several values make a sweep: add --multirun; quote text with a comma"
    if isinstance(error, MissingConfigException) and error.options is not None:
        return _missing_file(first, error.options, arguments)
    if first.startswith("Error merging override") and error.__cause__ is not None:
        return (
            f"{first.removeprefix('Error merging override ')}:"
            f" {str(error.__cause__).splitlines()[0]}"
        )
    if "Could not override" in first or "is not in struct" in str(error):
        return _unknown_key(first.split("'")[1] if "'" in first else first, command, arguments)
    return first


def _unreadable(override: str) -> str:
    """What is wrong with an argument that Hydra's grammar rejects."""
    key, equals, value = override.partition("=")
    if not equals:
        return f"'{override}' cannot be read as KEY=VALUE: it has no '='"
    if value.endswith(",") and value.count("[") == value.count("]"):
        return (
            f"'{override}' ends with a comma: leave it out, or add a value after it (several"
            " values make a sweep, with --multirun)"
        )
    if any(key.startswith(f"{node}.") or key == node for node in OPEN):
        return (
            f"'{override}' cannot be read as KEY=VALUE: keys on the command line have no blanks,"
            " accents or signs; write such labels into a file, FOLDER/corpus/mine.yaml, and add"
            " --config-dir FOLDER corpus=mine"
        )
    return (
        f"'{override}' cannot be read as KEY=VALUE; quote text, and paths with spaces, brackets or"
        f" commas: {key}=\"'...'\""
    )


def _missing_file(first: str, options: Sequence[str], arguments: Sequence[str]) -> str:
    """A group has no file of the name that the command line, or another file, gives for it."""
    found = MISSING.match(first)
    if found is None:
        return first
    file = found["file"]
    keys = [argument.lstrip("+").partition("=")[0] for argument in arguments if "=" in argument]
    asked = [key for key in keys if file.startswith(f"{key}/")]
    group = asked[-1] if asked else file.rpartition("/")[0]
    name = file.removeprefix(f"{group}/")
    where = f"{group}={name}" if asked else f"{found['parent']}.yaml names {file}"
    problem = f"there is no {group}/{name.lstrip('/')}.yaml" if name else "no choice is given"
    own = f"; for a file of your own add --config-dir FOLDER, where FOLDER holds {group}/{OWN}"
    for folder in user_folders():
        if (folder / "conf" / group).is_dir():
            own = f"; {folder}/conf holds {group}/: give --config-dir {folder}/conf"
    return (
        f"{where}: {problem}{near_miss(name, options)}; there are: {', '.join(options)}"
        f"{'' if group.startswith('hydra/') else own}"
    )


def _unknown_key(wrong: str, command: str, arguments: Sequence[str]) -> str:
    from meld_lightning.config.composed import Composed
    from meld_lightning.config.help import SWEPT
    from meld_lightning.config.signatures import parameters
    from meld_lightning.config.suggestions import suggestion

    if near_miss(f"--{wrong}", ["--multirun"], 0.8):
        return f"config key '{wrong}' is not known; --multirun is a flag: give it without a value"
    try:
        composed = Composed.of(command, arguments, groups_alone=True)
    except HydraException:  # it is a choice of a group that only other commands have
        composed = Composed.of(command, [])
    if wrong.removeprefix("hydra.launcher.") in parameters(SLURM):
        return f"config key '{wrong}' is one of hydra/launcher=slurm: add that"
    if issubclass(COMMANDS[command], Tables) and _is_of_runs(wrong):
        return (
            f"config key '{wrong}' is not one of {command}: a table's row sets it for its runs, as"
            " in \"table.table_02.rows.batch_8=['model=bert','epochs=1']\""
        )
    known = {*composed.keys(), *composed.groups} - {wrong}
    meant = suggestion(wrong, known)
    if not meant and command in SWEPT and "." not in wrong and "@" not in wrong:
        meant = (
            f"; if it is a group of your own, add --config-dir FOLDER, where FOLDER holds"
            f" {wrong}/{OWN}, and write +{wrong}=NAME"
        )
    return f"config key '{wrong}' is not known{meant}"


def _is_of_runs(key: str) -> bool:
    """Whether `train` or `fuse` takes this key."""
    from meld_lightning.config.composed import Composed

    both = [Composed.of(command, []) for command in ("train", "fuse")]
    return any(key in (*one.keys(), *one.groups) for one in both)
