"""The demo's page: in a real browser, and what it shows of wrong files."""

import importlib.util
import re
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest

from meld_lightning.commands import demo as command
from meld_lightning.errors import UserError
from meld_lightning.inference.demo import page as demo_page
from meld_lightning.inference.demo.answer import answer_html, calibration, problem_html
from meld_lightning.inference.predictor import Asked
from meld_lightning.inference.val_scores import ValScores
from tests.inference.answered import LABELS, answer
from tests.media.conftest import encode_clip
from tests.running import HANGS_S, argv, environment

HANGS_MS = 1000 * HANGS_S
needs_gradio = pytest.mark.skipif(
    importlib.util.find_spec("gradio") is None, reason="needs pip install '.[demo]'"
)


def val_scores(confidence: float, right: int, wrong: int) -> ValScores:
    p = np.array([confidence, (1 - confidence) / 2, (1 - confidence) / 2])
    labels = np.array([0] * right + [1] * wrong)
    return ValScores(LABELS, np.tile(p, (len(labels), 1)), labels)


def test_an_answer_names_emotion_shares_and_how_often_such_answers_are_right() -> None:
    row = answer("a", 0.125, 0.625, 0.25, missing={"video": "<b>no track</b>"})
    shown = answer_html(pd.DataFrame([row]), val_scores(0.6, 15, 5))
    text = re.sub("<[^>]*>", " ", shown)
    assert "joy, 62%" in text
    assert text.index("joy") < text.index("anger") < text.index("neutral")
    assert "text 75%, audio 25%" in " ".join(text.split()).replace(" ,", ",")
    assert "Missing: video (&lt;b&gt;no track&lt;/b&gt;)" in text
    assert "Of the 20 val utterances with a similar confidence (within 10%), 75% were" in text
    row["abstained"] = True
    unsure = answer_html(pd.DataFrame([row]), val_scores(0.6, 15, 5))
    assert "Too uncertain to answer (most probable: joy, 62%)" in unsure
    row["used"] = ()
    unread = answer_html(pd.DataFrame([row]), val_scores(0.6, 15, 5))
    assert "Nothing could be read (most probable: joy, 62%)" in unread


def test_few_answers_of_such_a_confidence_are_not_compared_with() -> None:
    assert calibration(0.9, val_scores(0.6, 15, 5)).startswith("Too few of the 20 val utterances")


def test_a_problem_is_one_escaped_line() -> None:
    assert "&lt;script&gt;" in problem_html("<script>")


def test_an_answer_stands_though_the_video_model_reads_none_of_the_frames(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(clips: list[np.ndarray]) -> pd.DataFrame:
        raise UserError("none of the items can be read: no face found")

    encode_clip(tmp_path / "mine.mp4", frames=20)
    source = SimpleNamespace(members={"video": None}, calibrated=val_scores(0.6, 15, 5))
    given = pd.DataFrame([answer("mine.mp4", 0.125, 0.625, 0.25)])
    predictor: Any = SimpleNamespace(source=source, labels=LABELS, answer=lambda *_: given)
    monkeypatch.setattr(demo_page, "Predictor", lambda *_, **__: refuse)
    demo = demo_page.Demo(predictor, Asked(), None, [])
    shown, frames, _, _ = demo.answer(str(tmp_path / "mine.mp4"), None, "Oh, no!")
    assert "joy, 62%" in shown
    assert {caption for _, caption in frames} == {""}


@pytest.mark.slow
def test_a_demo_that_cannot_start_is_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "gradio", None)  # as where it is not installed
    for arguments, said in (
        ([], "give from=FOLDER"),
        (["from=runs/none"], "gradio is not installed; run: pip install 'meld-lightning[demo]'"),
        (["from=runs/none", "port=0"], "port"),
    ):
        with pytest.raises((UserError, SystemExit)) as error:
            command.main(arguments)
        assert said in str(error.value) + capsys.readouterr().err


@pytest.fixture(scope="module")
def address(finished: Path) -> Iterator[str]:
    """The address of a demo over a text run of the mini corpus."""
    port = str(free_port())
    arguments = argv("demo", f"from={finished}", f"port={port}", "allow_mini=true")
    process = subprocess.Popen(
        arguments, cwd=finished.parents[2], env=environment(), stdout=subprocess.PIPE, text=True
    )
    assert process.stdout
    found = next((line for line in process.stdout if line.startswith("http://")), "")
    yield found.split()[0] if found else ""
    process.terminate()
    process.wait()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.mark.slow
@needs_gradio
@pytest.mark.parametrize("width", [1280, 390])
def test_the_page_answers_in_a_browser_and_asks_no_other_host(
    address: str, browser: Any, width: int, tmp_path: Path
) -> None:
    encode_clip(tmp_path / "mine.mp4", frames=40)
    with browser.new_page(viewport={"width": width, "height": 900}) as page:
        failed: list[str] = []
        answered: list[str] = []
        page.on("pageerror", lambda error: failed.append(str(error)))
        page.on("response", lambda response: answered.append(response.url))
        page.goto(address)
        page.set_input_files("input[type=file]", str(tmp_path / "mine.mp4"))
        page.get_by_label("Text", exact=True).fill("I am so happy for you!")
        page.get_by_role("button", name="Predict").click()
        page.wait_for_selector(".answer h3", timeout=HANGS_MS)
        page.wait_for_function("document.querySelectorAll('.grid-wrap img').length >= 4")
        said = page.inner_text(".answer")
        wide = page.evaluate("document.documentElement.scrollWidth")
        page.get_by_label("Text", exact=True).fill("")
        page.get_by_role("button", name="Predict").click()
        page.wait_for_selector("[role=alert]", timeout=HANGS_MS)
        problem = page.inner_text("[role=alert]")
    assert re.match(r"\w+, \d+%", said)
    assert "text 100%" in said
    assert "val utterances" in said
    assert wide <= width
    assert problem.startswith("mine.mp4: nothing to predict from (text:")
    assert not failed
    others = {url for url in answered if not url.startswith((address, "data:", "blob:"))}
    assert not others


@pytest.mark.slow
@needs_gradio
def test_other_names_of_this_machine_are_refused(address: str) -> None:
    request = urllib.request.Request(address, headers={"Host": "evil.example"})
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(request)
    assert refused.value.code == 400
    refused.value.close()
