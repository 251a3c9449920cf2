"""One table of how fast each stage is: its goal, what was measured, and on which machine.

    python benchmarks/all.py
    python benchmarks/all.py --only help decoding

Runs the other scripts of this folder one after another with light settings, each in a temporary
folder, and takes figures from the JSON object that each prints last. CPU seconds and ratios are
used throughout, because wall time depends on what else the machine does. A row says so where its
script failed, where it refused to time because results differ, and where the goal is one of bf16
and this CPU is not fast at it. All of it takes over an hour, `study` most of that; the exit status
is 0, however fast or slow. The last line printed is one JSON object.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
Printed = list[dict[str, Any]]  # the last line of each command of a stage


@dataclass(frozen=True)
class Row:
    """One line of the table.

    figure: from what the stage's commands printed. goal: the figure aimed for; at_least: whether
    more is better. bf16: the goal holds only where the CPU is fast at bf16.
    """

    title: str
    figure: Callable[[Printed], float]
    goal: float
    unit: str
    at_least: bool = False
    bf16: bool = False


@dataclass(frozen=True)
class Stage:
    """Commands that run in one folder, and the rows that they give."""

    commands: tuple[str, ...]
    rows: tuple[Row, ...]


def times(way: str) -> Callable[[Printed], float]:
    """How many times as long as ours `way` takes."""
    return lambda printed: float(printed[0]["ways"][way]["times_ours"])


def pipeline(model: str) -> Callable[[Printed], float]:
    """How many times as long as ours transformers' pipeline takes with a CLIP of that size."""
    return lambda printed: float(printed[0]["models"][model]["ways"]["pipeline"]["times_ours"])


def prompts(printed: Printed) -> float:
    """CPU milliseconds of new prompts over frames at large's width."""
    return float(printed[0]["models"]["large"]["new_prompts"]["cpu_clips_ms"])


def trainer(model: str) -> Callable[[Printed], float]:
    """How many times as fast as the best HF Trainer a training step is, by CPU seconds."""
    ways = "ours_faster_by_cpu_s"
    return lambda printed: float(printed[0]["models"][model]["ways"]["grouped"][ways])


def slowest_start(printed: Printed) -> float:
    """CPU seconds of the slowest model's job before its first step."""
    starts = {name: s for name, s in printed[2].items() if name.startswith("model=")}
    return float(max(starts.values()))


def overhead(printed: Printed) -> float:
    """Percent of a run's CPU time outside its steps."""
    return 100 * float(printed[-1]["overhead"])


def cpu_of(command: int) -> Callable[[Printed], float]:
    """CPU seconds of a command of the stage."""
    return lambda printed: float(printed[command]["cpu_s"])


def growth(figure: str) -> Callable[[Printed], float]:
    """The stage that grows most with ten times the work, in time or peak memory."""
    return lambda printed: float(max(stage[figure] for stage in printed[0].values()))


MINI = "command_stages.py reproduce study=mini"
STAGES = {
    "help": Stage(
        ("command_stages.py train --help",) * 2,
        (Row("`train --help`, the second time", cpu_of(1), 0.5, "s"),),
    ),
    "decoding": Stage(
        ("decoding.py --clips 5",),
        (
            Row("decoding: OpenCV + CLIP's processor", times("opencv"), 2.8, "x", at_least=True),
            Row("decoding: ours over the floor", lambda p: 1 / times("floor")(p), 1.2, "x"),
        ),
    ),
    "clip": Stage(
        ("clip_scoring.py --rounds 1",),
        (
            Row("CLIP base: pipeline", pipeline("base"), 8, "x", at_least=True, bf16=True),
            Row("CLIP large: pipeline", pipeline("large"), 4, "x", at_least=True, bf16=True),
            Row("new prompts over 27,000 frames", prompts, 50, "ms"),
        ),
    ),
    "text": Stage(
        ("text_training.py --rounds 2",),
        (
            Row("MiniLM step: best HF Trainer", trainer("minilm"), 1.25, "x", at_least=True),
            Row("BERT step: best HF Trainer", trainer("bert-base-shape"), 1.2, "x", at_least=True),
        ),
    ),
    "speech": Stage(
        ("speech_inference.py --clips 8",),
        (Row("wav2vec2: pipeline", times("pipeline"), 2.66, "x", at_least=True, bf16=True),),
    ),
    "weights": Stage(
        ("weight_search.py",),
        (Row("weight search: scikit-learn", times("scikit_learn"), 70, "x", at_least=True),),
    ),
    "growth": Stage(
        ("growth.py",),
        (
            Row("CPU time at ten times the work", growth("times_cpu"), 10.5, "x"),
            Row("peak memory at ten times the work", growth("times_peak"), 1.1, "x"),
        ),
    ),
    "study": Stage(
        (MINI, MINI, "job_start.py", "run_overhead.py model=bert"),
        (
            Row("first `reproduce study=mini`", cpu_of(0), 240, "s"),
            Row("`reproduce study=mini` again", cpu_of(1), 6, "s"),
            Row("a job before its first step", slowest_start, 1.5, "s"),
            Row("a run outside its steps, mini's text", overhead, 5, "%"),
        ),
    ),
}


def machine() -> dict[str, Any]:
    """CPU model, cores, whether bf16 is fast, and how many processes were ready to run."""
    import torch

    info = Path("/proc/cpuinfo").read_text() if Path("/proc/cpuinfo").is_file() else ""
    names = [line.partition(": ")[2] for line in info.splitlines() if line.startswith("model name")]
    return {
        "cpu": names[0] if names else "unknown",
        "cores": os.cpu_count(),
        "fast_bf16": bool(torch.ops.mkldnn._is_mkldnn_bf16_supported()),
        "load": round(os.getloadavg()[0], 1),
    }


def measured(stage: Stage) -> Printed | str:
    """What the stage's commands printed last; a reason if one failed."""
    printed: Printed = []
    environment = {**os.environ, "PYTHONPATH": str(HERE.parent)}
    with tempfile.TemporaryDirectory() as folder:
        for command in stage.commands:
            script, *words = command.split()
            done = subprocess.run(
                [sys.executable, str(HERE / script), *words],
                cwd=folder, env=environment, capture_output=True, text=True, check=False,
            )  # fmt: skip
            if done.returncode:
                said = (done.stderr or done.stdout).strip().splitlines() or [""]
                return f"{command}: exit status {done.returncode} ({said[-1][:80]})"
            try:
                printed.append(json.loads(done.stdout.splitlines()[-1]))
            except (IndexError, ValueError):
                return f"{command}: its last line is no JSON object"
    return printed


def line_of(row: Row, printed: Printed | str, fast_bf16: bool) -> dict[str, Any]:
    """The row's figure, its share of the goal (1 or more: met) and what to say about it."""
    found: dict[str, Any] = {"row": row.title, "goal": row.goal, "unit": row.unit}
    if isinstance(printed, str):
        return {**found, "outcome": f"not measured: {printed}"}
    figure = row.figure(printed)
    share = figure / row.goal if row.at_least else row.goal / figure
    outcome = "met" if share >= 1 else "missed"
    if row.bf16 and not fast_bf16:
        outcome = "no goal here: bf16 is not fast"
    return {**found, "measured": figure, "ratio_to_goal": share, "outcome": outcome}


def printed_line(line: dict[str, Any]) -> str:
    """A line of the table."""
    goal = f"{line['goal']:g} {line['unit']}"
    if "measured" not in line:
        return f"{line['row']:<38}{'':>12}{goal:>10}{'':>8}  {line['outcome']}"
    figure = f"{line['measured']:.2f} {line['unit']}"
    ratio = f"{line['ratio_to_goal']:.2f}"
    return f"{line['row']:<38}{figure:>12}{goal:>10}{ratio:>8}  {line['outcome']}"


def main() -> int:
    """Command line; returns the exit status."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--only", nargs="+", choices=list(STAGES), default=list(STAGES))
    asked = parser.parse_args()
    here = machine()
    bf16 = "fast" if here["fast_bf16"] else "not fast"
    print(f"{here['cpu']}, {here['cores']} cores, bf16 {bf16}, load {here['load']} at the start")
    print(f"{'':<38}{'measured':>12}{'goal':>10}{'ratio':>8}", flush=True)
    lines = []
    for name, stage in STAGES.items():
        printed = measured(stage) if name in asked.only else "left out by --only"
        for row in stage.rows:
            lines.append(line_of(row, printed, here["fast_bf16"]))
            print(printed_line(lines[-1]), flush=True)
    print(json.dumps({"machine": here, "rows": lines}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
