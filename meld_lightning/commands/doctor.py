"""`meld-lightning doctor`: whether this machine can run a study, and how long that takes."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from omegaconf import DictConfig, OmegaConf

from meld_lightning.commands.hydra_app import run_hydra
from meld_lightning.errors import UserError

if TYPE_CHECKING:
    from meld_lightning.doctor.finding import Finding

OWN = ("measure_s",)  # keys that the other commands do not take


def main(arguments: Sequence[str]) -> None:
    """Runs the command."""
    run_hydra("doctor", _doctor, arguments)


def _doctor(cfg: DictConfig) -> None:
    from meld_lightning.config.check import check
    from meld_lightning.config.nodes import Doctor

    if OmegaConf.is_missing(cfg.corpus, "root"):
        cfg.corpus.root = ""  # which is a finding below
    check(cfg, Doctor)
    stops = 0
    for finding in _findings(cfg):
        print(finding, flush=True)
        stops += finding.state == "stop"
    if stops:
        raise UserError(f"{stops} of the lines above will stop the study (stop): do what they say")


def _findings(cfg: DictConfig) -> "Iterator[Finding]":
    from hydra.core.hydra_config import HydraConfig

    from meld_lightning.doctor.examine import examine_machine, examine_study
    from meld_lightning.doctor.services import examine_services
    from meld_lightning.doctor.software import examine_precision

    hydra = HydraConfig.get()
    launcher, logger = (hydra.runtime.choices[group] for group in ("hydra/launcher", "logger"))
    asked = [one for one in hydra.overrides.task if not one.lstrip("+").startswith(OWN)]
    options = dict(hydra.launcher)
    elsewhere = launcher == "slurm"
    yield from examine_machine(cfg, elsewhere)
    accelerator = cfg.machine.accelerator
    if not any(one.startswith("study=") for one in asked):
        yield from examine_services(logger, launcher, options)
        yield examine_precision(accelerator, [cfg.numerics.precision])
        print("for a study: meld-lightning doctor study=NAME, with the keys of reproduce")
        return
    from meld_lightning.doctor.study import is_of_hub
    from meld_lightning.study.plan import checkpoints_of

    configs = _runs(asked)
    hub = any(map(is_of_hub, checkpoints_of(configs)))
    yield from examine_services(logger, launcher, options, hub)
    yield examine_precision(accelerator, [one.numerics.precision for one in configs])
    at_once = _at_once(launcher, hydra.launcher, configs)
    yield from examine_study(cfg, configs, at_once, cfg.measure_s, elsewhere)


def _runs(asked: Sequence[str]) -> list[DictConfig]:
    """The configs of the runs that `reproduce` would make."""
    from hydra import compose

    from meld_lightning.study.plan import plan_runs
    from meld_lightning.study.warm_starts import in_waves, resolve_warm_starts

    # conf/reproduce.yaml cannot be composed without a corpus.root; here an empty one is a finding
    # of its own, and no error
    rest = [one for one in asked if not one.startswith("corpus.root=")]
    root = next((one for one in asked if one.startswith("corpus.root=")), "corpus.root=''")
    given = (
        [*rest, root] if OmegaConf.is_missing(compose("reproduce", rest).corpus, "root") else asked
    )
    planned = plan_runs(compose("reproduce", list(given)), given)
    resolve_warm_starts(planned, in_waves(planned))
    return [run.config for of_row in planned.values() for run in of_row]


def _at_once(launcher: str, options: DictConfig, configs: Sequence[DictConfig]) -> int:
    """How many runs are made side by side."""
    from meld_lightning.launching.local import default_jobs

    if launcher == "slurm":
        return int(options.at_once)
    return int(options.jobs) or default_jobs(configs)
