"""Share of a run's CPU time that is not spent in its steps.

    python benchmarks/run_overhead.py model=bert
    python benchmarks/run_overhead.py study=meld_minilm corpus.root=/data/MELD model=bert epochs=1

Arguments are those of `meld-lightning train`. Run it in a folder where `meld-lightning prepare` has
been run. Steps are forward, backward and optimizer on training batches, and forward on batches that
are scored; overhead is everything else: building the model, loading batches, checkpoints, metrics
and the run's files. Imports are left out, because the local launcher makes them once for all runs
of a sweep. Writes to a temporary folder alone. The last line printed is one JSON object.
"""

import json
import os
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, NoReturn

from omegaconf import OmegaConf

GOAL = 0.05
# the names that Lightning gives to its profiler, or their ends
STEPS = ("run_training_batch", "validation_step", "predict_step")


def main() -> int:
    """Trains one run and gives its exit status."""
    with tempfile.TemporaryDirectory() as name:
        said = Path(name, "said.json")
        if os.fork() == 0:  # what a job imports makes its process head a session of its own
            _train(sys.argv[1:], Path(name), said)
        if status := os.waitstatus_to_exitcode(os.wait()[1]):
            return status
        found = json.loads(said.read_text())
    for step, cpu_s in found["steps_s"].items():
        print(f"{step:<20}{cpu_s:9.1f} s")
    print(f"{'everything':<20}{found['cpu_s']:9.1f} s")
    print(f"overhead: {found['overhead']:.1%} of the run (goal {GOAL:.0%})")
    print(json.dumps({"overrides": sys.argv[1:], **found}))
    return 0


def _train(overrides: list[str], folder: Path, said: Path) -> NoReturn:
    """Runs a job as the local launcher does, and writes where its CPU time went."""
    from hydra import compose, initialize_config_dir
    from pytorch_lightning.profilers import Profiler

    from meld_lightning.config.tree import conf_dir
    from meld_lightning.launching import warm  # noqa: F401 -- imports what trainings import
    from meld_lightning.launching.job import run_job
    from meld_lightning.training import fit

    class StepTimes(Profiler):
        """Adds up this process's CPU time in each kind of step."""

        def __init__(self) -> None:
            super().__init__()
            self.started_s: dict[str, float] = {}
            self.total_s = dict.fromkeys(STEPS, 0.0)

        def start(self, action_name: str) -> None:
            if action_name.endswith(STEPS):
                self.started_s[action_name] = time.process_time()

        def stop(self, action_name: str) -> None:
            if (started_s := self.started_s.pop(action_name, None)) is not None:
                step = next(step for step in STEPS if action_name.endswith(step))
                self.total_s[step] += time.process_time() - started_s

    times, make_trainer = StepTimes(), fit.make_trainer

    def watched(*arguments: Any) -> Any:
        trainer = make_trainer(*arguments)
        setattr(trainer, "profiler", times)  # noqa: B010 -- mypy refuses a plain one
        return trainer

    setattr(fit, "make_trainer", watched)  # noqa: B010 -- mypy refuses a plain one
    file = folder / "job.yaml"
    with initialize_config_dir(str(conf_dir()), version_base="1.3"):  # as the launcher has done
        config = compose("train", [*overrides, f"paths.runs={folder}/runs"])
    OmegaConf.save(config, file, resolve=True)
    started_s = _cpu_s()
    run_job("train", str(file))
    cpu_s = _cpu_s() - started_s
    steps_s = sum(times.total_s.values())
    found = {"cpu_s": cpu_s, "steps_s": times.total_s, "overhead": 1 - steps_s / cpu_s}
    said.write_text(json.dumps(found))
    sys.stdout.flush()
    os._exit(0)


def _cpu_s() -> float:
    """CPU seconds of this process and of its children that have ended."""
    used = os.times()
    return used.user + used.system + used.children_user + used.children_system


if __name__ == "__main__":
    sys.exit(main())
