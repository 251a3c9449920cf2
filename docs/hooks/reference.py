"""The config reference: a page for each command and each config group, in Markdown.

Reads the config tree and the docstrings through `meld_lightning.config`, so that the pages say
what `--help` and the checks say. Used by `events`, which adds the pages to a build; nothing of them
is committed.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path

from docs.hooks.declared import keys_of_tables, tables_of_study
from meld_lightning.commands.cli import COMMANDS as PURPOSES
from meld_lightning.config.help import shown, usage
from meld_lightning.config.nodes import COMMANDS, Common
from meld_lightning.config.sections import Key, Section, listing
from meld_lightning.config.tree import conf_dir

FOLDER = "config"
OVERVIEW = f"{FOLDER}/index.md"
SHARED = "shared"  # the page of the sections that commands on a corpus have in common
LAUNCHER = "hydra/launcher"
NONE = "none"
MOST_DEFAULTS = 3  # more in one cell are hard to read; the options' files below have them

WITHOUT_KEYS = ("experiment", "table")  # groups whose files set keys of other nodes
MEANINGS = {
    "model": "What is trained or scored. A model chooses its `data` itself.",
    "data": "What a model reads: its batches and, for frozen encoders, cached features.",
    "optimizer": "A class of `torch.optim`.",
    "logger": "Where metrics go, in addition to each run's `metrics.csv`.",
    "fusion": "How the logits of several runs become one decision.",
    "corpus": "The utterances: where they are, and how they are split.",
    "checkpoints": "Pretrained weights for each kind of model.",
    "numerics": "What changes the last digits of a result.",
    "study": "A corpus, checkpoints, and the tables that one report is about.",
    "experiment": "Settings of `train` under one name, such as a sweep.",
    "table": "The paper's tables and figures; `tables=[table_03]` makes some of a study's.",
    LAUNCHER: "How `--multirun` and `reproduce` start their jobs.",
}


def names() -> list[str]:
    """The pages besides the overview."""
    return [SHARED, *COMMANDS, *map(_slug, MEANINGS)]


@cache
def pages() -> dict[str, str]:
    """Path of each page below docs/ -> its Markdown."""
    written = [_shared_page(), *map(command_page, COMMANDS), *map(group_page, MEANINGS)]
    below = {f"{FOLDER}/{name}.md": page for name, page in zip(names(), written, strict=True)}
    return {OVERVIEW: _overview(), **below}


def command_page(command: str) -> str:
    """The groups and keys of one command; shared ones are links to their own pages."""
    listed = listing(command, [])
    places = [(section, _place(command, section)) for section in listed.sections]
    return _joined(
        f"# `{command}`: config",
        f"{PURPOSES[command][:1].upper()}{PURPOSES[command][1:]}.",
        _fenced("text", usage(command).partition("\n")[0].removeprefix("usage: ")),
        _actions(command),
        _groups(listed.groups, listed.choices),
        *(part for section, place in places if not place for part in _section(section)),
        _elsewhere([(section, place) for section, place in places if place]),
    )


def group_page(group: str) -> str:
    """The options of one group: their files, and the keys of the classes that they name."""
    options = _options(group)
    keys = [] if group in WITHOUT_KEYS else _keys_of_options(group, options)
    name = _linked if _files(group) else _code
    return _joined(
        f"# `{group}=`",
        f"{MEANINGS[group]} Options: {', '.join(map(name, options))}.",
        *(part for names, sections in keys for part in _keys_of_class(group, names, sections)),
        _keys_of_a_table() if group == "table" else "",
        "## Options" if _files(group) else "",
        *(part for path in _files(group) for part in _option(group, path)),
    )


def _keys_of_a_table() -> str:
    return _joined(
        "## Keys of a table",
        "What a file of `conf/table/`, or one table in a file of `conf/study/tables/`, may hold.",
        keys_of_tables(),
    )


def _overview() -> str:
    commands = [f"| [`{command}`]({command}.md) | {text} |" for command, text in PURPOSES.items()]
    groups = [f"| [`{group}`]({_slug(group)}.md) | {text} |" for group, text in MEANINGS.items()]
    return _joined(
        "# Config reference",
        "These pages are generated from the config tree and the docstrings of the code, as is what"
        " `meld-lightning COMMAND --help` prints.",
        "A **group** takes one of several files (`model=bert`), a **key** changes one value"
        " (`optimizer.lr=1e-4`). A default of the form `${checkpoints.bert}` is the value of that"
        " other key; `???` means that a value has to be given. Unknown keys, unknown choices and"
        " values out of range are refused before anything runs. A config file of your own goes"
        " into `FOLDER/GROUP/NAME.yaml`; call the command with `--config-dir FOLDER GROUP=NAME`.",
        "\n".join(["| command | does |", "|---|---|", *commands]),
        "\n".join(["| group | is |", "|---|---|", *groups]),
        f"Keys that commands on a corpus share: [paths, media and machine]({SHARED}.md).",
    )


def _shared_page() -> str:
    shared = [one for one in listing("train", []).sections if _place("train", one) == SHARED]
    return _joined(
        "# Keys that commands share", *(part for section in shared for part in _section(section))
    )


def _place(command: str, section: Section) -> str:
    """The page that lists the section's keys; empty for the command's own page."""
    if section.name in MEANINGS:
        return section.name
    shares = issubclass(COMMANDS[command], Common) and section.name in Common.model_fields
    return SHARED if shares else ""


def _elsewhere(found: Sequence[tuple[Section, str]]) -> str:
    if not found:
        return ""
    rows = [
        f"| [`{section.name}`]({_slug(place)}.md) | {_names(section)} |" for section, place in found
    ]
    return _joined(
        "## Keys on other pages",
        "With the choices above the command also takes:",
        "\n".join(["| section | keys |", "|---|---|", *rows]),
    )


def _names(section: Section) -> str:
    return ", ".join(f"`{key.name}`" for key in section.keys)


def _actions(command: str) -> str:
    actions = COMMANDS[command].actions
    rows = [f"| `{name}` | {_cell(text)} |" for name, text in actions.items()]
    return "\n".join(["| action | does |", "|---|---|", *rows]) if rows else ""


def _groups(groups: dict[str, list[str]], chosen: dict[str, str | None]) -> str:
    rows = [
        f"| [`{group}`]({_slug(group)}.md) | {', '.join(f'`{one}`' for one in options)} "
        f"| {f'`{chosen[group]}`' if chosen.get(group) in options else NONE} |"
        for group, options in groups.items()
    ]
    table = ["| group | choices | default |", "|---|---|---|", *rows]
    return _joined("## Groups", "\n".join(table)) if rows else ""


def _section(section: Section) -> list[str]:
    return [
        f"## `{section.name}`" if section.name != "general" else "## Keys",
        f"{section.doc}." if section.doc else "",
        _table(section.keys, {key.name: f"`{shown(key.value)}`" for key in section.keys}),
    ]


def _table(keys: Sequence[Key], defaults: dict[str, str]) -> str:
    rows = [
        f"| `{key.name}` | {_cell(key.kind)} | {_cell(defaults[key.name])} | {_cell(key.doc)} |"
        for key in keys
    ]
    return "\n".join(["| key | what it may be | default | meaning |", "|---|---|---|---|", *rows])


def _keys_of_options(group: str, options: Sequence[str]) -> list[tuple[list[str], list[Section]]]:
    """Options whose keys are the same, and the section of each of them."""
    alike: dict[object, tuple[list[str], list[Section]]] = {}
    for option in options:
        composed = listing("fuse" if group == "fusion" else "train", [f"{group}={option}"])
        for section in composed.sections:
            if section.name == group and section.keys[0].name != group:  # has keys
                names = tuple((key.name, key.kind, key.doc) for key in section.keys)
                of_class = alike.setdefault(names, ([], []))
                of_class[0].append(option)
                of_class[1].append(section)
    return list(alike.values())


def _keys_of_class(group: str, options: list[str], sections: list[Section]) -> list[str]:
    whose = ", ".join(map(_code, options))
    docs = dict.fromkeys(section.doc for section in sections)
    defaults = {
        key.name: _default(options, [section.keys[at].value for section in sections])
        for at, key in enumerate(sections[0].keys)
    }
    title = f"Keys of {whose}" if options != _options(group) else "Keys"
    return [
        f"## {title}",
        " ".join(f"{doc}." for doc in docs if doc and title != "Keys" and group != LAUNCHER),
        _table(sections[0].keys, defaults),
    ]


def _default(options: Sequence[str], values: Sequence[object]) -> str:
    """The value that most options have, and after it those of the others with their names."""
    said = [f"`{shown(value)}`" for value in values]
    counts = Counter(said)
    if len(counts) > MOST_DEFAULTS or len(counts) == len(said) == MOST_DEFAULTS:
        return "its own"
    parts = []
    for value, count in counts.most_common():
        whose = [option for option, its in zip(options, said, strict=True) if its == value]
        parts.append(value if count > len(said) / 2 else f"{value} ({', '.join(whose)})")
    return "; ".join(parts)


def _option(group: str, path: Path) -> Iterator[str]:
    """What a file's comments say of it, and what it sets."""
    lines = path.read_text().splitlines()
    comments = [line.removeprefix("#").strip() for line in lines if line.startswith("#")]
    commands = [line for line in comments if line.startswith("meld-lightning ")]
    prose = [line for line in comments if line not in commands and not line.startswith("@package")]
    yield f"### `{path.stem}` {{ #{path.stem} }}"
    yield _fenced("bash", "\n".join(commands)) if commands else ""
    yield " ".join(prose)
    yield _settings(path)
    if group == "study":
        yield tables_of_study(path.stem)
        own = path.parent / "tables" / path.name
        yield _settings(own) if own.is_file() else ""


def _settings(path: Path) -> str:
    """A config file without its comments, below its name."""
    lines = path.read_text().splitlines()
    settings = [line for line in lines if line and not line.startswith("#")]
    name = path.relative_to(conf_dir()).as_posix()
    return _fenced("yaml", "\n".join([f"# conf/{name}", *settings]))


def _options(group: str) -> list[str]:
    return ["local", "slurm"] if group == LAUNCHER else [path.stem for path in _files(group)]


def _files(group: str) -> list[Path]:
    return sorted((conf_dir() / group).glob("*.yaml"))


def _linked(option: str) -> str:
    return f"[`{option}`](#{option})"


def _code(text: str) -> str:
    return f"`{text}`"


def _slug(group: str) -> str:
    return group.rpartition("/")[2]


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def _fenced(language: str, text: str) -> str:
    return f"```{language}\n{text}\n```"


def _joined(*blocks: str) -> str:
    return "\n\n".join(block.strip() for block in blocks if block) + "\n"
