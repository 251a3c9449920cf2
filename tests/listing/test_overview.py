"""`runs list` and `runs best`: which runs are shown, in which order, and no figure of test."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from meld_lightning.runs.run import claimed
from tests.listing.made import made_run, unfinished_run

Said = Callable[..., str]


def order(shown: list[dict[str, Any]]) -> list[str]:
    return [one["hash"] for one in shown]


def test_a_list_shows_val_and_never_test(runs: Path, said: Said, data: Callable[..., Any]) -> None:
    made_run(runs, "aaaa11112222", 0.75)
    for text in (said("list"), said("best"), str(data()), str(data("best"))):
        assert "0.9876" not in text
        assert "0.75" in text  # a share of right answers is nearly its F1, with two even labels


def test_states_are_marked_and_a_damaged_run_does_not_end_the_list(
    runs: Path, said: Said, data: Callable[..., Any]
) -> None:
    made_run(runs, "aaaa11112222")
    unfinished_run(runs, "bbbb11112222")
    broken = made_run(runs, "cccc11112222")
    (broken / "result.json").write_text('{"best": ')
    held = unfinished_run(runs, "dddd11112222")
    with claimed(held):
        states = {one["hash"][:4]: one["state"] for one in data("list")}
        text = said("list")
    assert states == {
        "aaaa": "finished",
        "bbbb": "unfinished",
        "cccc": "damaged",
        "dddd": "running",
    }
    assert "cccc11112222: damaged result.json" in text
    assert {one["hash"][:4] for one in data("list", "state=unfinished")} == {"bbbb", "dddd"}


def test_settings_select_and_sort(runs: Path, data: Callable[..., Any]) -> None:
    made_run(runs, "aaaa11112222", 0.5, **{"optimizer.lr": 1e-3})
    made_run(runs, "bbbb11112222", 0.9, **{"optimizer.lr": 1e-4, "data.batch_size": 32})
    made_run(runs, "cccc11112222", 0.7, **{"optimizer.lr": 2e-4, "model.name": "roberta"})
    assert order(data("list", "optimizer.lr=0.001")) == ["aaaa11112222"]
    assert order(data("list", "optimizer.lr=1e-3")) == ["aaaa11112222"]
    assert order(data("list", "optimizer.lr=1e-3,1e-4", "sort=score"))[0] == "bbbb11112222"
    assert order(data("list", "model=roberta")) == ["cccc11112222"]
    assert [one[:4] for one in order(data("list", "sort=score"))] == ["bbbb", "cccc", "aaaa"]
    assert [one[:4] for one in order(data("list", "sort=optimizer.lr"))] == ["bbbb", "cccc", "aaaa"]
    assert data("list", "seed=7") == []


def test_names_say_what_differs_from_the_defaults(runs: Path, data: Callable[..., Any]) -> None:
    made_run(runs, "aaaa11112222")
    made_run(runs, "bbbb11112222", seed=2, **{"optimizer.lr": 1e-4, "data.batch_size": 32})
    names = {one["hash"][:4]: one["name"] for one in data("list")}
    assert names == {"aaaa": "bert-seed:1", "bbbb": "bert-batch_size:32-lr:1e-4-seed:2"}


def test_the_best_of_each_group_is_within_one_corpus(runs: Path, data: Callable[..., Any]) -> None:
    made_run(runs, "aaaa11112222", 0.5, **{"data.batch_size": 8})
    made_run(runs, "bbbb11112222", 0.9, **{"data.batch_size": 8})
    made_run(runs, "cccc11112222", 0.7)
    made_run(runs, "dddd11112222", 0.2, corpus_digest="1" * 12)
    found = data("best", "key=data.batch_size")
    assert [(one["value"], one["runs"], one["best"]["hash"][:4]) for one in found] == [
        ("8", 2, "bbbb"),
        ("16", 1, "cccc"),
        ("16", 1, "dddd"),
    ]


@pytest.mark.parametrize("columns", ["80", "160"])
def test_a_table_fits_the_terminal_and_has_no_colour_in_a_pipe(
    columns: str, runs: Path, said: Said, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", columns)
    settings: dict[str, Any] = {"optimizer.lr": 1e-4, "data.batch_size": 32, "data.context": "past"}
    made_run(runs, "aaaa11112222", **settings)
    unfinished_run(runs, "bbbb11112222")
    text = said("list")
    assert max(map(len, text.splitlines())) <= int(columns)
    assert "\x1b" not in text
    assert ("where" in text) == (columns == "160")


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["lst"], "runs lst: no such action (did you mean 'list'?); actions: list, show"),
        (["list", "modl=bert"], "modl=bert: no run here has the setting 'modl' (did you mean 'mod"),
        (["list", "srot=score"], "no run here has the setting 'srot' (did you mean 'sort'?)"),
        (["list", "lr=1"], "'lr' (did you mean 'optimizer.lr'?)"),
        (["list", "state=broken"], "state=broken: expected one of finished, running"),
        (["list", "sort=scroe"], "sort=scroe: expected when, score, size, name or a setting"),
        (["list", "aaaa"], "runs list takes no hash or name, 1 given"),
        (["best", "key=batch_size"], "'batch_size' (did you mean 'data.batch_size'?)"),
        (["list", "json=maybe"], "json='maybe': expected true or false"),
        (["list", "paths.runs=absent"], "absent: no such folder: there are no runs yet"),
        (["clean", "what=[all]"], "what=['all']: expected a list of unfinished, leftovers"),
        (["show"], "runs show takes one run, 0 given: meld-lightning runs show HASH"),
        (
            ["show", "aaaa", "model=bert"],
            "leave out model=bert; list, best, failed and clean select",
        ),
        (["compare", "aaaa"], "runs compare takes two runs, 1 given"),
    ],
)
def test_wrong_input_is_refused_in_one_line(
    arguments: list[str], line: str, runs: Path, refused: Said
) -> None:
    made_run(runs, "aaaa11112222")
    assert line in refused(*arguments)
