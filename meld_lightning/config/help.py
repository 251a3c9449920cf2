"""What `COMMAND --help` prints: the command's groups and their choices, and every key with its
value, its meaning and what it may be."""

import shutil
import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

from meld_lightning.config.nodes import COMMANDS
from meld_lightning.config.sections import Key, Section, listing
from meld_lightning.config.words import setting

WIDEST = 110
SWEPT = ("prepare", "train", "fuse")  # what --multirun makes jobs of
KEY_COLUMN = 34
SHOWN = 60  # characters of a value


def command_help(command: str, purpose: str, overrides: Sequence[str]) -> str:
    """The help of `command` with these overrides, for this terminal's width.

    purpose: what the command does, the first line. Keys and groups that the command takes and does
    not use are left out.
    """
    listed = listing(command, overrides)
    width = min(shutil.get_terminal_size((WIDEST, 24)).columns, WIDEST)
    blocks = [
        f"meld-lightning {command}: {purpose}",
        usage(command),
        _actions(command, width),
        _groups(listed.groups, listed.choices, width),
        *(_section(section, width) for section in listed.sections),
        _ending(command),
    ]
    return "\n\n".join(filter(None, blocks))


def usage(command: str) -> str:
    """How the command is called, and for most what groups and keys are."""
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


def _section(section: Section, width: int) -> str:
    title = f"{section.name}{f'={section.choice}' if section.choice else ''}"
    rows = [
        row
        for key in section.keys
        for row in _row(f"{key.name}={shown(key.value)}", _described(key), KEY_COLUMN, width)
    ]
    return "\n".join([f"{title}{f': {section.doc}' if section.doc else ''}", *rows])


def _described(key: Key) -> str:
    """`Utterances per optimiser step, over all devices (whole number, at least 1)`."""
    return " ".join(filter(None, [key.doc, f"({key.kind})" if key.kind else ""]))


def _row(left: str, right: str, column: int, width: int) -> list[str]:
    """Two columns; the right one starts on a line of its own where the left one is too long."""
    indent = " " * min(column + 4, width // 2)
    lines = textwrap.wrap(right, width - len(indent), break_on_hyphens=False)
    if not lines or len(left) > min(column, len(indent) - 4):
        return [f"  {left}", *(indent + line for line in lines)]
    return [f"  {left}".ljust(len(indent)) + lines[0], *(indent + line for line in lines[1:])]


def shown(value: Any) -> str:
    """A value as it would be written on the command line, shortened."""
    if isinstance(value, list):
        text = f"[{','.join(shown(item) for item in value)}]"
    else:
        text = setting(value)
    return text if len(text) <= SHOWN else f"{text[: SHOWN - 3]}..."
