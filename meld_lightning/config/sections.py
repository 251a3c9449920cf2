"""The groups, sections and keys of a command's config, each key with its value and its meaning.

Reads conf/ and the source of the classes that are chosen, and imports neither torch nor Lightning.
`help` prints them; the config reference of the docs is made from them.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from meld_lightning.config.composed import LAUNCHER, Composed
from meld_lightning.config.keys import is_node, keys_below, parameters_of
from meld_lightning.config.meanings import MEANINGS
from meld_lightning.config.nodes import COMMANDS, Common
from meld_lightning.config.signatures import Parameter, class_attribute, summary
from meld_lightning.config.words import in_words


@dataclass(frozen=True)
class Key:
    """A key in dotted form, its value in this config, its meaning, and what it may be in words."""

    name: str
    value: Any
    doc: str
    kind: str


@dataclass(frozen=True)
class Section:
    """Keys that belong together: those of a node or of a group's chosen file.

    name: the node, or `general` for the command's plain keys. choice: the group's file in use,
    null where the node is no group.
    """

    name: str
    choice: str | None
    doc: str
    keys: list[Key]


@dataclass(frozen=True)
class Listing:
    """What a command takes. groups: the files that each group offers. choices: those in use."""

    groups: dict[str, list[str]]
    choices: dict[str, str | None]
    sections: list[Section]


def listing(command: str, overrides: Sequence[str]) -> Listing:
    """The groups and keys of `command` with these overrides, without those it does not use."""
    composed = Composed.of(command, overrides, with_tables=False)
    unused = COMMANDS[command].unused
    known = {
        name: parameter
        for name, parameter in parameters_of(COMMANDS[command]).items()
        if name not in unused
    }
    tree = _without(composed.tree, unused)
    groups = {name: files for name, files in composed.groups.items() if name not in unused}
    plain = {name: known[name] for name in known if not _is_section(known[name], tree)}
    shared = parameters_of(Common)
    sections = [Section("general", None, "", list(_keys(plain, tree, "")))]
    for name, parameter in sorted(known.items(), key=lambda item: item[0] in shared):
        if name not in plain:
            doc = _doc(parameter, composed.tree[name])
            keys = list(_keys({name: parameter}, tree, ""))
            sections.append(Section(name, composed.choices.get(name), doc, keys))
    if LAUNCHER not in unused and composed.ours:
        sections.append(_launcher(composed))
    return Listing(groups, composed.choices, [section for section in sections if section.keys])


def first_sentence(doc: str | None) -> str:
    """The first sentence on one line, without its full stop."""
    text = " ".join((doc or "").split())
    end = text.find(". ")
    return text[:end] if end >= 0 else text.removesuffix(".")


def _without(tree: Mapping[str, Any], unused: Iterable[str]) -> dict[str, Any]:
    """The tree without these keys, each in dotted form."""
    kept = dict(tree)
    for name in unused:
        parent, _, key = name.rpartition(".")
        if not parent:
            kept.pop(key, None)
        else:
            kept[parent] = {inner: value for inner, value in kept[parent].items() if inner != key}
    return kept


def _is_section(parameter: Parameter, tree: Mapping[str, Any]) -> bool:
    return is_node(parameter.annotation) or isinstance(tree.get(parameter.name), Mapping)


def _doc(parameter: Parameter, node: Mapping[str, Any]) -> str:
    if is_node(parameter.annotation):
        return first_sentence(parameter.annotation.__doc__)
    return first_sentence(parameter.doc or summary(str(node.get("_target_", ""))))


def _launcher(composed: Composed) -> Section:
    target = str(composed.launcher["_target_"])
    target = class_attribute(target, "options_of") or target
    node = Parameter("hydra.launcher", Any, None, "")
    keys = _keys({node.name: node}, {node.name: {**composed.launcher, "_target_": target}}, "")
    doc = "how --multirun starts its jobs"
    return Section(LAUNCHER, composed.choices[LAUNCHER], doc, list(keys))


def _keys(
    known: Mapping[str, Parameter], tree: Mapping[str, Any], prefix: str, doc_of_all: str = ""
) -> Iterator[Key]:
    """Every plain key of a config. doc_of_all: the meaning of keys that have none of their own."""
    unknown = {
        str(key): MEANINGS.get(f"{prefix}{key}", Parameter(str(key), Any, None, doc_of_all))
        for key in tree
        if key not in known
    }
    for name, parameter in {**known, **(unknown if prefix else {})}.items():
        value = tree.get(name)
        if name.startswith("_") or name not in tree or name == "table":
            continue
        if isinstance(value, Mapping) and value:
            below = keys_below(parameter, value, imports=False)
            yield from _keys(below, value, f"{prefix}{name}.", "" if below else parameter.doc)
        else:
            doc = first_sentence(parameter.doc)
            doc = doc[:1].upper() + doc[1:]
            yield Key(f"{prefix}{name}", value, doc, in_words(parameter.annotation))
