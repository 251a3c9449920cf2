"""The documentation of single arguments, from the Args section of a docstring. Used by
`signatures`."""

import inspect
import re


def argument_docs(docstring: str | None) -> dict[str, str]:
    """Argument name -> its entry in the Args section (Google style), on one line.

    An entry may name several arguments: `batch_size, sampling: ...` documents both.
    """
    docs: dict[str, str] = {}
    names: list[str] = []
    indent: int | None = None
    for line in _args_section(inspect.cleandoc(docstring or "").splitlines()):
        depth = len(line) - len(line.lstrip())
        indent = depth if indent is None else indent
        entry = re.match(r"\s*(\*{0,2}\w+(?:, \w+)*)(?: \([^)]*\))?: *(.*)", line)
        if depth == indent and entry:
            names = entry[1].split(", ")
            docs |= dict.fromkeys(names, entry[2])
        else:
            docs |= {name: f"{docs[name]} {line.strip()}".strip() for name in names}
    return docs


def _args_section(lines: list[str]) -> list[str]:
    if "Args:" not in lines:
        return []
    section = []
    for line in lines[lines.index("Args:") + 1 :]:
        if line and not line[0].isspace():
            break
        if line.strip():
            section.append(line)
    return section
