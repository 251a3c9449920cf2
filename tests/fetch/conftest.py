"""A server of a small MELD, and the questions that `fetch` asks on the terminal."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from meld_lightning.corpus.labels import SPLITS
from meld_lightning.fetch.meld import fetch
from meld_lightning.fetch.request import Request
from meld_lightning.fetch.sources import Contents, Published
from tests.fetch.archives import CLIPS, csv_of, meld_archive, published
from tests.fetch.server import Handler, Server, serving
from tests.fetch.test_download import QUICK

ARCHIVE = meld_archive()
NAMES = {"train": "train", "val": "dev", "test": "test"}
ALL = Contents(dict.fromkeys(SPLITS, CLIPS), dict.fromkeys(SPLITS, CLIPS), 1)


@dataclass
class Site:
    """A server of the small MELD, and what was asked on the terminal."""

    server: Server
    published: Published
    files: dict[str, bytes]
    asked: list[str]
    answer: bool = True

    def ask(self, terms: str) -> bool:
        self.asked.append(terms)
        return self.answer

    def fetch(self, to: Path, **request: Any) -> Contents:
        return fetch(Request(to, **request), self.published, self.ask, QUICK)

    @property
    def requests(self) -> int:
        return len(self.server.ranges)


@pytest.fixture
def site() -> Iterator[Site]:
    files = {f"{name}_sent_emo.csv": csv_of(split) for split, name in NAMES.items()}
    files |= {"MELD.Raw.tar.gz": ARCHIVE}

    def behave(handler: Handler, _: int) -> None:
        name = handler.path.rpartition("/")[2]
        if name not in files:
            return handler.answer(404, b"")
        handler.given.content = files[name]
        return handler.serve()

    with serving(behave=behave) as server:
        base = server.url.rpartition("/")[0]
        urls = (f"{base}/dead/gone.tar.gz", f"{base}/mirror/MELD.Raw.tar.gz")
        yield Site(server, published(ARCHIVE, urls, base), files, [])
