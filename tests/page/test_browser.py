"""The page in a real browser, from disk: it draws, sorts, opens runs, follows shared links, asks
for nothing, and axe finds nothing serious in it."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.page.rendered import data_of, mistakes, rendered
from tests.running import HANGS_S

AXE = Path(__file__).with_name("axe.min.js")
HANGS_MS = 200 * HANGS_S  # of one action in the browser
WIDTHS = {"wide": 1440, "narrow": 390}
pytestmark = pytest.mark.slow

LABEL = "menu => menu.selectedOptions[0].textContent"
Open = Callable[..., Any]


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return rendered("ravdess", tmp_path_factory) / "reports" / "ravdess" / "index.html"


@pytest.fixture
def visit(browser: Any, file: Path) -> Iterator[Open]:
    """visit(fragment) -> the page, opened there; fails on what the console or the network says."""
    said: list[str] = []
    asked: list[str] = []
    opened = []

    def visited(fragment: str = "", width: int = 1440, scheme: str = "light") -> Any:
        size = {"width": width, "height": 900}
        context = browser.new_context(viewport=size, color_scheme=scheme, bypass_csp=False)
        context.set_default_timeout(HANGS_MS)
        opened.append(context)
        page = context.new_page()
        page.on("console", lambda message: said.append(f"{message.type}: {message.text}"))
        page.on("pageerror", lambda error: said.append(str(error)))
        page.on("request", lambda request: asked.append(request.url))
        page.goto(f"{file.as_uri()}{fragment}")
        return page

    yield visited
    for context in opened:
        context.close()
    assert said == []
    assert {url.partition("#")[0] for url in asked} <= {file.as_uri()}


def section_names(page: Any) -> list[str]:
    return list(page.eval_on_selector_all(".top nav a", "all => all.map((a) => a.hash.slice(1))"))


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", WIDTHS.values(), ids=WIDTHS)
def test_every_section_draws_within_the_screen(visit: Open, width: int, scheme: str) -> None:
    page = visit("", width, scheme)
    names = section_names(page)
    assert names[:3] == ["overview", "tables", "figures"]
    for name in names:
        page.click(f".top nav a[href^='#{name}']")
        page.wait_for_selector(f"#section-{name}:not([hidden]) h2")
        assert page.evaluate("document.documentElement.scrollWidth") <= width, name
    drawn = page.eval_on_selector_all("#section-figures svg", "all => all.length")
    assert drawn >= 10
    # a figure whose data is wrong draws nothing, or draws it at no place
    assert page.eval_on_selector_all("svg [d*=NaN], svg [transform*=NaN]", "all => all.length") == 0


def test_a_header_sorts_its_table(visit: Open) -> None:
    page = visit("#tables")
    table = page.locator("table[data-table=pipeline_fusion]")
    labels = "all => all.map((row) => row.querySelector('th').textContent)"
    rows = table.locator("tbody tr")
    declared = rows.evaluate_all(labels)
    table.get_by_role("button", name="weighted F1", exact=True).click()
    assert rows.evaluate_all(labels) == ["A", "T+A+V", "average", "T", "constant (joy)"]
    assert table.locator("th[aria-sort=descending]").inner_text().startswith("weighted F1")
    table.get_by_role("button", name="weighted F1", exact=True).click()
    # equal figures keep their order
    assert rows.evaluate_all(labels) == ["T", "constant (joy)", "average", "T+A+V", "A"]
    page.reload()
    assert rows.evaluate_all(labels) == ["T", "constant (joy)", "average", "T+A+V", "A"]
    assert declared == ["T", "A", "average", "T+A+V", "constant (joy)"]
    table.get_by_role("button", name="weighted F1", exact=True).click()
    assert rows.evaluate_all(labels) == declared


def test_a_figure_opens_its_run_and_the_keyboard_closes_it(visit: Open, file: Path) -> None:
    page = visit("#tables")
    runs = data_of(file)["runs"]
    link = page.locator("table[data-table=table_audio] a.run-link").first
    link.focus()
    page.keyboard.press("Enter")
    panel = page.locator("dialog[open]")
    panel.wait_for()
    assert "audio-mfcc" in panel.inner_text()
    assert "Run 1 of the 3 behind “mfcc”" in panel.inner_text()
    commands = panel.locator("pre.command").inner_text()
    assert all(f"corpus.fold={fold} seed=1" in commands for fold in range(4))
    panel.get_by_role("button", name="fold 1").click()
    shown = panel.locator("h2 code").inner_text()
    text = panel.inner_text()
    assert runs[shown]["fold"] == "1"
    assert runs[shown]["commit"][:12] in text
    assert "meld-lightning train study=ravdess" in text
    assert panel.locator("svg").count() == 3
    page.keyboard.press("Escape")
    page.wait_for_selector("dialog:not([open])", state="attached")
    assert "run=" not in page.url
    page.wait_for_function("document.activeElement.matches('a.run-link')")
    assert link.evaluate("link => link === document.activeElement")


def test_the_first_tab_skips_the_header(visit: Open) -> None:
    page = visit("#tables")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.id") == "main"
    assert page.url.endswith("#tables")


def test_a_shared_link_shows_what_was_shared(visit: Open) -> None:
    page = visit("#figures?row=table_audio/mfcc&beside=table_audio/frozen&cells=counts")
    captions = page.locator(".matrix caption").all_inner_texts()
    assert captions == ["mfcc", "frozen", "mfcc − frozen, percentage points"]
    assert page.locator("select").first.input_value() == "table_audio/mfcc"
    cells = page.locator(".matrix").first.locator("tbody td:not(.total)").all_inner_texts()
    assert sum(int(cell.replace(",", "")) for cell in cells) == 3 * 720
    page.locator("select").first.select_option("table_audio/frozen_speeds")
    assert "row=table_audio%2Ffrozen_speeds" in page.url
    page.go_back()
    page.wait_for_function("document.querySelector('.matrix caption').textContent === 'mfcc'")


def test_the_answers_lead_to_what_they_speak_of(visit: Open, file: Path) -> None:
    page = visit("#overview")
    answers = data_of(file)["overview"]["answers"]
    assert page.locator(".answer").count() == len(answers) == 4
    for link in answers[-1]["links"][:-1]:  # "The 21 that audio alone got right"
        page.goto(page.url.partition("#")[0] + "#overview")
        page.get_by_role("link", name=link["text"]).click()
        assert listed(page) == int(link["text"].split()[1])
    mistaken = [one for one in answers[2]["links"] if one["section"] == "explorer"]
    assert mistaken
    for link in mistaken:  # "Utterances wrongly predicted as neutral"
        page.goto(page.url.partition("#")[0] + "#overview")
        page.get_by_role("link", name=link["text"]).click()
        assert listed(page) == mistakes(data_of(file), link["params"]).sum() > 0
    page.goto(page.url.partition("#")[0] + "#overview")
    page.get_by_role("link", name="Compare A+V and A", exact=True).first.click()
    menus = page.locator("#section-compare select")
    chosen = [menus.nth(place).evaluate(LABEL) for place in (0, 1)]
    assert [label.partition(" (")[0] for label in chosen] == ["A+V", "A"]
    page.goto(page.url.partition("#")[0] + "#overview")
    page.get_by_role("link", name="Scores of each emotion").click()
    assert page.locator("#figure-classes").is_visible()


def listed(page: Any) -> int:
    """How many utterances the explorer's list says that it has."""
    return int(page.inner_text("#section-explorer [role=status]").split(" of ")[0])


def test_a_narrow_table_shows_one_column_at_a_time(visit: Open) -> None:
    page = visit("#tables", 390)
    table = page.locator("table[data-table=pipeline_fusion]")
    assert table.locator("thead th:visible").all_inner_texts() == ["row", "weighted F1"]
    page.locator("#table-pipeline_fusion .column-menu select").select_option("test/accuracy")
    assert table.locator("thead th:visible").all_inner_texts() == ["row", "accuracy"]


def test_a_figure_without_anything_to_show_is_a_sentence(visit: Open) -> None:
    page = visit("#figures")
    lacking = " ".join(page.locator("#section-figures .lacking").all_inner_texts())
    assert "Accuracy by place in the dialogue: the corpus has no dialogues." in lacking
    assert "Weights of the modalities: 107 of 231 weightings score the same on val" in lacking
    assert page.locator("#figure-surface").count() == 0


def test_print_shows_all_printed_sections(visit: Open) -> None:
    page = visit("#overview")
    page.evaluate("window.dispatchEvent(new Event('beforeprint'))")
    assert page.locator("#section-figures:not([hidden]) svg").count() >= 10
    assert page.locator("#section-tables:not([hidden]) table").count() >= 4


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_serious(visit: Open, scheme: str) -> None:
    page = visit("", 1440, scheme)
    for fragment in [*(f"#{name}" for name in section_names(page)), "run"]:
        if fragment == "run":
            page.goto(page.url.partition("#")[0] + "#tables")
            page.locator("a.run-link").first.click()
        else:
            page.goto(page.url.partition("#")[0] + fragment)
        page.wait_for_timeout(100)
        page.evaluate(AXE.read_text())
        found = page.evaluate("axe.run(document, {resultTypes: ['violations']})")
        grave = [
            (one["id"], [node["html"][:120] for node in one["nodes"][:3]])
            for one in found["violations"]
            if one["impact"] in ("serious", "critical")
        ]
        assert grave == [], f"{fragment}: {json.dumps(grave, indent=1)}"
