"""Loggers that a user watches runs with: Lightning's own for CSV, TensorBoard and W&B, each inside
the run folder.

conf/logger/ names the functions here that make them. Writes RUN/csv, RUN/tensorboard or RUN/wandb.
Used by training, and by the launchers and the report for a sweep's group. Imports no Lightning at
its top: a report does without.
"""

from __future__ import annotations

import contextlib
import importlib
import os
import secrets
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from omegaconf import DictConfig

from meld_lightning.config.check import plain
from meld_lightning.errors import Stopped, UserError
from meld_lightning.runs.identity import Identity
from meld_lightning.runs.provenance import git_commit
from meld_lightning.storage.fingerprint import digest_of

if TYPE_CHECKING:
    import pandas as pd
    from pytorch_lightning.callbacks import Callback

Loggers = list[
    Any
]  # of Lightning's Logger; config.py evaluates the annotations here without importing it

EVERY_STEPS = 10  # how often train/loss and lr are logged: reading the loss makes a GPU wait
STEP = "trainer/global_step"  # what WandbLogger calls it
SAMPLE = 50  # predictions of test that are shown
NOT_OF_A_SWEEP = (
    "logger",
    "machine.",
    "paths.",
    "hydra",
    "corpus.root",
)  # nothing that tells two sweeps apart


def no_loggers(*, cfg: DictConfig, identity: Identity) -> Loggers:
    """logger=none."""
    return []


def csv_loggers(*, cfg: DictConfig, identity: Identity) -> Loggers:
    """logger=csv."""
    from pytorch_lightning.loggers import CSVLogger

    return [CSVLogger(identity.folder, name="csv", flush_logs_every_n_steps=1)]


def tensorboard_loggers(*, cfg: DictConfig, identity: Identity) -> Loggers:
    """logger=tensorboard; the event files of a run that went on lie side by side, as TensorBoard
    wants them."""
    need("tensorboard", "tensorboard")
    from pytorch_lightning.loggers import TensorBoardLogger

    return [
        TensorBoardLogger(
            identity.folder, name="tensorboard", version="", default_hp_metric=False, flush_secs=1
        )
    ]


def wandb_loggers(
    project: str, group: str | None, *, cfg: DictConfig, identity: Identity
) -> Loggers:
    """logger=wandb; offline where there is no key. UserError where there is one and W&B does not
    take it."""
    need("wandb", "wandb")
    online = wandb_online()
    import wandb
    from pytorch_lightning.loggers import WandbLogger

    commit, _ = git_commit()
    settings = wandb.Settings(
        x_transaction_log_flush_interval=1,  # of its 15 seconds a killed run would lose the last
        console="off",
        silent=not online,
        # it would look at the folder that the user stands in, and copy what changed there
        disable_git=True,
        git_commit=commit,
    )
    if not online:
        print(
            "W&B is not logged in to, nothing is sent; later: wandb sync"
            f" {identity.folder}/wandb/offline-run-*"
        )
    run = wandb.init(  # not by WandbLogger, which would have W&B warn of an argument that it passes
        project=project,
        group=group,
        name=f"{identity.folder.parent.name}-{identity.hash}",
        id=_run_id(identity),
        resume="allow",
        dir=identity.folder,
        job_type=identity.folder.parent.name,
        tags=[cfg.study.name, identity.folder.parent.name.split("-")[0], cfg.model.name],
        config=_flat_config(cfg, identity),
        mode="online" if online else "offline",
        settings=settings,
    )
    run.define_metric(STEP)
    run.define_metric("*", step_metric=STEP, step_sync=True)
    return [WandbLogger(experiment=run, project=project, save_dir=identity.folder)]


def wandb_online() -> bool:
    """Whether W&B is to be sent to: a key is known, WANDB_MODE does not say otherwise, and W&B
    answers (a node of a cluster often has the key and no network).

    Raises UserError where W&B refuses the key.
    """
    mode = os.environ.get("WANDB_MODE", "online")
    if mode != "online":
        return False
    os.environ.setdefault(
        "WANDB_ERROR_REPORTING", "false"
    )  # read when wandb is imported: no reports of its own
    import wandb

    if wandb.setup().settings.mode != "online":  # `wandb offline` was called here
        return False
    try:
        return bool(wandb.login(prompt=False))
    except wandb.errors.AuthenticationError as error:
        said = str(error).splitlines()[0]
        raise UserError(
            f"W&B: {said}; set WANDB_MODE=offline to log here and send it later"
        ) from error
    except wandb.Error as error:
        print(f"W&B cannot be reached: {str(error).splitlines()[0]}", flush=True)
        return False


@contextlib.contextmanager
def watched(cfg: DictConfig, identity: Identity) -> Iterator[Loggers]:
    """The loggers that cfg.logger names, on rank 0; ended however the run ends, so that nothing of
    them is lost."""
    from hydra.utils import instantiate

    first = int(os.environ.get("RANK", 0)) == 0 or cfg.numerics.world_size == 1
    loggers = instantiate(cfg.logger, _partial_=True)(cfg=cfg, identity=identity) if first else []
    try:
        yield loggers
    except BaseException as error:
        _end(loggers, error)
        raise
    _end(loggers, None)


def step_log(loggers: Loggers) -> Callback:
    """Logs train/loss (of rank 0's share) and the lr it was stepped with, every EVERY_STEPS
    steps."""
    from pytorch_lightning.callbacks import LambdaCallback

    now: dict[str, Any] = {"lr": 0.0, "train/loss": 0.0}

    def note(trainer: Any, module: Any, optimizer: Any) -> None:
        now["lr"] = optimizer.param_groups[0]["lr"]

    def log(trainer: Any, module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        if not loggers:
            return
        place = (
            batch_idx % trainer.accumulate_grad_batches
        )  # of the piece, where a batch is taken in pieces
        now["train/loss"] = outputs["loss"].detach() + (now["train/loss"] if place else 0)
        if place + 1 == trainer.accumulate_grad_batches and trainer.global_step % EVERY_STEPS == 0:
            for logger in loggers:
                logger.log_metrics(
                    {name: float(value) for name, value in now.items()}, step=trainer.global_step
                )

    return LambdaCallback(on_before_optimizer_step=note, on_train_batch_end=log)


def log_row(loggers: Loggers, row: Mapping[str, float]) -> None:
    """One row of metrics.csv, at its step."""
    for logger in loggers:
        logger.log_metrics(
            {name: value for name, value in row.items() if name != "step"}, step=int(row["step"])
        )
        logger.save()


def log_scores(
    loggers: Loggers, step: float, epoch: int, by_split: Mapping[str, Any], test: pd.DataFrame
) -> None:
    """What the epoch chosen on val scores, as best/<split>/<metric> and best/<split>/f1/<label>;
    W&B is also shown the confusion matrix of test and some predictions.

    by_split: metrics of val and test, as in result.json. test: test's predictions.
    """
    figures = {"best/epoch": float(epoch)}
    for split in ("val", "test"):
        scored = {
            name: value for name, value in by_split[split].items() if isinstance(value, float)
        }
        figures |= {f"best/{split}/{name}": value for name, value in scored.items()}
        figures |= {
            f"best/{split}/f1/{label}": value for label, value in by_split[split]["f1"].items()
        }
    for logger in loggers:
        logger.log_metrics(figures, step=int(step))
        logger.save()
        if hasattr(logger.experiment, "summary"):
            _show(logger.experiment, int(step), figures, list(by_split["test"]["f1"]), test)


def _show(
    run: Any, step: int, figures: Mapping[str, float], labels: list[str], test: pd.DataFrame
) -> None:
    import wandb

    true, predicted = (
        [labels.index(one) for one in test[column]] for column in ("true_label", "predicted_label")
    )
    sample = test.sample(min(SAMPLE, len(test)), random_state=0)
    shown = sample[["key", "text", "true_label", "predicted_label", "confidence"]]
    run.log(
        {
            STEP: step,
            "best/test/confusion": wandb.plot.confusion_matrix(
                y_true=true,
                preds=predicted,
                class_names=labels,
                title="test, at the epoch chosen on val",
            ),
            "best/test/predictions": wandb.Table(columns=list(shown), data=shown.values.tolist()),
        }
    )
    run.summary.update(dict(figures))


def grouped(config: DictConfig, group: str) -> DictConfig:
    """The config with that group for its logger, where its logger has groups and none was given."""
    if "group" in config.get("logger", {}) and config.logger.group is None:
        config.logger.group = group
    return config


def sweep_group(overrides: Sequence[str]) -> str:
    """A name for the runs of one sweep, the same whenever the same command is run:
    batch_size-lr-1a2b3c."""
    kept = sorted(one for one in overrides if not one.lstrip("+~").startswith(NOT_OF_A_SWEEP))
    swept = [
        key.lstrip("+~").split(".")[-1]
        for key, _, value in (one.partition("=") for one in kept)
        if "," in value
    ]
    named = [one.partition("=")[2] for one in kept if one.startswith("experiment=")]
    return "-".join([*named, *swept, digest_of(kept)[:6]])


def _end(loggers: Loggers, error: BaseException | None) -> None:
    for logger in loggers:
        logger.save()
        run = logger.experiment
        if hasattr(run, "mark_preempting"):
            if isinstance(error, Stopped):
                run.mark_preempting()
            run.finish(exit_code=0 if error is None else 1)


def _run_id(identity: Identity) -> str:
    """One id a run folder, however often the run goes on."""
    file = identity.folder / "wandb" / "run_id"
    if not file.is_file():
        file.parent.mkdir(exist_ok=True)
        temporary = file.with_name(".run_id")
        temporary.write_text(f"{identity.hash}-{secrets.token_hex(3)}\n")
        temporary.replace(file)
    return file.read_text().strip()


def _flat_config(cfg: DictConfig, identity: Identity) -> dict[str, Any]:
    """The run's settings as one flat table: data/batch_size. W&B takes a dot in a key for a path
    into nested ones."""
    left_out = ("paths", "table", "logger")
    nested = {key: value for key, value in plain(cfg).items() if key not in left_out}
    nested["study"] = cfg.study.name
    nested["corpus"] = {
        key: value for key, value in nested["corpus"].items() if key not in ("root", "test")
    }
    commit, dirty = git_commit()
    return {**_flat(nested), "hash": identity.hash, "commit": commit, "dirty": dirty}


def _flat(tree: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in tree.items():
        found |= (
            _flat(value, f"{prefix}{key}/")
            if isinstance(value, Mapping)
            else {f"{prefix}{key}": value}
        )
    return found


def need(package: str, extra: str) -> None:
    """UserError where a package that an extra brings is not there."""
    try:
        importlib.import_module(package)
    except ImportError as error:
        raise UserError(
            f"logger={extra}: the package {package} cannot be imported; run: pip install"
            f" 'meld-lightning[{extra}]'"
        ) from error
