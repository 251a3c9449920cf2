"""`runs compare`: what differs, the paired test on val, and pairs that cannot be compared."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from meld_lightning.report.comparisons import comparisons
from meld_lightning.report.scored import scored
from meld_lightning.runs.run import load_run
from tests.listing.made import UNITS, made_run


def test_settings_provenance_and_the_test_of_the_report(
    runs: Path, said: Callable[..., str], data: Callable[..., Any]
) -> None:
    one = made_run(runs, "aaaa11112222", 0.9, **{"optimizer.lr": 1e-3})
    other = made_run(runs, "bbbb11112222", 0.4, seed=2, torch_version="2.1")
    found = data("compare", "aaaa", "bbbb")
    assert found["settings"] == {"seed": ["1", "2"], "optimizer.lr": ["1e-3", "2e-5"]}
    assert found["provenance"] == {"torch": ["2.0", "2.1"]}
    assert found["units"] == UNITS
    pair = [[scored(load_run(folder), "val")] for folder in (one, other)]
    expected = comparisons(pair[:1], pair[1])[0]["weighted_f1"]
    tested = found["tests"]["weighted_f1"]
    assert tested["difference"] == pytest.approx(expected.value)
    assert (tested["low"], tested["high"]) == (expected.low, expected.high)
    assert tested["p"] == expected.p
    text = said("compare", "aaaa", "bbbb")
    assert "fewer than 20 units: interval and p are approximate" in text
    assert "0.9876" not in text  # of test


def test_what_cannot_be_compared_is_refused_in_one_line(
    runs: Path, refused: Callable[..., str]
) -> None:
    meld: dict[str, Any] = {"corpus.name": "meld"}
    made_run(runs, "aaaa11112222")
    made_run(runs, "bbbb11112222", corpus_digest="1" * 12, **meld)
    assert "aaaa and aaaa1 are the same run" in refused("compare", "aaaa", "aaaa1")
    line = refused("compare", "aaaa", "bbbb")
    assert "were made from different corpora (mini and meld): compare runs of one" in line
    assert "no run in runs has this hash" in refused("compare", "aaaa", "cccc")
