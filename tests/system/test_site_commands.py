"""Every command and snippet of docs/ works: those that a machine without MELD, cluster and network
can run are run, page by page, and the others are composed and checked."""

import csv
import re
from pathlib import Path

import numpy as np
import pytest
from hydra import compose, initialize_config_dir

from meld_lightning import load_corpus, load_run
from meld_lightning.commands.predict import LITERAL
from meld_lightning.commands.words import taken_apart
from meld_lightning.config.check import check
from meld_lightning.config.nodes import COMMANDS, Common, Runs
from tests.pages import NAMES, NOT_HERE, blocks, commands, files, is_run, ours, replaced, words
from tests.running import CHECKOUT, argv, run, run_well

OF_A_CORPUS = [name for name, node in COMMANDS.items() if issubclass(node, Common)]
OF_TABLES = ("dashboards", "doctor", "report", "reproduce")  # test_compose composes their files
OTHERS = ("cd", "export", "git", "make", "mkdir", "npm", "pip", "python", "source", "wandb")
MELD = CHECKOUT.parent / "shared/data/meld"
MINI_CLIP, MINI_TEXT = "cache/mini/train_splits/dia0_utt0.mp4", "Y’know I've seen it"


RUN = [page for page in NAMES if any(is_run(page, command) for command in ours(page))]
COMPOSED = sorted(
    {command for page in NAMES for command in ours(page) if not is_run(page, command)}
)
SNIPPETS = [
    (page, number)
    for page in NAMES
    for number, block in enumerate(blocks(page, "python"))
    if block not in files(page).values() and page != "data_cards.md"  # has a test of its own
]


def test_every_command_line_is_one_of_ours_or_of_a_known_program() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (CHECKOUT / "Makefile").read_text(), re.M))
    for page in NAMES:
        for command in set(commands(page)) - set(ours(page)):
            program, first, *_ = [*command.split(), ""]
            assert program in OTHERS, f"{page}: {command}"
            assert program != "make" or first in targets, f"{page}: {command}"
            assert program != "python" or (CHECKOUT / first).is_file(), f"{page}: {command}"


def test_the_pages_show_commands_to_run_and_to_compose() -> None:
    assert {"start.md", "own_corpus.md", "own_model.md", "predict.md"} <= set(RUN)
    assert len(COMPOSED) > 15
    for mark in NOT_HERE:
        assert any(mark in command for command in COMPOSED), f"no page has {mark} any more"


@pytest.mark.slow
@pytest.mark.parametrize("command", COMPOSED)
def test_a_command_that_cannot_be_run_here_passes_the_check(command: str) -> None:
    checked(command)


@pytest.mark.slow
def test_the_commands_that_config_files_begin_with_pass_the_check() -> None:
    """The config reference shows them as the example of each option."""
    lines = [
        line.removeprefix("# ").removesuffix(" ...")
        for path in sorted((CHECKOUT / "conf").rglob("*.yaml"))
        for line in path.read_text().splitlines()
        if line.startswith("# meld-lightning ")
    ]
    quick = [line for line in set(lines) - set(COMPOSED) if line.split()[1] not in OF_TABLES]
    assert len(quick) > 40
    for line in quick:
        checked(line)


def checked(command: str) -> None:
    """Composes a command line and checks every key and value, as the command does first."""
    _, name, *rest = words(command, Path())
    rest = taken_apart(rest, LITERAL if name == "predict" else ()).rest
    overrides = [re.sub(r"=([^\[,]+),.*", r"=\1", word) for word in rest if "=" in word]
    if "corpus.root" not in command and name in OF_A_CORPUS:
        overrides.append("corpus.root=elsewhere")
    if name == "runs":  # other keys than its own select runs
        overrides = [word for word in overrides if word.partition("=")[0] in Runs.model_fields]
    with initialize_config_dir(str(CHECKOUT / "conf"), version_base="1.3"):
        check(compose(name, overrides), COMMANDS[name])


@pytest.fixture
def place(over_started: Path) -> Path:
    """A folder with finished runs and the files that the pages' examples name."""
    folder = over_started
    (folder / "experiments").symlink_to(CHECKOUT / "experiments")
    (folder / "clips").mkdir()
    for name in ("my clip (2).mov", "clips/one.mp4", "clips/two.mp4", "clip.mp4", "a.mp4", "b.mp4"):
        clip = MINI_CLIP.replace("utt0", "utt1") if "two" in name else MINI_CLIP
        (folder / name).symlink_to((folder / clip).resolve())
    write_csv(folder / "table.csv", ["clip", "text"], [["clips/one.mp4", MINI_TEXT]])
    write_own_corpora(folder)
    write_votes(folder)
    for page in ("own_corpus.md", "own_model.md"):
        for name, content in files(page).items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_text(content)
    return folder


def write_csv(path: Path, header: list[str], rows: list[list[str]]) -> None:
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([header, *rows])


def write_own_corpora(folder: Path) -> None:
    """The tables that docs/own_corpus.md names."""
    said = {"glad": "What a lovely day", "cross": "Leave me alone", "plain": "It leaves at nine"}
    turns = [
        [f"d{dialogue}u{turn}", f"{text} number {turn}", emotion, "Ann", f"d{dialogue}"]
        for dialogue in range(12)
        for turn, (emotion, text) in enumerate(said.items())
    ]
    write_csv(folder / "my_utterances.csv", ["id", "text", "emotion", "speaker", "dialogue"], turns)
    moods = [
        [key, text, {"glad": "happy"}.get(emotion, emotion)] for key, text, emotion, *_ in turns
    ]
    write_csv(folder / "other_names.csv", ["id", "utterance", "mood"], moods)
    table = load_corpus(folder / "cache/mini").table
    heard = table[table["clip"].notna()].groupby(["split", "emotion"]).head(2)
    heard = heard.replace({"emotion": {"joy": "very happy"}})
    rows = heard[["key", "text", "emotion", "split", "clip"]].to_numpy().tolist()
    write_csv(folder / "my_clips.csv", ["id", "said", "emotion", "split", "clip"], rows)


def write_votes(folder: Path) -> None:
    """votes.csv of docs/imported.md: the probabilities of the text run."""
    run_of_text = load_run(only(folder, "text-bert"))
    for number, split in enumerate(("val", "test")):
        logits = run_of_text.logits(split).set_index("key").filter(like="logit.")
        shares = np.exp(logits).div(np.exp(logits).sum(axis=1), axis=0)
        shares.columns = [name.removeprefix("logit.") for name in shares.columns]
        shares.to_csv(folder / "votes.csv", mode="a" if number else "w", header=not number)


def only(folder: Path, kind: str) -> Path:
    """The run of a kind that was there before the page's commands."""
    (found,) = [run for run in (folder / "runs" / kind).glob("*") if run.is_symlink()]
    return found


def stands_for(folder: Path) -> dict[str, str]:
    """What the names in the pages' examples are in `folder`."""
    text, audio = only(folder, "text-bert").name, only(folder, "audio-mfcc").name
    names = {
        f"runs/{kind}/HASH": f"runs/{kind}/{only(folder, kind).name}"
        for kind in ("text-bert", "fusion-chosen")
    }
    names |= {"4cbbf4": text[:6], "2cb47b": audio[:6]}
    if votes := list(folder.glob("runs/votes-imported/*")):
        names["f8daaa"] = votes[0].name
    return {**names, "Oh, no! I don't know": MINI_TEXT, "Oh, no!": MINI_TEXT}


@pytest.mark.slow
@pytest.mark.parametrize("page", sorted({*RUN} - {"start.md"}))  # which `started` has run
def test_the_commands_of_a_page_run(page: str, place: Path) -> None:
    if page == "predict.md":  # names an export that docs/export.md makes
        run_well(argv("export", f"from={only(place, 'fusion-chosen')}", "to=my_model"), place)
    for command in ours(page):
        if is_run(page, command):
            _, *given = words(replaced(command, stands_for(place)), place)
            done = run(argv(*given), place)
            assert done.returncode == 0, f"{command}\n{done.stdout[-2000:]}\n{done.stderr[-2000:]}"


@pytest.mark.slow
@pytest.mark.parametrize(("page", "number"), SNIPPETS)
def test_a_snippet_runs(
    page: str, number: int, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import meld_lightning.media as media

    monkeypatch.chdir(place)
    if "my_model" in (snippet := blocks(page, "python")[number]):
        run_well(argv("export", f"from={only(place, 'fusion-chosen')}", "to=my_model"), place)
    clip = place / MINI_CLIP
    given = {"frames": media.read_frames(clip), "waveform": media.read_waveform(clip)}
    allowed = re.sub(r"(from_pretrained\([^)]+)\)", r"\1, allow_mini=True)", snippet)
    exec(compile(replaced(allowed, stands_for(place)), page, "exec"), given)


def test_the_snippet_for_ravdess_writes_the_table_of_its_recordings(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("Actor_02/03-01-05-01-02-01-02", "Actor_13/03-01-05-01-02-01-13"):
        path = tmp_path / "ravdess" / f"{name}.wav"
        path.parent.mkdir(parents=True)
        path.touch()
    (snippet,) = blocks("data_cards.md", "python")
    exec(compile(snippet, "data_cards.md", "exec"), {})
    with (tmp_path / "ravdess/speech.csv").open(newline="") as file:
        (row,) = csv.DictReader(file)
    assert row == {
        "id": "03-01-05-01-02-01-02",
        "audio": "Actor_02/03-01-05-01-02-01-02.wav",
        "text": "Dogs are sitting by the door.",
        "emotion": "anger",
        "speaker": "actor_02",
    }


@pytest.mark.slow
@pytest.mark.skipif(not MELD.is_dir(), reason=f"MELD's CSV files are not in {MELD}")
def test_the_way_to_a_table_of_meld(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data/MELD").symlink_to(MELD)
    trainings = ("study.seeds", " train ")
    way = [
        one
        for one in ours("start.md")
        if "data/MELD" in one and not any(word in one for word in trainings)
    ]
    assert len(way) == 2
    for command in way:
        run_well(argv(*words(command, tmp_path)[1:]), tmp_path)
    table = (tmp_path / "experiments/meld_minilm/table_01/table.md").read_text()
    shown = [block for block in blocks("start.md", "text") if "found here" in block]
    assert shown[0].strip() in table
