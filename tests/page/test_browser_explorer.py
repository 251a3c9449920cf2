"""The explorer and the comparison in a real browser, from a file on disk."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
import pytest

from meld_lightning.media import prepare_media
from meld_lightning.page.study_report import StudyReport
from meld_lightning.page.write import page_html
from meld_lightning.report.comparisons import difference
from meld_lightning.report.scored import Scored
from meld_lightning.report.statistics import jackknife
from tests.media.conftest import encode_clip
from tests.page.reports import corpus_of, report_of
from tests.page.test_explorer import SETTINGS

pytestmark = pytest.mark.slow
HOSTILE = "<script>window.hacked = 1</script><img src=x onerror='window.hacked = 2'>"
MODALITIES = ("text", "audio", "video")


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> StudyReport:
    """Two tables of the ravdess study, with texts, votes and one clip made up for its fusions'
    utterances."""
    folder = tmp_path_factory.mktemp("explorer")
    tables = "tables=[pipeline_modalities,pipeline_fusion,table_audio]"
    found = report_of("ravdess", folder, tables)
    fused = rows(found)["pipeline_fusion", "T+A+V"][0]
    keys = list(fused.keys)
    texts = [f"Sentence {place}." for place in range(len(keys))]
    texts[1] = HOSTILE
    true = [fused.labels[place] for place in fused.true]
    corpus = corpus_of(keys, texts, true, fused.labels)
    corpus.table["votes.joy"] = 4
    corpus.table["votes.neutral"] = 1
    encode_clip(folder / "one.mp4", frames=60)
    corpus.table.loc[0, "clip"] = str(folder / "one.mp4")
    media = prepare_media(corpus.table, corpus.name, SETTINGS, folder, processes=1)
    return replace(found, corpus=corpus, media=media)


@pytest.fixture(scope="module")
def address(report: StudyReport, tmp_path_factory: pytest.TempPathFactory) -> str:
    path: Path = tmp_path_factory.mktemp("page") / "index.html"
    path.write_text(page_html(report), encoding="utf-8")
    return path.as_uri()


@pytest.fixture
def page(browser: Any) -> Iterator[Any]:
    """A page that must not complain, nor ask any host for anything."""
    context = browser.new_context(viewport={"width": 1440, "height": 900})
    shown = context.new_page()
    wrong: list[str] = []
    shown.on("console", lambda message: wrong.append(message.text))
    shown.on("pageerror", lambda error: wrong.append(str(error)))
    asked: list[str] = []
    shown.on("request", lambda request: asked.append(request.url.partition(":")[0]))
    yield shown
    context.close()
    assert wrong == []
    assert set(asked) <= {"file", "data", "about"}


def rows(report: StudyReport) -> dict[tuple[str, str], tuple[Scored, ...]]:
    return {(one.table.name, row.key): row.scored for one in report.results for row in one.rows}


def right(report: StudyReport) -> dict[str, np.ndarray]:
    """Who is right about each utterance, in the first seed."""
    found = rows(report)
    fused = found["pipeline_fusion", "T+A+V"][0]
    modalities = {name: found["pipeline_modalities", name][0] for name in MODALITIES}
    return {"fusion": fused.true == fused.predicted} | {
        name: (one.true == one.predicted) & one.present for name, one in modalities.items()
    }


def status(page: Any) -> int:
    """How many utterances the list says that it has."""
    return int(page.inner_text("#section-explorer [role=status]").split(" of ")[0])


def choose(page: Any, name: str, value: str) -> None:
    page.select_option(f"#section-explorer [name={name}]", value)


def test_filters_find_what_the_predictions_say(
    page: Any, address: str, report: StudyReport
) -> None:
    who = right(report)
    page.goto(f"{address}#explorer")
    assert status(page) == len(who["fusion"])
    choose(page, "kind", "wrong")
    assert status(page) == (~who["fusion"]).sum() > 0
    any_right = who["text"] | who["audio"] | who["video"]
    choose(page, "kind", "missed")
    assert status(page) == (~who["fusion"] & any_right).sum() > 0
    choose(page, "kind", "")
    choose(page, "right", "audio-not-text")
    assert status(page) == (who["audio"] & ~who["text"]).sum() > 0
    choose(page, "right", "only-audio")
    assert status(page) == (who["audio"] & ~who["text"] & ~who["video"]).sum() > 0
    page.get_by_role("button", name="Clear").click()
    choose(page, "readers", "4")
    assert status(page) == len(who["fusion"])
    choose(page, "readers", "tie")
    assert status(page) == 0
    page.get_by_role("button", name="Clear").click()
    choose(page, "emotion", "joy")
    fused = rows(report)["pipeline_fusion", "T+A+V"][0]
    assert status(page) == (fused.true == fused.labels.index("joy")).sum() > 0


def test_a_starting_point_has_as_many_utterances_as_it_says(page: Any, address: str) -> None:
    page.goto(f"{address}#explorer")
    links = page.locator("#section-explorer .starts a")
    assert links.count() == 7
    for place in range(links.count()):
        said = int(links.nth(place).locator(".count").inner_text())
        links.nth(place).click()
        assert status(page) == said


def test_text_of_the_corpus_stays_text(page: Any, address: str) -> None:
    page.goto(f"{address}#explorer")
    page.fill("#section-explorer [name=q]", "hacked = 1 ada")
    assert status(page) == 1
    assert HOSTILE in page.inner_text("#section-explorer .matches")
    assert page.inner_text("#section-explorer blockquote") == HOSTILE
    assert page.evaluate("window.hacked") is None
    assert page.locator("#main script, #main img[src=x]").count() == 0


def test_an_utterance_shows_its_clip_its_votes_and_its_dialogue(page: Any, address: str) -> None:
    page.goto(f"{address}#explorer")
    one = page.locator("#section-explorer .utterance")
    assert "joy 4, neutral 1" in one.inner_text()
    assert "Dialogue 7, turn 1 of 52" in one.inner_text()
    assert one.locator("img.strip").evaluate("image => image.naturalWidth") == 3 * 112
    assert one.locator("svg.waveform path").count() == 1
    one.get_by_text("next →").click()
    assert one.locator("blockquote").inner_text() == HOSTILE
    assert one.locator("img, svg.waveform").count() == 0


def test_a_missing_modality_predicts_nothing(
    page: Any, report: StudyReport, tmp_path: Path
) -> None:
    path = tmp_path / "index.html"
    complete = page_html(report)
    path.write_text(complete.replace('"absent":[]', '"absent":[0]'), encoding="utf-8")
    page.goto(f"{path.as_uri()}#explorer")
    cells = page.locator("#section-explorer .matches tbody tr").first.locator("td")
    _, *modalities, fused = cells.all_inner_texts()
    assert modalities == ["missing"] * len(MODALITIES)
    assert fused[0] in "✓✗"
    line = page.locator("#section-explorer .probabilities tbody tr").first.locator("td")
    assert line.all_inner_texts()[:-1] == ["–"] * len(MODALITIES)


def test_a_shared_link_opens_the_utterance(page: Any, address: str) -> None:
    page.goto(f"{address}#explorer?kind=wrong&p=2")
    page.get_by_role("button", name="Clear").click()
    page.locator("#section-explorer .matches tbody a").nth(9).click()
    shown = page.inner_text("#section-explorer blockquote")
    assert shown == "Sentence 9."
    link = page.get_by_role("link", name="Link to this utterance").get_attribute("href")
    page.goto("about:blank")
    page.goto(f"{address}{link}")
    assert page.inner_text("#section-explorer blockquote") == shown
    page.goto(f"{address}#explorer?u=nobody")
    assert "This run has no utterance nobody." in page.inner_text("#section-explorer [role=status]")


def test_the_keyboard_alone_reads_the_list(page: Any, address: str) -> None:
    page.goto(f"{address}#explorer")
    page.locator("#section-explorer .matches tbody a").first.focus()
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    assert page.inner_text("#section-explorer blockquote") == "Sentence 2."
    current = page.locator("#section-explorer .matches [aria-current=true]")
    assert "Sentence 2." in current.inner_text()


def test_a_phone_shows_the_list_or_one_utterance(page: Any, address: str) -> None:
    page.set_viewport_size({"width": 390, "height": 844})
    page.goto(f"{address}#explorer")
    assert page.is_hidden("#section-explorer .utterance")
    page.locator("#section-explorer .matches tbody a").nth(2).click()
    assert page.is_visible("#section-explorer .utterance")
    assert page.is_hidden("#section-explorer .matches")
    assert page.evaluate("document.activeElement.tagName") == "H3"
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    page.get_by_text("Back to the list").click()
    assert page.is_visible("#section-explorer .matches")


def run(report: StudyReport, table: str, row: str, seed: int = 0) -> str:
    found = {(one.table.name, key.key): key for one in report.results for key in one.rows}
    return str(found[table, row].runs[seed].result.hash)


def test_two_runs_stand_side_by_side(page: Any, address: str, report: StudyReport) -> None:
    a, b = run(report, "pipeline_fusion", "T+A+V"), run(report, "pipeline_fusion", "average")
    page.goto(f"{address}#explorer?a={a}&b={b}")
    headers = page.locator("#section-explorer .matches thead th").all_inner_texts()
    assert headers == ["utterance", "true", *MODALITIES, "A", "B"]
    choose(page, "kind", "only-a")
    found = rows(report)
    first, second = (found["pipeline_fusion", row][0] for row in ("T+A+V", "average"))
    gained = (first.true == first.predicted) & (second.true != second.predicted)
    assert status(page) == gained.sum() > 0


def printed(value: float, low: float, high: float) -> str:
    """A difference as the page prints it."""
    sign = "−" if value < 0 else "+"
    low_text, high_text = (short(end).replace("-", "−") for end in (low, high))
    return f"{sign}{short(abs(value))} [{low_text}, {high_text}]"


def short(value: float) -> str:
    return re.sub(r"^(-?)0\.", r"\1.", f"{value:.4f}")


@pytest.mark.parametrize(
    ("a", "b", "paired"),
    [
        (("pipeline_fusion", "T+A+V"), ("pipeline_modalities", "audio"), True),
        (("pipeline_modalities", "text"), ("pipeline_modalities", "audio"), False),
        (("table_audio", 0), ("table_audio", 1), False),
    ],
)
def test_differences_are_those_of_the_tables_statistics(
    page: Any, address: str, report: StudyReport, a: Any, b: Any, paired: bool
) -> None:
    found = rows(report)
    keys = [key for key in found if key[0] == "table_audio" and found[key]]
    a, b = (keys[one[1]] if isinstance(one[1], int) else one for one in (a, b))
    address += f"#compare?a={quote('/'.join(a), safe='')}&b={quote('/'.join(b), safe='')}"
    page.goto(address)
    tables = page.locator("#section-compare .compared")
    shown = {
        line[0]: line[-1].replace("\n", " ")
        for line in (
            row.locator("th, td").all_inner_texts()
            for row in tables.first.locator("tbody tr").all()
        )
    }
    ours, theirs = jackknife(found[a]), jackknife(found[b])
    for name, metric in (
        ("weighted F1", "weighted_f1"),
        ("accuracy", "accuracy"),
        ("macro F1", "macro_f1"),
    ):
        one = difference(ours[metric], theirs[metric], paired=paired)
        assert shown[name] == printed(one.value, one.low, one.high)


def test_what_changed_between_two_rows_is_linked_into_the_explorer(
    page: Any, address: str, report: StudyReport
) -> None:
    a, b = "pipeline_fusion%2FT%2BA%2BV", "pipeline_fusion%2Faverage"
    page.goto(f"{address}#compare?a={a}&b={b}")
    link = page.locator("#section-compare .changes a").first
    said = int(link.inner_text().removeprefix("A right, B wrong: "))
    link.click()
    assert status(page) == said > 0
    assert page.input_value("#section-explorer [name=kind]") == "only-a"
    page.get_by_role("link", name="Compare A and B").click()
    assert page.locator("#section-compare .changes a").first.inner_text().endswith(f": {said}")
    page.go_back()
    page.go_back()
    page.get_by_role("button", name="Swap").click()
    swapped = page.locator("#section-compare .changes a", has_text="B right, A wrong")
    assert swapped.inner_text() == f"B right, A wrong: {said}"


def test_without_the_corpus_keys_and_labels_are_left(
    page: Any, report: StudyReport, tmp_path: Path
) -> None:
    path = tmp_path / "index.html"
    path.write_text(page_html(replace(report, corpus=None, media=None)), encoding="utf-8")
    page.goto(f"{path.as_uri()}#explorer")
    assert "Texts, speakers, frames and sound are left out" in page.inner_text("#section-explorer")
    key = rows(report)["pipeline_fusion", "T+A+V"][0].keys[1]
    page.fill("#section-explorer [name=q]", key)
    assert page.locator("#section-explorer .utterance h3").inner_text() == key
