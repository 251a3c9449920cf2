"""All findings of `doctor`: about the machine and, for a study that is named, about the study.

Used by the command `doctor`, which prints each finding as it comes.
"""

import logging
from collections.abc import Iterator, Sequence
from pathlib import Path

from omegaconf import DictConfig

from meld_lightning.config.tree import plain
from meld_lightning.doctor.finding import Finding
from meld_lightning.doctor.place import examine_places
from meld_lightning.doctor.services import examine_services
from meld_lightning.doctor.software import examine_software
from meld_lightning.errors import NotPrepared, UserError
from meld_lightning.runs.lifecycle import RunRequest
from meld_lightning.training.train import training_request


def examine_machine(
    cfg: DictConfig, logger: str, launcher: str, options: DictConfig
) -> Iterator[Finding]:
    """The findings about this machine, for the settings that `cfg` names.

    logger, launcher: the choices of these groups. options: the node hydra.launcher.
    """
    given = plain(cfg)
    yield from examine_software(given)
    yield from examine_places({key: Path(given["paths"][key]) for key in ("cache", "runs")})
    yield from examine_services(logger, launcher, dict(options))


def examine_study(
    cfg: DictConfig, configs: Sequence[DictConfig], at_once: int, measure_s: float
) -> Iterator[Finding]:
    """The findings about a study.

    configs: of all its runs (conf/train.yaml, composed).
    at_once: how many of them run side by side.
    measure_s: how long to measure for; 0: not at all.
    """
    from meld_lightning.doctor import study

    found, corpus = study.examine_corpus(cfg)
    yield found
    cache = Path(cfg.paths.cache)
    names = sorted({str(one.model.checkpoint) for one in configs if one.model.get("checkpoint")})
    checkpoints = study.examine_checkpoints(names, cache)
    yield from checkpoints
    if any(one.state == "stop" for one in (found, *checkpoints)):
        return
    left = _unfinished(configs)
    sizes = [_parameters(one, cache) for one in left]
    yield study.examine_disk(cfg, corpus, sizes, at_once)
    yield study.examine_memory(sizes, at_once, cfg.machine.accelerator)
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
        return list(configs)


def _parameters(cfg: DictConfig, cache: Path) -> int:
    from meld_lightning.doctor.study import parameters_of
    from meld_lightning.pretrained.checkpoints import prepared_checkpoint

    if not cfg.model.get("checkpoint"):
        return 0
    try:
        return parameters_of(prepared_checkpoint(str(cfg.model.checkpoint), cache))
    except NotPrepared:
        return 0


def _duration(left: Sequence[DictConfig], runs: int, at_once: int, measure_s: float) -> Finding:
    from meld_lightning.doctor.duration import estimate, in_words
    from meld_lightning.training.process import quieten

    if not left:
        return Finding("ok", "duration", f"all {runs} runs are finished")
    quieten()
    package = logging.getLogger("meld_lightning")
    level, package.level = package.level, logging.WARNING  # what short trainings say is no news
    try:
        found = estimate(left, at_once, measure_s)
    except UserError as error:
        return Finding("note", "duration", f"cannot be measured yet: {error}")
    finally:
        package.setLevel(level)
    return Finding(
        "ok",
        "duration",
        f"about {in_words(found.seconds)} for {found.runs} of {runs} runs, {at_once} at a time,"
        f" without prepare, fusions and tables ({found.kinds} kinds of runs, measured for"
        f" {in_words(found.measured_s)})",
    )
