"""What MkDocs calls while it builds the site: adds the generated config reference, and shows links
to files outside docs/ as their paths.

Named in mkdocs.yml.
"""

import re
from typing import Any

from mkdocs.structure.files import File, Files

from docs.hooks.reference import pages

LEAVES_DOCS = re.compile(r"\[([^]]+)\]\(\.\./([^)#]+)(?:#[^)]*)?\)")


def on_files(files: Files, config: Any) -> Files:
    """Adds the pages of the config reference, which no file holds."""
    for path, text in pages().items():
        files.append(File.generated(config, path, content=text))
    return files


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Called with each page; those of the reference link to nothing outside docs/."""
    return shown_as_path(markdown)


def shown_as_path(markdown: str) -> str:
    """`[results](../experiments/x.csv)` as `results: experiments/x.csv`: the site holds docs/
    alone."""
    return LEAVES_DOCS.sub(_as_path, markdown)


def _as_path(link: re.Match[str]) -> str:
    text, path = link[1].strip("`"), link[2]
    return f"`{path}`" if path.endswith(text) else f"{text}: `{path}`"
