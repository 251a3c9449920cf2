"""The docs' site: it builds without warnings, loads nothing from another host, and its config
reference has every key that --help lists."""

import re
from dataclasses import fields
from html.parser import HTMLParser
from pathlib import Path

import pytest

from docs.hooks import reference
from docs.hooks.declared import keys_of_tables
from docs.hooks.events import shown_as_path
from meld_lightning.commands.cli import main
from meld_lightning.config.nodes import COMMANDS
from meld_lightning.study.spec import Table
from tests.pages import NAMES
from tests.running import CHECKOUT

CODE = re.compile(r"`([^`\n]+)`")
LOADED = {"script": "src", "link": "href", "img": "src", "iframe": "src", "source": "src"}


class Loaded(HTMLParser):
    """Addresses of everything that a page loads by itself."""

    def __init__(self) -> None:
        super().__init__()
        self.addresses: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        if tag in LOADED and given.get("rel") != "canonical":
            self.addresses.append(given.get(LOADED[tag]) or "")


def helped_keys(command: str, capsys: pytest.CaptureFixture[str]) -> set[str]:
    """The keys that `COMMAND --help` lists."""
    assert main([command, "--help"]) == 0
    return set(re.findall(r"^  ([a-z_.]+)=", capsys.readouterr().out, re.M))


def described(page: str) -> set[str]:
    """The keys that have a row of their own, with what they may be or their meaning."""
    rows = [line.split(" | ") for line in page.splitlines() if line.startswith("| `")]
    return {CODE.findall(row[0])[0] for row in rows if len(row) == 4 and any(row[1::2])}


@pytest.mark.parametrize("command", ["fetch", "train", "predict", "runs"])
def test_the_page_of_a_command_names_every_key_of_its_help(
    command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    keys = helped_keys(command, capsys)
    assert keys
    assert keys <= {key.strip("=") for key in CODE.findall(reference.command_page(command))}


def test_a_link_to_a_file_outside_docs_becomes_its_path() -> None:
    given = (
        "see [results](../experiments/a/b.csv), [report/rows.py](../meld_lightning/report/rows.py)"
    )
    assert shown_as_path(given) == (
        "see results: `experiments/a/b.csv`, `meld_lightning/report/rows.py`"
    )
    inside = "[statistics](statistics.md#groups), [hydra](https://hydra.cc)"
    assert shown_as_path(inside) == inside


def test_every_page_is_in_the_navigation() -> None:
    listed = re.findall(r"([\w/]+\.md)$", (CHECKOUT / "mkdocs.yml").read_text(), re.M)
    assert len(set(listed)) == len(listed)
    made = [reference.OVERVIEW, *(f"config/{name}.md" for name in reference.names())]
    assert set(listed) == {*NAMES, *made}


def test_every_key_of_a_table_has_a_row() -> None:
    declared = {one.name for one in fields(Table)} - {"name", "source"} | {"from", "product"}
    assert described(keys_of_tables()) == declared


@pytest.mark.slow
def test_the_page_of_studies_lists_the_tables_of_each() -> None:
    page = reference.pages()["config/study.md"]
    of_meld = page.partition("### `meld` ")[2].partition("### `")[0]
    assert (
        "| [`table_10`](table.md#table_10) | Table 10: multimodal fusion on test: `T`, " in of_meld
    )
    assert "tables=[agreement]" in of_meld
    assert page.count("# conf/study/tables/") == 8


@pytest.mark.slow
def test_every_key_of_every_help_has_a_row_on_the_commands_page_or_one_that_it_links(
    capsys: pytest.CaptureFixture[str],
) -> None:
    pages = reference.pages()
    for command in COMMANDS:
        own = pages[f"config/{command}.md"]
        linked = [pages[f"config/{name}"] for name in re.findall(r"\]\((\w+\.md)\)", own)]
        rows = {key for page in (own, *linked) for key in described(page)}
        groups = set(re.findall(r"^\| \[`([a-z_/]+)`\]", own, re.M))
        assert helped_keys(command, capsys) - rows - groups == set(), command


@pytest.mark.slow
def test_the_site_builds_strictly_and_loads_nothing_from_elsewhere(tmp_path: Path) -> None:
    from mkdocs.commands.build import build
    from mkdocs.config import load_config

    build(load_config(str(CHECKOUT / "mkdocs.yml"), strict=True, site_dir=str(tmp_path)))
    pages = sorted(tmp_path.rglob("*.html"))
    assert len(pages) > 40
    for page in pages:
        loaded = Loaded()
        loaded.feed(page.read_text())
        assert [one for one in loaded.addresses if "//" in one] == [], page
        assert loaded.addresses
    for style in tmp_path.rglob("*.css"):
        assert re.findall(r"url\(['\"]?(?:https?:)?//", style.read_text()) == [], style
