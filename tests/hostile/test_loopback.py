"""The two servers answer this machine alone, under their own names, and with a strict policy."""

import importlib.util
import ipaddress

import pytest

from meld_lightning.inference.demo.answer import problem_html
from meld_lightning.inference.demo.library import HOST
from meld_lightning.page.serve import Server

PAGE = '<html><script src="a.js"></script><script>one()</script><script type="x">two()</script>'


def test_both_listen_on_the_loopback_address_alone() -> None:
    with Server(0) as server:
        assert ipaddress.ip_address(str(server.server_address[0])).is_loopback
    assert ipaddress.ip_address(HOST).is_loopback


@pytest.mark.skipif(importlib.util.find_spec("fastapi") is None, reason="needs the extra demo")
def test_the_demo_refuses_other_hosts_and_runs_the_pages_own_scripts_alone() -> None:
    from fastapi.responses import HTMLResponse
    from starlette.testclient import TestClient

    from meld_lightning.inference.demo.policy import guarded_app

    app = guarded_app()
    app.get("/")(lambda: HTMLResponse(PAGE))
    app.get("/data")(lambda: {"a": 1})
    client = TestClient(app, base_url=f"http://{HOST}:7860")
    answer = client.get("/")
    assert answer.text == PAGE
    scripts = answer.headers["Content-Security-Policy"].split("script-src ")[1].split(";")[0]
    hashed = [one for one in scripts.split() if one.startswith("'sha256-")]
    assert len(hashed) == 2
    assert "'unsafe-inline'" not in scripts
    assert "'unsafe-eval'" not in scripts
    assert "frame-ancestors 'none'" in client.get("/data").headers["Content-Security-Policy"]
    for host in ("evil.example", "127.0.0.1.evil.example", "0.0.0.0", "[::1]"):
        assert client.get("/", headers={"Host": host}).status_code == 400


def test_what_the_demo_says_stays_text() -> None:
    shown = problem_html("<img src=x>\n\n# [a](http://b) \n<b>")
    assert "<img" not in shown
    assert "\n" not in shown  # a blank line would end the HTML, and Markdown begin
