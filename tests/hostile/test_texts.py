"""Hostile texts: on the command line they are values or one line of error, and in pages, Markdown
and LaTeX they stay text."""

import html.parser
import json
import re
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import pytest
from hydra import compose, initialize_config_dir
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException
from hypothesis import example, given
from omegaconf.errors import OmegaConfBaseException

from meld_lightning.commands.composition import explain
from meld_lightning.commands.hydra_app import check_values
from meld_lightning.commands.words import taken_apart
from meld_lightning.config.check import check
from meld_lightning.config.nodes import Demo
from meld_lightning.errors import UserError
from meld_lightning.inference.demo.answer import problem_html
from meld_lightning.page.document import json_block
from meld_lightning.report.latex import page_latex
from meld_lightning.report.markdown import page_markdown
from meld_lightning.report.page import Grid, Page
from tests.hostile.mutated import answers, cases, fewer_cases, made, some_text
from tests.running import CHECKOUT

pytestmark = pytest.mark.slow

SYMBOLS = r"""<script> </script> <!-- --> ]]> &lt; & | \ $ % { } ~ ^ _ # ` * [ ] [a](b) ![x](y)
' " = , : ../ http://a.b ${oc.env:HOME} \input{/etc/passwd} \write18{ls} é"""
MARKUP = (
    *SYMBOLS.split(),
    *("<img src=x onerror=a()>", "- ", "> ", "\n", "\n\n", "\r"),
    *("\u2028", "\u202e", "\x00", "\x1b[0m"),
)
KEYS = ("port", "from", "risk", "asr", "device", "paths.cache", "nothing", "hydra.run.dir",
        "allow_mini", "")  # fmt: skip


def marked_up(draw: Random) -> str:
    """Up to six pieces of markup and of anything."""
    return "".join(
        draw.choice(MARKUP) if draw.random() < 0.5 else some_text(draw)
        for _ in range(draw.randrange(7))
    )


def word(draw: Random) -> str:
    """One word of a command line: half of them set a key."""
    text = marked_up(draw)
    if draw.random() < 0.5:
        return text
    return f"{draw.choice(('', '+', '++', '~'))}{draw.choice(KEYS)}={text}"


TEXTS = made(marked_up)
WORDS = made(lambda draw: [word(draw) for _ in range(draw.randint(1, 3))])


def explained(words: list[str], read: Callable[[list[str]], Any]) -> Any:
    """What `read` makes of the words for Hydra; None where they are refused in one line."""
    found = taken_apart(words, ("from",))
    assert sum(map(len, (found.named, found.rest, *found.literal.values()))) == len(words)

    def one_line() -> Any:
        check_values(found.rest)
        try:
            return read(found.rest)
        except (HydraException, OmegaConfBaseException) as error:
            raise UserError(explain(error, "demo", found.rest)) from error

    return answers(one_line)


@cases
@given(words=WORDS)
@example(words=["port=1" + "0" * 5000])
@example(words=["port=" + "[" * 5000])
def test_words_on_the_command_line_are_parsed_or_refused(words: list[str]) -> None:
    explained(words, OverridesParser.create().parse_overrides)


@fewer_cases
@given(words=WORDS)
def test_words_on_the_command_line_are_settings_or_refused(words: list[str]) -> None:
    def composed(rest: list[str]) -> Any:
        with initialize_config_dir(str(CHECKOUT / "conf"), version_base="1.3"):
            cfg = compose("demo", rest)
        check(cfg, Demo)
        return cfg

    before = sorted(Path.cwd().iterdir())
    cfg = explained(words, composed)
    assert sorted(Path.cwd().iterdir()) == before
    assert cfg is None or 1 <= cfg.port <= 65535


class Elements(html.parser.HTMLParser):
    """The elements, attributes and text of a page."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.text = ""
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        self.tags.append(tag)

    def handle_comment(self, data: str) -> None:
        self.tags.append("comment")

    def handle_data(self, data: str) -> None:
        self.text += data


@cases
@given(text=TEXTS)
def test_texts_in_a_page_stay_text(text: str) -> None:
    block = Elements(json_block("name", {text: [text]}))
    assert block.tags == ["script"]
    assert json.loads(block.text) == {text: [text]}
    shown = Elements(problem_html(text))
    assert shown.tags == ["div", "p"]
    assert shown.text.split() == text.replace("\x00", "\ufffd").split() or "\x00" in text


def page_of(text: str) -> Page:
    text = f"T{text}"
    grid = Grid(text, ["row", text], [[text, "1"], ["x", text]])
    said = f"Note: {text}"
    return Page("name", text, "Of the study", [grid], [said], [said], [said])


@cases
@given(text=TEXTS)
def test_texts_in_markdown_stay_text(text: str) -> None:
    """Rendered, the page has the elements of one with plain texts, and no others."""
    from markdown import markdown

    shown = Elements(markdown(page_markdown(page_of(text)), extensions=["tables"]))
    plain = Elements(markdown(page_markdown(page_of("plain")), extensions=["tables"]))
    assert set(shown.tags) <= {*plain.tags, "em", "strong", "code"} - {"img", "script", "a"}
    assert shown.tags.count("table") == 1
    assert shown.tags.count("td") == 4


COMMANDS = {  # what page_latex itself writes
    *("usepackage", "begin", "end", "centering", "caption", "label", "par", "medskip", "resizebox"),
    *("ifdim", "width", "linewidth", "else", "fi", "toprule", "midrule", "bottomrule", "smallskip"),
    *("footnotesize", "textbackslash", "textasciitilde", "textasciicircum", "pm", "leq"),
}


@cases
@given(text=TEXTS)
def test_texts_in_latex_stay_text(text: str) -> None:
    written = page_latex(page_of(text))
    plain = page_latex(page_of("plain")).split("\n", 1)[1]
    assert set(re.findall(r"\\([a-zA-Z@]+)", written)) <= COMMANDS
    unescaped = re.sub(r"\\[&%$#_{}\\]", "", written.split("\n", 1)[1])
    plain = re.sub(r"\\[&%$#_{}\\]", "", plain)
    assert unescaped.count("&") == plain.count("&")
    assert unescaped.count("%") == plain.count("%")
    assert "\n\n" not in written
