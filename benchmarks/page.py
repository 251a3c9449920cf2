"""Size, building and opening of a study's page, by the number of its runs.

    python benchmarks/page.py --runs 60

Multiplies the committed runs of meld_minilm (12 runs of MELD's 2,610 test utterances) with noise on
their logits, as rows of three seeds each, and builds and opens the page of all of them:

    megabytes       size of index.html
    build_s         from the study's results to the written file; build_cpu_s: of the processor
    first_paint_ms  of Chromium, from disk, median of the visits
    filter_ms       from a filter of the explorer to the frame that shows it, median of the visits

Goals for 60 runs: 15 MB, 20 s, 1000 ms and 100 ms; a page of 300 runs has to open. Needs Chromium
and playwright. Writes into a temporary folder. Exit status 0, however fast or slow. The last line
printed is one JSON object.
"""

import argparse
import json
import shutil
import statistics
import sys
import tempfile
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
EVIDENCE = ROOT / "experiments" / "meld_minilm" / "runs"
TABLE, NOISE = "table_03", 0.3
GOALS = {"megabytes": 15.0, "build_s": 20.0, "first_paint_ms": 1000.0, "filter_ms": 100.0}
FILTERS = ("emotion=joy", "emotion=anger&predicted=neutral", "order=unsure", "")


@dataclass(frozen=True)
class Copied:
    """A committed run under another hash, with noise on its logits, which are read from disk at
    each call like any run's."""

    folder: Path
    config: Any
    result: Any
    run: Any
    number: int

    def logits(self, split: str) -> Any:
        return noisy(self.run, self.number, split)


def noisy(run: Any, number: int, split: str) -> Any:
    """The run's logits with the noise of the copy of that number; the first has none."""
    frame = run.logits(split)
    names = [name for name in frame.columns if name.startswith("logit.")]
    random = np.random.default_rng([number, *split.encode()])
    noise = random.normal(0, NOISE if number else 0, (len(frame), len(names)))
    frame[names] = (frame[names] + noise).astype(np.float32)
    return frame


def copied(run: Any, number: int) -> Copied:
    """The copy of that number."""
    from meld_lightning.report.scored import scored_frame

    metrics = dict(run.result.metrics)
    for split in ("val", "test"):
        frame = noisy(run, number, split)
        scores = scored_frame(frame, run.result.labels, str(run.folder), split).metrics()
        metrics[split] = {**metrics[split], **scores}
    result = replace(run.result, hash=f"{number:02}{run.result.hash[2:]}", metrics=metrics)
    return Copied(run.folder, run.config, result, run, number)


def material_of(runs: int) -> Any:
    """What a table is made from whose rows are copied until there are as many runs."""
    from hydra import compose, initialize_config_dir

    from meld_lightning.config.tree import plain
    from meld_lightning.report.results import Material
    from meld_lightning.runs.run import load_run
    from meld_lightning.study.kinds import read_tables

    with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
        cfg = compose("report", ["study=meld_minilm", "corpus.root=none"])
    tables = read_tables(plain(cfg.table))
    by_row: dict[str, list[Any]] = {}
    for path in sorted(EVIDENCE.iterdir()):
        run = load_run(path)
        by_row.setdefault(f"{run.config.data.batch_size}_{run.config.optimizer.lr}", []).append(run)
    copies = max(1, runs // sum(map(len, by_row.values())))
    rows: dict[str, Any] = {}
    found: dict[tuple[str, str], list[Any]] = {}
    for number in range(copies):
        for name, of_row in by_row.items():
            key = f"row_{name}_{number}"
            rows[key] = ["seed=1"]
            found["table_02", key] = [copied(run, number) for run in of_row]
    tables = {
        name: replace(table, rows=rows, paper={}) if table.source == "table_02" else table
        for name, table in tables.items()
    }
    return Material(tables, found, cfg.study.seeds, plain(cfg.study))


def study(runs: int) -> Any:
    """The results of that table, as the page is written from them."""
    from meld_lightning.page.study_report import StudyReport
    from meld_lightning.report.results import study_results

    material = material_of(runs)
    return StudyReport(material, study_results(material, [TABLE]))


def opened(page: Path, visits: int) -> dict[str, float]:
    """First paint and filter time in Chromium, medians over the visits."""
    from playwright.sync_api import sync_playwright

    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    paints, filters = [], []
    with sync_playwright() as started:
        browser = started.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        for _ in range(visits):
            tab = browser.new_page()
            tab.goto(page.as_uri())
            paints.append(tab.evaluate("performance.getEntriesByType('paint').at(-1).startTime"))
            tab.goto(f"{page.as_uri()}#explorer")
            tab.wait_for_selector("#section-explorer h2")
            filters += [tab.evaluate(FILTER, f"#explorer?{words}") for words in FILTERS]
            tab.close()
        browser.close()
    return {
        "first_paint_ms": round(statistics.median(paints), 1),
        "filter_ms": round(statistics.median(filters), 1),
    }


FILTER = """(fragment) => new Promise((done) => {
  const start = performance.now();
  window.addEventListener("hashchange", () => requestAnimationFrame(() =>
    setTimeout(() => done(performance.now() - start))), {once: true});
  location.hash = fragment;
})"""


def main() -> int:
    """Prints the figures."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--runs", type=int, default=60, help="about as many; 12 at least")
    parser.add_argument("--visits", type=int, default=3)
    asked = parser.parse_args()
    from meld_lightning.page.write import write_page

    report = study(asked.runs)
    with tempfile.TemporaryDirectory() as folder:
        start, start_cpu = time.perf_counter(), time.process_time()
        page = write_page(report, Path(folder))
        built, built_cpu = time.perf_counter() - start, time.process_time() - start_cpu
        figures = {
            "runs": len(report.row_runs()),
            "megabytes": round(page.stat().st_size / 1e6, 2),
            "build_s": round(built, 2),
            "build_cpu_s": round(built_cpu, 2),
            **opened(page, asked.visits),
        }
    for name, goal in GOALS.items():
        print(f"{name:>15} {figures[name]:>9}   goal {goal:g}")
    print(json.dumps(figures))
    return 0


if __name__ == "__main__":
    sys.exit(main())
