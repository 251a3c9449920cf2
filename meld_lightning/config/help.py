"""What `COMMAND --help` prints: the command's groups and their choices, and every key with its
value, its meaning and what it may be.

Reads conf/ and the source of the classes that are chosen, and imports neither torch nor Lightning.
"""

import shutil
import textwrap
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from meld_lightning.config.composed import LAUNCHER, Composed
from meld_lightning.config.keys import is_node, keys_below, parameters_of
from meld_lightning.config.nodes import COMMANDS, Common
from meld_lightning.config.signatures import Parameter, class_attribute, summary
from meld_lightning.config.words import in_words, setting

WIDEST = 110
SWEPT = ("prepare", "train", "fuse")  # what --multirun makes jobs of
KEY_COLUMN = 34
SHOWN = 60  # characters of a value


def command_help(command: str, purpose: str, overrides: Sequence[str]) -> str:
    """The help of `command` with these overrides, for this terminal's width.

    purpose: what the command does, the first line. Keys and groups that the command takes and does
    not use are left out.
    """
    composed = Composed.of(command, overrides)
    width = min(shutil.get_terminal_size((WIDEST, 24)).columns, WIDEST)
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
    blocks = [
        f"meld-lightning {command}: {purpose}",
        _usage(command),
        _actions(command, width),
        _groups(groups, composed.choices, width),
        _section("general", plain, tree, width),
        *(
            _section(_title(name, parameter, composed), {name: parameter}, tree, width)
            for name, parameter in sorted(known.items(), key=lambda item: item[0] in shared)
            if name not in plain
        ),
        "" if LAUNCHER in unused else _launcher(composed, width),
        _ending(command),
    ]
    return "\n\n".join(filter(None, blocks))


def _usage(command: str) -> str:
    if COMMANDS[command].actions:
        return f"usage: meld-lightning {command} [ACTION] [HASH ...] [KEY=VALUE ...]"
    if named := COMMANDS[command].named:
        return f"usage: meld-lightning {command} {named} [KEY=VALUE ...]"
    return (
        f"usage: meld-lightning {command} [GROUP=CHOICE ...] [KEY=VALUE ...]"
        f"{' [--multirun]' if command in SWEPT else ''}\n\n"
        "A group takes one of several config files; a key changes one value. Below is what this\n"
        "command line would use; add GROUP=CHOICE to it to see the keys of another choice."
    )


def _actions(command: str, width: int) -> str:
    actions = COMMANDS[command].actions
    if not actions:
        return ""
    rows = [row for name, text in actions.items() for row in _row(name, text, 10, width)]
    return "\n".join(["actions (the first is the default)", *rows])


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


def _ending(command: str) -> str:
    lines = [
        f"the whole config as YAML:  meld-lightning {command} ... --cfg job",
        f"configs of your own:       meld-lightning {command} --config-dir FOLDER GROUP=NAME ...,"
        " with FOLDER/GROUP/NAME.yaml",
        f"a sweep:                   meld-lightning {command} --multirun KEY=VALUE,VALUE ...",
    ]
    return "\n".join(lines if command in SWEPT else lines[:2])


def _groups(groups: Mapping[str, list[str]], chosen: Mapping[str, Any], width: int) -> str:
    if not groups:
        return ""
    lines = ["groups (GROUP=CHOICE; the one in use is in brackets)"]
    for group, options in groups.items():
        shown = [f"[{name}]" if name == chosen.get(group) else name for name in options]
        lines += _row(group, ", ".join(shown), 16, width)
    return "\n".join(lines)


def _is_section(parameter: Parameter, tree: Mapping[str, Any]) -> bool:
    return is_node(parameter.annotation) or isinstance(tree.get(parameter.name), Mapping)


def _title(name: str, parameter: Parameter, composed: Composed) -> str:
    choice = composed.choices.get(name)
    target = str(composed.tree[name].get("_target_", ""))
    doc = parameter.annotation.__doc__ if is_node(parameter.annotation) else parameter.doc
    doc = _first_sentence(doc or summary(target))
    return f"{name}{f'={choice}' if choice else ''}{f': {doc}' if doc else ''}"


def _launcher(composed: Composed, width: int) -> str:
    if not composed.ours:
        return ""
    target = str(composed.launcher["_target_"])
    target = class_attribute(target, "options_of") or target
    node = Parameter("hydra.launcher", Any, None, "")
    title = f"hydra/launcher={composed.choices[LAUNCHER]}: how --multirun starts its jobs"
    return _section(
        title, {node.name: node}, {node.name: {**composed.launcher, "_target_": target}}, width
    )


def _section(
    title: str, known: Mapping[str, Parameter], tree: Mapping[str, Any], width: int
) -> str:
    rows = [
        row
        for key, value, parameter in _keys(known, tree, "")
        for row in _row(f"{key}={_shown(value)}", _described(parameter), KEY_COLUMN, width)
    ]
    return "\n".join([title, *rows]) if rows else ""


def _keys(
    known: Mapping[str, Parameter], tree: Mapping[str, Any], prefix: str
) -> Iterator[tuple[str, Any, Parameter]]:
    """(key, value, what it is) of every plain key of a config."""
    unknown = {str(key): Parameter(str(key), Any, None, "") for key in tree if key not in known}
    for name, parameter in {**known, **(unknown if prefix else {})}.items():
        value = tree.get(name)
        if name.startswith("_") or name not in tree or name == "table":
            continue
        if isinstance(value, Mapping) and value:
            yield from _keys(keys_below(parameter, value, imports=False), value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value, parameter


def _described(parameter: Parameter) -> str:
    """`Utterances per optimiser step, over all devices. (a whole number, at least 1)`."""
    doc = _first_sentence(parameter.doc)
    kind = in_words(parameter.annotation)
    return " ".join(filter(None, [doc[:1].upper() + doc[1:], f"({kind})" if kind else ""]))


def _first_sentence(doc: str | None) -> str:
    text = " ".join((doc or "").split())
    end = text.find(". ")
    return text[:end] if end >= 0 else text.removesuffix(".")


def _row(left: str, right: str, column: int, width: int) -> list[str]:
    """Two columns; the right one starts on a line of its own where the left one is too long."""
    indent = " " * min(column + 4, width // 2)
    lines = textwrap.wrap(right, width - len(indent), break_on_hyphens=False)
    if not lines or len(left) > min(column, len(indent) - 4):
        return [f"  {left}", *(indent + line for line in lines)]
    return [f"  {left}".ljust(len(indent)) + lines[0], *(indent + line for line in lines[1:])]


def _shown(value: Any) -> str:
    """A value as it would be written on the command line, shortened."""
    if isinstance(value, list):
        text = f"[{','.join(_shown(item) for item in value)}]"
    else:
        text = setting(value)
    return text if len(text) <= SHOWN else f"{text[: SHOWN - 3]}..."
