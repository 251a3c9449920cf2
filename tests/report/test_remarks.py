"""What stands below a table: how to read it, and how its runs differ."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

Make = Callable[..., Any]
Spec = dict[str, Any]


def text_of(out: Path, table: str) -> str:
    return (out / table / "table.md").read_text()


def test_utterances_without_any_modality_are_counted_and_stay_in_n(render: Make, runs: Any) -> None:
    run = runs["table_02", "batch_16"][0]
    path = run.folder / "logits" / "test.parquet"
    frame = pd.read_parquet(path)
    frame.loc[:2, "present"] = False
    frame.to_parquet(path)
    text = text_of(render("table_03"), "table_03")
    assert (
        "predicted as the most common label of train, by a fitted fusion as that of val, and stay"
        " in n: 3 (batch_16)." in text
    )
    assert f"| {len(frame)} |" in text
    assert "without any of the row" not in text_of(render("table_02"), "table_02")


@pytest.mark.parametrize(
    ("unit_of", "resampled"),
    [
        (lambda key: key.split("_")[0], "40 dialogues"),
        (lambda key: f"actor_{int(key.split('utt')[1]) % 3}", "3 speakers"),
        (lambda key: "actor_1", "{n} utterances"),
        (lambda key: key.split("_")[0] if "dia0_" in key else "actor_1", "2 units"),
    ],
)
def test_the_resampled_units_are_named_and_counted(
    unit_of: Callable[[str], str], resampled: str, render: Make, runs: Any
) -> None:
    for (run,) in runs.values():
        path = run.folder / "logits" / "test.parquet"
        frame = pd.read_parquet(path)
        frame.assign(unit=frame["key"].map(unit_of)).to_parquet(path)
    text = text_of(render("table_03"), "table_03")
    number = resampled.format(n=len(frame))
    assert f"Brackets hold 95 % intervals over {number}. " in text
    few = int(number.split()[0]) < 20
    assert (f"Caution: with only {number}, intervals are approximate" in text) == few
    assert ("units are too few for a test, so no p-value is printed" in text) == few
    assert ("| too few units |" in text.replace("  ", "")) == few
    assert ("all utterances belong to actor_1 and are taken" in text) == ("utterances" in number)


def test_seeds_are_said_to_be_covered_only_where_there_are_several(
    render: Make, runs: Any, make_run: Make
) -> None:
    alone = "intervals and p-values do not cover the variance of seeds"
    text = text_of(render("table_03"), "table_03")
    assert alone in text
    assert "are swapped in 5000 random subsets of the units" in text
    for key in list(runs):
        runs[key] += [make_run("more" + "-".join(key), 0.5, 2)]
    text = text_of(render("table_03", seeds=[1, 2]), "table_03")
    assert alone not in text
    assert "carries the variance of units and of seeds" in text
    assert "exactly if the 95 % interval of the difference excludes zero" in text


def test_every_seed_is_shown_where_they_differ(render: Make, runs: Any, make_run: Make) -> None:
    for key in list(runs):
        skill = 0.9 if key[1] == "batch_16" else None
        if skill is None:
            runs[key] += [runs[key][0].again(2)]
        else:
            runs[key] += [make_run("more" + "-".join(key), skill, 2)]
    out = render("table_03", seeds=[1, 2])
    values = [run.result.metrics["test"]["accuracy"] for run in runs["table_02", "batch_16"]]
    each = ", ".join(f"{seed}: {value:.4f}" for seed, value in zip((1, 2), values, strict=True))
    text = text_of(out, "table_03")
    assert (
        f"Seeds of a figure with * differ by more than 0.02: batch_16, accuracy (seed {each})"
        in text
    )
    marked = [line.split("|")[1].strip() for line in text.splitlines() if "] * |" in line]
    assert marked == ["batch_16"]


def test_weights_are_named_and_rows_without_any_too(render: Make, runs: Any) -> None:
    runs["table_02", "batch_8"][0].change(checkpoint="no pretrained weights")
    text = text_of(render("table_03"), "table_03")
    assert "Pretrained weights: bundled:tiny (batch_8: none). n is the number of test" in text


def test_what_makes_figures_optimistic_is_said_where_it_applies(
    render: Make, runs: Any, tables: Spec
) -> None:
    out = render("table_02", "table_03", "table_06")
    val, test, chosen = (text_of(out, name) for name in ("table_02", "table_03", "table_06"))
    assert "Each run's epoch was also chosen on val" in val
    assert "Losses have no interval." in val
    assert "chosen on val" not in test
    assert "Our row is the one with the highest val/weighted_f1; test played no part" in chosen
    assert "over 1 seeds" not in test


def test_differing_provenance_is_noted(render: Make, runs: Any, make_run: Make) -> None:
    assert "in the same way" not in text_of(render("table_03"), "table_03")
    runs["table_02", "batch_16"][0].change(
        versions={"torch": "2.1"}, source="0b501e7e", commit="def456", device="NVIDIA H100"
    )
    out = render("table_03", "table_05")
    expected = (
        "Not all runs of this table were made in the same way: commits abc123 and def456;"
        " torch 2.0 and 2.1; devices cpu and NVIDIA H100."
    )
    assert expected in text_of(out, "table_03")
    assert expected in (out / "table_03" / "table.tex").read_text()
    assert "in the same way" not in text_of(out, "table_05")
