"""The page on loopback: for this machine alone, under its policy, and new when a run finishes."""

import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from meld_lightning.errors import UserError
from meld_lightning.page import serve as module
from meld_lightning.page.document import document
from meld_lightning.page.serve import Server, serve
from tests.running import HANGS_S


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    page = tmp_path / "index.html"
    page.write_text(document("A study", {"overview": {"note": "first"}}), encoding="utf-8")
    with Server(0) as server:
        server.show(page)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


def test_the_page_is_served_under_the_policy_that_it_states_itself(server: Server) -> None:
    with urllib.request.urlopen(server.address, timeout=HANGS_S) as answer:
        policy, text = answer.headers["Content-Security-Policy"], answer.read().decode()
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
    stated, _, own = policy.rpartition("; ")
    assert own == "frame-ancestors 'none'"
    assert f'content="{stated}"' in text
    assert "connect-src 'self'" in policy
    assert "'unsafe-inline'" not in policy.split("script-src")[1].split(";")[0]


@pytest.mark.parametrize(("host", "status"), [("evil.example", 421), ("localhost", 421)])
def test_other_names_of_this_machine_are_refused(server: Server, host: str, status: int) -> None:
    request = urllib.request.Request(server.address, headers={"Host": host})
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(request, timeout=HANGS_S)
    assert refused.value.code == status
    refused.value.close()


def test_no_file_but_the_page_is_served(server: Server) -> None:
    for path in ("index.htm", "../index.html", "version/"):
        with pytest.raises(urllib.error.HTTPError) as refused:
            urllib.request.urlopen(server.address + path, timeout=HANGS_S)
        assert refused.value.code == 404
        refused.value.close()


def test_a_taken_port_is_one_line(server: Server) -> None:
    port = server.server_port
    with pytest.raises(UserError, match=f"port={port}: address already in use; give another"):
        Server(port)


def test_the_page_is_built_again_when_a_run_finishes_and_stays_where_that_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(module, "LOOK_S", 0.01)
    stop = threading.Event()
    built: list[int] = []

    def build() -> Path:
        built.append(len(built))
        if len(built) == 2:
            finish("second")
            raise UserError("one table cannot show both")
        if len(built) == 3:
            stop.set()
        page = tmp_path / "index.html"
        page.write_text(document("A study", {"overview": {"note": len(built)}}), encoding="utf-8")
        if len(built) == 1:
            finish("first")
        return page

    def finish(name: str) -> None:
        (tmp_path / "runs" / "text-bert" / name).mkdir(parents=True)
        (tmp_path / "runs" / "text-bert" / name / "result.json").write_text("{}")

    serve(build, tmp_path / "runs", 0, stop)
    assert built == [0, 1, 2]
    assert "the page stays as it is: one table cannot show both" in caplog.text
