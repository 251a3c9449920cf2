"""All findings of `doctor`: about the machine and, for a study that is named, about the study.

Used by the command `doctor`, which prints each finding as it comes.
"""

import logging
from collections.abc import Iterator, Sequence
from pathlib import Path

from omegaconf import DictConfig

from meld_lightning.config.tree import plain
from meld_lightning.config.words import counted
from meld_lightning.doctor.finding import Finding, of_this_machine
from meld_lightning.doctor.memory import examine_memory
from meld_lightning.doctor.place import examine_places
from meld_lightning.doctor.software import examine_software
from meld_lightning.errors import UserError
from meld_lightning.runs.identity import canonical_config, decoded_kind
from meld_lightning.runs.lifecycle import RunRequest
from meld_lightning.storage.fingerprint import digest_of
from meld_lightning.study.plan import checkpoints_of
from meld_lightning.training.train import training_request


def examine_machine(cfg: DictConfig, elsewhere: bool = False) -> Iterator[Finding]:
    """The findings about this machine, for the settings that `cfg` names.

    elsewhere: whether the runs are made on other machines, by Slurm.
    """
    given = plain(cfg)
    yield from examine_software(given, elsewhere)
    yield from examine_places({key: Path(given["paths"][key]) for key in ("cache", "runs")})


def examine_study(
    cfg: DictConfig,
    configs: Sequence[DictConfig],
    at_once: int,
    measure_s: float,
    elsewhere: bool = False,
) -> Iterator[Finding]:
    """The findings about a study.

    configs: of all its runs (conf/train.yaml, composed).
    at_once: how many of them run side by side.
    measure_s: how long to measure for; 0: not at all.
    elsewhere: whether they are made on other machines, by Slurm.
    """
    from meld_lightning.doctor import study

    found, corpus = study.examine_corpus(cfg)
    yield found
    cache = Path(cfg.paths.cache)
    names = checkpoints_of(configs)
    checkpoints = study.examine_checkpoints(names, cache)
    yield from checkpoints
    if any(one.state == "stop" for one in (found, *checkpoints)):
        return
    left = _unfinished(configs)
    sizes = {name: study.parameters(name, cache) for name in names}
    of_runs = [sizes.get(str(one.model.get("checkpoint")), 0) for one in left]
    at_once = min(at_once, max(len(left), 1))
    decode = any(decoded_kind(one.data) for one in configs)
    yield study.examine_disk(cfg, corpus, of_runs, at_once, decode)
    memory = examine_memory(of_runs, at_once, cfg.machine.accelerator)
    yield of_this_machine(memory) if elsewhere else memory
    if measure_s:
        yield _duration(left, len(configs), at_once, measure_s)


def _unfinished(configs: Sequence[DictConfig]) -> list[DictConfig]:
    """The runs that have still to be made, each once; all of them where nothing is prepared."""
    requests: dict[str, RunRequest] = {}
    try:
        for cfg in configs:
            request = training_request(cfg)
            requests.setdefault(request.identity.hash, request)
        return [request.cfg for request in requests.values() if request.find() is None]
    except UserError:  # not prepared
        return list({digest_of(canonical_config(cfg)): cfg for cfg in configs}.values())


def _duration(left: Sequence[DictConfig], runs: int, at_once: int, measure_s: float) -> Finding:
    from meld_lightning.doctor.duration import estimate, in_words
    from meld_lightning.training.process import quieten

    if not left:
        done = f"{counted(runs, 'run')} of the study, all finished" if runs else "nothing to train"
        return Finding("ok", "duration", done)
    quieten()
    package = logging.getLogger("meld_lightning")
    level = package.level
    package.setLevel(logging.WARNING)  # what short trainings say is no news
    try:
        found = estimate(left, at_once, measure_s)
    except UserError as error:
        return Finding("note", "duration", f"cannot be measured yet: {error}")
    finally:
        package.setLevel(level)
    return Finding(
        "ok",
        "duration",
        f"about {in_words(found.seconds)} for {found.runs} of {counted(runs, 'run')}"
        f"{f', {at_once} at a time' if at_once > 1 else ''}, without prepare, fusions and tables"
        f" ({counted(found.kinds, 'kind')} of run, measured for {in_words(found.measured_s)})",
    )
