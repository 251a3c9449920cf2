"""What README, CONTRIBUTING and the other pages state is so: figures, links, files, choices."""

import csv
import re

import pytest
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from meld_lightning.commands.cli import COMMANDS
from tests.running import CHECKOUT
from tests.test_layers import ROOMS

README = (CHECKOUT / "README.md").read_text()
CONTRIBUTING = (CHECKOUT / "CONTRIBUTING.md").read_text()
PAGES = [
    "README.md",
    "CONTRIBUTING.md",
    "CHANGELOG.md",
    *sorted(f"docs/{path.name}" for path in (CHECKOUT / "docs").glob("*.md")),
]
MAIN_TABLES = {"meld_minilm": "table_03", "ravdess": "table_audio", "crema_d": "fusion"}


def table(page: str, first: str) -> list[list[str]]:
    """The lines of the page's table whose first header is `first`."""
    block = re.search(rf"^\| {re.escape(first)} \|.*?(?=\n\n|\Z)", page, re.M | re.S)
    assert block, first
    _, _, *lines = block[0].splitlines()
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def quoted(cell: str) -> list[str]:
    return re.findall(r"`([^`]+)`", cell)


def scores(study: str, name: str) -> list[dict[str, str]]:
    """The lines of weighted F1 in the results.csv of a study's table."""
    with (CHECKOUT / "experiments" / study / name / "results.csv").open(newline="") as file:
        return [one for one in csv.DictReader(file) if one["metric"] == "weighted_f1"]


def test_the_figures_of_the_readme_are_those_of_results_csv() -> None:
    shown = table(README, "study")
    assert [re.sub(r"\[(\w+)\].*", r"\1", line[0]) for line in shown] == list(MAIN_TABLES)
    for (study, name), line in zip(MAIN_TABLES.items(), shown, strict=True):
        _, row, value, interval, n, constant, commit = line
        records = scores(study, name)
        (mean,) = (one for one in records if one["row"] == row and not one["seed"])
        (baseline,) = (one for one in records if one["row"] == "baseline")
        assert value == f"{float(mean['value']):.4f}"
        assert interval == f"[{float(mean['low']):.4f}, {float(mean['high']):.4f}]"
        assert n == mean["n"]
        assert constant == f"{float(baseline['value']):.4f}"
        commits = {one["commit"][:7] for one in records if one["row"] == row and one["seed"]}
        assert set(quoted(commit)) == commits


def test_the_figures_of_the_model_cards_are_those_of_results_csv() -> None:
    rows = {study: line[1] for study, line in zip(MAIN_TABLES, table(README, "study"), strict=True)}
    shown = table((CHECKOUT / "docs/model_cards.md").read_text(), "study")
    assert [quoted(line[0])[0] for line in shown] == list(MAIN_TABLES)
    for (study, name), line in zip(MAIN_TABLES.items(), shown, strict=True):
        records = scores(study, name)
        (mean,) = (one for one in records if one["row"] == rows[study] and not one["seed"])
        value, low, high = (f"{float(mean[key]):.3f}"[1:] for key in ("value", "low", "high"))
        assert line[2] == f"{value} [{low}, {high}]"


def test_the_picture_of_the_page_is_small_and_comes_first() -> None:
    (picture,) = re.findall(r"!\[[^]]*\]\(([^)]+)\)", README)
    assert picture == "docs/page.png"
    assert (CHECKOUT / picture).stat().st_size < 300_000
    assert README.index(picture) < README.index("## ")


def test_the_readme_names_every_command_model_and_choice() -> None:
    def files(group: str) -> set[str]:
        return {path.stem for path in (CHECKOUT / "conf" / group).glob("*.yaml")}

    assert [quoted(line[0]) for line in table(README, "command")] == [[name] for name in COMMANDS]
    models = {name for line in table(README, "`model=`") for name in quoted(line[0])}
    assert models == files("model")
    keys = {quoted(line[0])[0]: set(line[1].split(", ")) for line in table(README, "key")}
    for group in ("fusion", "logger", "numerics"):
        assert keys[group] == files(group)


def test_the_readme_states_the_defaults() -> None:
    choices = {"numerics": "fp32", "fusion": "chosen", "logger": "none"}
    with initialize_config_dir(str(CHECKOUT / "conf"), version_base="1.3"):
        config = compose("train")
    for cells in table(README, "key"):
        (key,) = quoted(cells[0])
        default = choices.get(key) or str(OmegaConf.select(config, key))
        if key == "optimizer.lr":
            assert float(cells[2]) == config.optimizer.lr
        else:
            assert cells[2] == default.lower(), key


def test_contributing_names_every_room_in_the_order_of_imports() -> None:
    named = [name for line in table(CONTRIBUTING, "room") for name in quoted(line[0])]
    existing = [name for name in ROOMS if (CHECKOUT / "meld_lightning" / name).is_dir()]
    assert named == existing


def test_the_tour_names_existing_files() -> None:
    files = [name for line in table(CONTRIBUTING, "step") for name in quoted(line[1])]
    assert len(set(files)) == len(files) >= 20
    assert [name for name in files if not (CHECKOUT / "meld_lightning" / name).is_file()] == []


@pytest.mark.parametrize("page", PAGES)
def test_links_and_named_files_exist(page: str) -> None:
    text = (CHECKOUT / page).read_text()
    links = re.findall(r"\]\((?!http|config/)([^)#]+)\)", text)  # config/: made with the site
    assert [link for link in links if not (CHECKOUT / page).parent.joinpath(link).exists()] == []
    for name in re.findall(r"`([\w./]+/[\w.]+\.(?:py|md|csv|toml))`", text):
        places = [CHECKOUT, CHECKOUT / "meld_lightning"]
        assert "NAME" in name or any((place / name).is_file() for place in places), name


def test_the_versions_agree() -> None:
    project = (CHECKOUT / "pyproject.toml").read_text()
    version = re.search(r'^version = "(.+)"', project, re.M)
    assert version
    assert f"\nversion: {version[1]}\n" in (CHECKOUT / "CITATION.cff").read_text()
    assert f"\n## [{version[1]}] - " in (CHECKOUT / "CHANGELOG.md").read_text()


def test_the_readme_is_short() -> None:
    assert len(README.splitlines()) < 150
