"""docs/errors.md quotes messages that the package has; `…` stands for what differs."""

import ast
import re
import signal
from functools import cache

from tests.running import CHECKOUT

PAGE = (CHECKOUT / "docs/errors.md").read_text()


def quoted() -> list[str]:
    """The messages and reasons in the first column of the page's tables."""
    cells = [line.split(" | ")[0] for line in PAGE.splitlines() if line.startswith("| ")]
    return [message for cell in cells for message in re.findall(r"`([^`]+)`", cell)]


@cache
def texts() -> str:
    """Every string of the package on a line of its own, with `…` for what is put into it."""
    trees = [ast.parse(path.read_text()) for path in (CHECKOUT / "meld_lightning").rglob("*.py")]
    found = [text_of(node) for tree in trees for node in ast.walk(tree)]
    return "\n".join(text.replace("\n", " ") for text in found if text)


def text_of(node: ast.AST) -> str:
    if isinstance(node, ast.JoinedStr):
        return "".join(text_of(value) or "…" for value in node.values)
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else ""


def occurs(message: str) -> bool:
    return re.search(".*".join(map(re.escape, message.strip("…").split("…"))), texts()) is not None


def test_every_message_on_the_page_is_one_of_the_package() -> None:
    messages = quoted()
    assert len(messages) > 40
    assert [message for message in messages if not occurs(message)] == []


def test_the_exit_statuses_are_those_of_the_code() -> None:
    from meld_lightning.launching.exits import STOPPED, TRY_AGAIN

    by_signal = [128 + signal.SIGKILL, 128 + signal.SIGPIPE]
    of_make = 2
    stated = [int(status) for status in re.findall(r"^\| (\d+) \| ", PAGE, re.M)]
    assert stated == [0, 1, TRY_AGAIN, STOPPED, *by_signal, of_make]
