"""The page says what results.csv, the runs and the fusions say, from the evidence alone."""

import csv
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from meld_lightning.page.answers import answers
from meld_lightning.runs.run import load_run
from tests.page.rendered import data_of, mistakes, page_of, unpacked
from tests.page.reports import report_of

STUDY, TABLE = "ravdess", "pipeline_fusion"
WORDS = (f"tables=[{TABLE}]", "study.seeds=[1]")  # one seed: composing the others takes seconds


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return page_of(STUDY, tmp_path_factory.mktemp("page"), *WORDS)


@pytest.fixture(scope="module")
def data(page: Path) -> dict[str, Any]:
    return data_of(page)


@pytest.fixture(scope="module")
def evidence(page: Path) -> Path:
    return page.parents[2] / "experiments" / STUDY


def test_every_figure_of_a_table_is_that_of_results_csv(
    data: dict[str, Any], evidence: Path
) -> None:
    with (evidence / TABLE / "results.csv").open(newline="") as file:
        records = list(csv.DictReader(file))
    (table,) = data["tables"]["tables"]
    assert len(table["rows"]) == 5
    for row in table["rows"]:
        for metric, cell in zip(table["metrics"], row["cells"], strict=True):
            name = metric.split("/")[1]
            of_cell = [one for one in records if (one["row"], one["metric"]) == (row["key"], name)]
            (mean,) = (one for one in of_cell if not one["seed"])
            assert [cell["value"], cell["low"], cell["high"]] == pytest.approx(
                [float(mean[key]) for key in ("value", "low", "high")]
            )
            assert row["runs"] == [one["run"] for one in of_cell if one["seed"]]
            assert row["n"] == int(mean["n"])


def test_every_row_says_what_it_stands_for(data: dict[str, Any]) -> None:
    (table,) = data["tables"]["tables"]
    glosses = {row["label"]: row["gloss"] for row in table["rows"]}
    assert glosses["average"] == (
        "A weighted mean of probabilities over the modalities that an utterance has"
        " (corpus.test=clips.csv, fusion=average)"
    )
    assert glosses["constant (joy)"].startswith("Predicts the most common label of train")
    assert all(glosses.values())


def test_the_claim_of_a_table_is_what_its_tests_say(data: dict[str, Any]) -> None:
    (table,), (claim,) = data["tables"]["tables"], data["overview"]["claims"]
    assert claim["row"] == "T+A+V"
    verdicts = {row["label"]: row["tests"] for row in table["rows"] if row["tests"]}
    assert {label: tests["weighted_f1"]["verdict"] for label, tests in verdicts.items()} == {
        "T": "worse",
        "A": "same",
        "average": "same",
        "constant (joy)": "worse",
    }
    (reference,) = (row for row in table["rows"] if row["label"] == claim["row"])
    assert claim["value"] == reference["cells"][1]["value"]
    assert [found["verdict"] for found in claim["tested"]] == ["better", "same"]
    for found in claim["tested"]:
        assert found["total"] == 4
        for row in found["rows"]:
            tests = verdicts[row["label"]]["weighted_f1"]
            assert OPPOSITE[tests["verdict"]] == found["verdict"]
            assert row["difference"] == -tests["value"]
    named = [[row["label"] for row in found["rows"]] for found in claim["tested"]]
    assert named == [["T", "constant (joy)"], ["A", "average"]]


OPPOSITE = {"better": "worse", "worse": "better", "same": "same"}


def test_the_overview_answers_what_a_reader_asks_first(data: dict[str, Any]) -> None:
    found = {one["question"]: one for one in data["overview"]["answers"]}
    (table,) = data["tables"]["tables"]
    rows = {row["label"]: row for row in table["rows"]}
    cell = rows["T+A+V"]["cells"][1]
    value, low, high = (f"{cell[key]:.4f}"[1:] for key in ("value", "low", "high"))
    assert found["Which fusion won?"]["text"] == (
        f"**T+A+V** reaches weighted F1 {value} [{low}, {high}] on 52 test utterances."
        " It scores highest of the table's 2 fusions."
    )
    assert found["By how much, and is that real?"]["text"].startswith(
        f"{short(-rows['A']['tests']['weighted_f1']['value'])} in weighted F1 against **A**, the"
        " best single modality; 95 % interval of this difference alone ["
    )
    assert found["By how much, and is that real?"]["text"].endswith(
        " The table's test finds no clear difference. Caution: all utterances belong to actor_01"
        " and are taken as independent."
    )
    assert found["By how much, and is that real?"]["links"][0]["params"] == {
        "a": f"{TABLE}/T+A+V",
        "b": f"{TABLE}/A",
    }
    row = row_figures(data)
    found_f1 = zip(row["labels"], row["f1"], row["support"], strict=True)
    f1 = {label: one for label, one, support in found_f1 if support}
    worst = min(f1, key=lambda label: f1[label]["value"])
    assert found["Which emotion fails?"]["text"].startswith(
        f"**{worst}** has the lowest F1: {f1[worst]['value']:.4f}".replace(" 0.", " .")
    )
    of_class = f"the interval overlaps that of {len(f1) - 1} other emotions."
    assert of_class in found["Which emotion fails?"]["text"]


def test_the_highest_row_comes_first_where_the_study_names_what_it_compares_with(
    tmp_path: Path,
) -> None:
    report = report_of("meld_imbalance", tmp_path, "table.imbalance.against=inverse")
    won = next(one for one in answers(report) if one.question == "Which row won?")
    assert won.text.startswith(
        "**none** scores highest of the table's 6 rows, .6087, and is better"
    )
    assert " **inverse** reaches weighted F1 .5461 " in won.text


def short(value: float) -> str:
    return f"{value + 0.0:+.4f}".replace("0.", ".", 1).replace("-", "−")


def row_figures(data: dict[str, Any]) -> dict[str, Any]:
    return next(one for one in data["figures"]["rows"] if one["row"] == "T+A+V")


def test_a_modality_fixed_what_it_alone_and_the_fusion_get_right(data: dict[str, Any]) -> None:
    (answer,) = (
        one for one in data["overview"]["answers"] if one["question"].startswith("What did each")
    )
    fusion = row_figures(data)["runs"][0]
    runs, true = data["predictions"]["runs"], unpacked(data["predictions"]["sets"][0]["true"])
    right = {
        name: unpacked(runs[source]["predicted"]) == true
        for name, source in data["runs"][fusion]["alone"].items()
    }
    fused = unpacked(runs[fusion]["predicted"]) == true
    shown = {}
    for link in answer["links"][:-1]:
        assert (link["params"]["a"], link["params"]["kind"]) == (fusion, "right")
        shown[link["params"]["right"].removeprefix("only-")] = int(link["text"].split()[1])
    others = {name: np.any([right[one] for one in right if one != name], axis=0) for name in right}
    expected = {name: int((fused & right[name] & ~others[name]).sum()) for name in right}
    assert shown == {name: n for name, n in expected.items() if n}
    assert sum(expected.values()) > 0


def test_a_modality_alone_is_the_row_of_the_same_table(data: dict[str, Any]) -> None:
    (table,) = data["tables"]["tables"]
    runs = {row["label"]: row["runs"] for row in table["rows"]}
    (fusion,) = runs["T+A+V"]
    one = data["runs"][fusion]
    assert [one["alone"]["text"]] == runs["T"] != [one["sources"]["text"]]
    assert [one["alone"]["audio"]] == runs["A"] != [one["sources"]["audio"]]
    assert one["alone"]["video"] == one["sources"]["video"]  # no row of the table fuses it alone


def test_links_to_mistakes_lead_to_some(data: dict[str, Any]) -> None:
    (answer,) = (
        one for one in data["overview"]["answers"] if one["question"].startswith("Which emotion")
    )
    worst = answer["text"].split("**")[1]
    filters = {
        f"Utterances of {worst} that it misses": "emotion",
        f"Utterances wrongly predicted as {worst}": "predicted",
    }
    links = {one["text"]: one["params"] for one in answer["links"] if one["section"] == "explorer"}
    assert links
    for text, params in links.items():
        assert params == {"a": params["a"], filters[text]: worst, "kind": "wrong"}
        assert mistakes(data, params).any()


def test_a_caution_stands_once_and_names_rows_of_one_label(data: dict[str, Any]) -> None:
    doubts = {one["text"]: one["tables"] for one in data["overview"]["doubts"]}
    assert len(doubts) == len(data["overview"]["doubts"])
    (dead,) = (text for text in doubts if text.startswith("T predicts "))
    (table,) = data["tables"]["tables"]
    assert doubts[dead] == {TABLE: table["title"]}
    (run,) = next(row["runs"] for row in table["rows"] if row["label"] == "T")
    (label,) = set(unpacked(data["predictions"]["runs"][run]["predicted"]))
    name = data["runs"][run]["labels"][label]
    assert dead == (f"T predicts {name} for every utterance, so that a win over it means little.")
    against = {
        row["label"]: row["only"]
        for found in data["overview"]["claims"][0]["tested"]
        for row in found["rows"]
    }
    assert against == {"T": name, "A": "", "average": "", "constant (joy)": ""}


def test_predictions_are_those_of_the_runs(data: dict[str, Any], evidence: Path) -> None:
    found = data["predictions"]
    assert set(found["runs"]) == set(data["runs"])
    assert found["corpus"] == [None]
    for name, one in found["runs"].items():
        run, of_set = load_run(evidence / "runs" / name), found["sets"][one["set"]]
        predicted, true = unpacked(one["predicted"]), unpacked(of_set["true"])
        assert (predicted == true).mean() == pytest.approx(run.result.metrics["test"]["accuracy"])
        probabilities = unpacked(one["probabilities"]).reshape(len(true), -1) / 255
        assert probabilities.sum(1) == pytest.approx(1, abs=0.02)
        assert of_set["keys"] == list(run.logits("test")["key"])


def test_a_run_names_its_commit_its_settings_and_the_command_that_makes_it_again(
    data: dict[str, Any], evidence: Path
) -> None:
    kinds = set()
    for name, shown in data["runs"].items():
        run = load_run(evidence / "runs" / name)
        command = shown["command"].split()
        kinds.add(command[1])
        assert command[:2] == ["meld-lightning", "fuse" if shown["sources"] else "train"]
        assert f"seed={run.result.seed}" in command
        assert "corpus.root=CORPUS" in command
        assert shown["commit"] == run.result.commit
        assert f"seed: {run.result.seed}\n" in shown["config"]
        for modality, source in shown["sources"].items():
            assert f"runs.{modality}=experiments/{STUDY}/runs/{source}" in command
    assert kinds == {"train", "fuse"}


def test_who_is_right_when_others_are_wrong_agrees_with_the_fusions(
    data: dict[str, Any], evidence: Path
) -> None:
    figures = data["figures"]
    (one,) = (
        found for found in figures["complements"] if figures["rows"][found["row"]]["row"] == "T+A+V"
    )
    details = [json.loads(path.read_text()) for path in fusions(evidence, figures, one["row"])]
    oracle = np.mean([each["oracle"] for each in details])
    assert one["oracle"] == pytest.approx(oracle, abs=1e-4)
    fixed = np.mean([each["fixes"]["text"]["audio"] for each in details])
    shown = sum(
        subset["n"]
        for subset in one["subsets"]
        if "audio" in subset["right"] and "text" not in subset["right"]
    )
    assert shown == pytest.approx(fixed, abs=0.02)


def fusions(evidence: Path, figures: dict[str, Any], row: int) -> Iterator[Path]:
    return (evidence / "runs" / name / "fusion.json" for name in figures["rows"][row]["runs"])


def test_what_the_evidence_cannot_show_is_said(data: dict[str, Any]) -> None:
    missing = {one["id"]: one["missing"] for one in data["figures"]["groupings"]}
    assert "run `report` where the corpus is prepared" in missing["length"]
    assert "corpus.votes=FILE" in missing["agreement"]
    assert all(one["missing"] or one["rows"] for one in data["figures"]["groupings"])


@pytest.mark.slow
def test_the_same_evidence_gives_the_same_bytes(page: Path, tmp_path: Path) -> None:
    again = page_of(STUDY, tmp_path, *WORDS)
    assert again.read_bytes() == page.read_bytes()
