"""The run that a hash, its beginning, a name or a folder stands for."""

from pathlib import Path

import pytest

from meld_lightning.errors import UserError
from meld_lightning.runs.names import find_folder
from tests.listing.made import made_run


def test_a_run_is_found_by_hash_beginning_name_and_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    runs = Path("runs")
    folder = made_run(runs, "abcd11112222", **{"optimizer.lr": 1e-4})
    made_run(runs, "abce11112222")
    for given in ("abcd11112222", "abcd", "bert-lr:1e-4-seed:1", str(folder), "runs/text-bert/x"):
        expected = folder if given != "runs/text-bert/x" else Path(given)
        assert find_folder(given, runs) == expected


@pytest.mark.parametrize(
    ("given", "line"),
    [
        ("abc", "abc: the hashes of 2 runs begin so (abcd11112222, abce11112222); give more of it"),
        ("bert-seed:1", "bert-seed:1: 2 runs have this name; give the hash of one"),
        ("bert-seed:2", "no run in runs has this hash or name (did you mean 'bert-seed:1'?)"),
        ("ffff", "ffff: no run in runs has this hash or name"),
    ],
)
def test_what_stands_for_no_run_or_several_is_refused(
    given: str, line: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    made_run(Path("runs"), "abcd11112222")
    made_run(Path("runs"), "abce11112222")
    with pytest.raises(UserError) as error:
        find_folder(given, Path("runs"))
    assert line in str(error.value)
