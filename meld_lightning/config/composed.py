"""A command's config as it stands before anything runs, with the groups that it may choose from.
Used to print help and to suggest the key that was meant."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Self

from omegaconf import OmegaConf

from meld_lightning.config.nodes import COMMANDS, Tables
from meld_lightning.config.tree import conf_dir, user_folders

LAUNCHER = "hydra/launcher"
TABLE_GROUPS = ("table", "study/tables@table")  # of the commands over a study's tables


@dataclass(frozen=True)
class Composed:
    """A composed config.

    tree: the config, interpolations not resolved. launcher: the node hydra.launcher. choices: the
    file in use of each group. groups: the files that each group offers.
    """

    tree: dict[str, Any]
    launcher: dict[str, Any]
    choices: dict[str, str | None]
    groups: dict[str, list[str]]

    @classmethod
    def of(
        cls,
        command: str,
        overrides: Iterable[str],
        groups_alone: bool = False,
        with_tables: bool = True,
    ) -> Self:
        """The config of `command`.

        groups_alone: leave out every override but choices of groups. with_tables: False leaves out
        the declarations of tables, which take half of the time, unless an override names one.
        """
        from hydra import compose, initialize_config_dir

        groups = config_groups()
        kept = [
            override
            for override in overrides
            if "=" in override
            and not override.startswith("-")
            and (not groups_alone or override.lstrip("+").partition("=")[0] in groups)
        ]
        without = () if with_tables else _unnamed_tables(command, kept)
        kept += [f"~{group}" for group in without]
        with initialize_config_dir(str(conf_dir()), version_base="1.3"):
            whole = compose(command, _first_of_sweeps(kept), return_hydra_config=True)
        everything: Any = OmegaConf.to_container(whole, resolve=False)
        hydra = everything.pop("hydra")
        chosen = hydra["runtime"]["choices"]
        used = {name: files for name, files in groups.items() if name in (*chosen, *without)}
        return cls(everything, hydra["launcher"], chosen, used)

    @property
    def ours(self) -> bool:
        """Whether the launcher is one of this project's."""
        return str(self.launcher["_target_"]).startswith("hydra_plugins.meld_lightning")

    def keys(self) -> list[str]:
        """Every key in dotted form."""
        return [*_dotted(self.tree), *(f"hydra.launcher.{key}" for key in self.launcher)]


def config_groups() -> dict[str, list[str]]:
    """The files of each group of conf/ and of the user's own folders."""
    groups: dict[str, set[str]] = {}
    for folder in (conf_dir(), *user_folders()):
        for file in folder.glob("*/*.yaml"):
            groups.setdefault(file.parent.name, set()).add(file.stem)
    listed = {name: sorted(groups[name]) for name in sorted(groups)}
    # Hydra's own launcher runs everything in one process
    return {**listed, LAUNCHER: ["local", "slurm"]}


def _unnamed_tables(command: str, overrides: Iterable[str]) -> tuple[str, ...]:
    """The groups that declare the command's tables; none where an override names one of them."""
    named = any(one.lstrip("+~").startswith(("table", "study/tables")) for one in overrides)
    return TABLE_GROUPS if issubclass(COMMANDS[command], Tables) and not named else ()


def _dotted(tree: Mapping[str, Any], prefix: str = "") -> Iterator[str]:
    """Every key of a nested mapping in dotted form, inner nodes included."""
    for key, value in tree.items():
        yield f"{prefix}{key}"
        if isinstance(value, Mapping):
            yield from _dotted(value, f"{prefix}{key}.")


def _first_of_sweeps(overrides: Iterable[str]) -> list[str]:
    """The overrides with the first value of each that names several."""
    from hydra.core.override_parser.overrides_parser import OverridesParser

    found = []
    for override in OverridesParser.create().parse_overrides(list(overrides)):
        if override.is_sweep_override():
            first = next(iter(override.sweep_string_iterator()))
            found.append(f"{override.get_key_element()}={first}")
        else:
            found.append(str(override.input_line))
    return found
