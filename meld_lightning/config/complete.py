"""Config files completed with the defaults that the code states, so that every key can be
overridden and an option added to a class needs no edit of YAML.

Used by our Hydra plugin for each file that Hydra loads from conf/ or from a user's own folder.
"""

from collections.abc import Callable, Collection, Iterator
from typing import Any

from meld_lightning.config.keys import as_config, defaults_of
from meld_lightning.config.modules import is_library
from meld_lightning.config.nodes import COMMANDS
from meld_lightning.config.signatures import NO_DEFAULT, parameters

Tree = dict[str, Any]


def completed(name: str, tree: Tree, load: Callable[[str], Tree | None]) -> Tree:
    """The content of the config file `name` (such as `model/bert`) with the defaults of its nodes.

    load: reads another config file; None where there is none. What a file that this one builds on
        states goes before a default.
    """
    if name in COMMANDS:
        return merged(defaults_of(COMMANDS[name]), tree)
    stated = {key for base in _bases(name, tree, load) for key in base}
    return _with_defaults(tree, stated)


def merged(below: Tree, above: Tree) -> Tree:
    """`above` over `below`, node by node."""
    both = {
        key: merged(below[key], value)
        for key, value in above.items()
        if isinstance(value, dict) and isinstance(below.get(key), dict)
    }
    return {**below, **above, **both}


def _bases(name: str, tree: Tree, load: Callable[[str], Tree | None]) -> Iterator[Tree]:
    """The files of the same group that a file names in its defaults list, and those they name."""
    group = name.rpartition("/")[0]
    for entry in tree.get("defaults", []):
        if isinstance(entry, str) and entry != "_self_":
            base = f"{group}/{entry.removesuffix('@_here_')}"
            if (found := load(base)) is not None:
                yield found
                yield from _bases(base, found, load)


def _with_defaults(tree: Tree, stated: Collection[str] = ()) -> Tree:
    """`tree` with the defaults of the classes it names, except keys in `stated`. A library's class
    keeps its own defaults for keys that a file leaves out."""
    found = {
        key: _with_defaults(value) if isinstance(value, dict) else value
        for key, value in tree.items()
    }
    target = str(tree.get("_target_", "${"))
    if "${" not in target and not is_library(target):
        for name, one in parameters(target).items():
            if one.default is not NO_DEFAULT and name not in stated:
                found.setdefault(name, as_config(one.default))
    return found
