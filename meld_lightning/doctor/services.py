"""What lies outside of this machine: the Hugging Face hub, W&B and Slurm.

Contacts the hub, reads W&B's login if the study logs there, and asks Slurm for its partitions;
starts nothing.
"""

import re
import shutil
import subprocess
from collections.abc import Mapping
from typing import Any

from meld_lightning.doctor.finding import Finding, stop_if_refused
from meld_lightning.errors import UserError

ANSWERS_WITHIN_S = 10
_LIMIT = re.compile(r"(?:(?:(\d+)-)?(\d+):)?(\d+):(\d+)")


def examine_services(
    logger: str, launcher: str, options: Mapping[str, Any], hub: bool | None = None
) -> list[Finding]:
    """One finding each about the hub, W&B and Slurm; for a study only about those that it uses.

    logger, launcher: the choices of these groups. options: the node hydra.launcher.
    hub: whether the study has a checkpoint from the hub; None: no study is named.
    """
    looks = {
        "hub": (hub, _hub),
        "W&B": (logger == "wandb", lambda: _wandb(logger)),
        "Slurm": (launcher == "slurm", lambda: _slurm(launcher, options)),
    }
    return [
        stop_if_refused(subject, look)
        for subject, (used, look) in looks.items()
        if used or hub is None
    ]


def _hub() -> Finding:
    import httpx2
    from huggingface_hub import constants

    cache = f"cache: {constants.HF_HUB_CACHE}"
    if constants.HF_HUB_OFFLINE:
        return Finding("ok", "hub", f"HF_HUB_OFFLINE is set: nothing is downloaded; {cache}")
    try:
        httpx2.head(constants.ENDPOINT, timeout=ANSWERS_WITHIN_S)
    except httpx2.HTTPError as error:
        return Finding(
            "note",
            "hub",
            f"{constants.ENDPOINT} does not answer ({error}): set HF_HUB_OFFLINE=1, and get"
            f" checkpoints with prepare only=checkpoints where there is a network; {cache}",
        )
    return Finding("ok", "hub", f"{constants.ENDPOINT} answers; {cache}")


def _wandb(logger: str) -> Finding:
    if logger != "wandb":
        return Finding("ok", "W&B", f"not used (logger={logger})")
    from meld_lightning.tracking.loggers import need
    from meld_lightning.tracking.wandb_logger import wandb_online

    need("wandb", "wandb")
    if wandb_online():
        return Finding("ok", "W&B", "logged in: runs are sent at once")
    return Finding("note", "W&B", "offline: runs are logged here; to send them: wandb sync")


def _slurm(launcher: str, options: Mapping[str, Any]) -> Finding:
    if shutil.which("sinfo") is None:
        if launcher == "slurm":
            raise UserError("no Slurm on this machine; call it on the cluster's login node")
        return Finding("ok", "Slurm", "none here; jobs run on this machine")
    try:
        partitions = _partitions()
    except UserError as error:
        if launcher == "slurm":
            raise
        return Finding("note", "Slurm", f"{error}, or let the jobs run on this machine")
    listed = ", ".join(f"{name} (up to {limit})" for name, limit in partitions.items())
    if launcher != "slurm":
        return Finding(
            "note", "Slurm", f"partitions {listed}; hydra/launcher=slurm would run the jobs there"
        )
    return Finding("ok", "Slurm", f"{_check_job(partitions, options)}; partitions {listed}")


def _partitions() -> dict[str, str]:
    """Partition -> time limit as Slurm writes it; the default one is marked by `*`."""
    done = subprocess.run(
        ["sinfo", "--noheader", "--format=%P %l"], capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        reason = (done.stderr.strip().splitlines() or ["no message"])[0]
        raise UserError(f"sinfo fails ({reason}): call it on the cluster's login node")
    return dict(line.split()[:2] for line in done.stdout.splitlines() if line.strip())


def _check_job(partitions: Mapping[str, str], options: Mapping[str, Any]) -> str:
    """Compares a job's options with the limit of its partition, of which it may name several, one
    after another with commas; UserError if it would never start."""
    asked, minutes = options.get("partition"), float(options["minutes"])
    names = {name.rstrip("*"): limit for name, limit in partitions.items()}
    default = next((name.rstrip("*") for name in partitions if name.endswith("*")), None)
    if not asked and default is None:
        raise UserError(
            "there is no default partition: give hydra.launcher.partition=, one of"
            f" {', '.join(names)}"
        )
    chosen = [name.strip() for name in str(asked or default).split(",")]
    for name in chosen:
        if name not in names:
            raise UserError(
                f"hydra.launcher.partition={name}: no such partition; there are: {', '.join(names)}"
            )
    limits = {name: minutes_of(names[name]) for name in chosen}
    fitting = [name for name, limit in limits.items() if limit is None or minutes <= limit]
    if not fitting:
        name, most = max(limits.items(), key=lambda limit: limit[1] or 0)
        raise UserError(
            f"hydra.launcher.minutes={minutes:g}: partition {name} allows {most:g}; give at most"
            " that: a job that reaches it saves, is requeued and resumes"
        )
    return f"jobs of {minutes:g} minutes fit partition {', '.join(fitting)}"


def minutes_of(limit: str) -> float | None:
    """Slurm's time limit, such as 1-00:00:00 or 30:00, in minutes; None without one."""
    found = _LIMIT.fullmatch(limit)
    if found is None:  # infinite
        return None
    days, hours, minutes, seconds = (int(part or 0) for part in found.groups())
    return (days * 24 + hours) * 60 + minutes + seconds / 60
