"""CPU time that a job of a local sweep takes before its first step, and its server's imports.

    python benchmarks/job_start.py [model=bert model=wav2vec2 ...]

Run it in a folder where `meld-lightning prepare` has been run. The launcher imports the libraries
in one process and forks each job from it (launching/forked.py): this script does the same, and ends
each job where its training starts. Goal: 1.5 s a job. Writes to a temporary folder alone. The last
line printed is one JSON object.
"""

import json
import os
import shutil
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, NoReturn

from omegaconf import OmegaConf

MODELS = ("model=bert", "model=roberta", "model=wav2vec2", "model=mfcc", "model=clip_probe")
GOAL_S = 1.5


def main() -> int:
    """Measures the models in turn."""
    start_s = time.process_time()
    if os.fork() == 0:  # what the server imports makes its process head a session of its own
        _serve(start_s)
    return os.waitstatus_to_exitcode(os.wait()[1])


def _serve(start_s: float) -> NoReturn:
    from meld_lightning.launching import warm  # noqa: F401 -- imports what trainings import

    found: dict[str, Any] = {"server_imports_s": round(time.process_time() - start_s, 2)}
    print(f"imports of the server, once a sweep: {found['server_imports_s']} s of CPU", flush=True)
    folder, status = Path(tempfile.mkdtemp()), 0
    for model in sys.argv[1:] or MODELS:
        said = folder / f"{len(found)}.said"
        if os.fork() == 0:
            _start(model, folder, said)
        os.wait()
        if not said.is_file():
            print(f"{model}: the job ended before its first step", file=sys.stderr, flush=True)
            status = 1
            break
        found[model] = float(said.read_text())
        print(f"{model:<20} {found[model]:5.2f} s before its first step (goal {GOAL_S})")
    shutil.rmtree(folder)
    print(json.dumps(found), flush=True)
    os._exit(status)


def _start(model: str, folder: Path, said: Path) -> NoReturn:
    """Runs a job until its training starts, and writes the CPU seconds that this took."""
    from hydra import compose, initialize_config_dir

    from meld_lightning.config.tree import conf_dir
    from meld_lightning.launching.job import run_job
    from meld_lightning.training.callbacks import LastCheckpoint

    file = folder / "job.yaml"
    with initialize_config_dir(str(conf_dir()), version_base="1.3"):  # as the launcher has done
        config = compose("train", [model, f"paths.runs={folder}/runs"])
    OmegaConf.save(config, file, resolve=True)
    start_s = time.process_time()

    def end(*_: Any) -> NoReturn:
        said.write_text(str(round(time.process_time() - start_s, 2)))
        os._exit(0)

    setattr(LastCheckpoint, "on_train_start", end)  # noqa: B010 -- mypy refuses a plain one
    run_job("train", str(file))
    sys.exit(f"{model}: nothing was trained")


if __name__ == "__main__":
    sys.exit(main())
