"""The config of every command, as a node: its keys with type, choices, range, default and a line on
what each does. Groups with a `_target_` are described by the class that it names.

Defaults are stated here, in the files of the other nodes and in signatures, and nowhere else; files
under conf/ state what differs from them. Used to complete, check and document configs (see
complete, check and help).
"""

from typing import Any, ClassVar, Literal

from pydantic import Field

from meld_lightning.config.answers import Demo, Predict
from meld_lightning.config.machine import Fetch
from meld_lightning.config.parts import (
    Corpus,
    Machine,
    Media,
    Node,
    Numerics,
    Optimizer,
    Paths,
    Scheduler,
    Seed,
    Study,
    Target,
)

OPEN = ("corpus.labels",)  # nodes below which a command line may add any key


class Common(Node):
    """Keys that all commands but `runs` share."""

    target: Literal["emotion", "sentiment"] = Field("emotion", description="what is predicted")
    corpus: Corpus
    media: Media
    checkpoints: dict[str, str | None] = Field(
        description="pretrained weights: a hub name, a folder, bundled:NAME or mini:NAME"
    )
    numerics: Numerics
    machine: Machine
    study: Study
    paths: Paths
    rerun: bool = Field(False, description="make a finished run again instead of reading it")


class Train(Common):
    """One run, or a sweep of them."""

    unused = ("data.groups",)  # datamodules give it to their base class

    model: Target
    predictions: str | None = Field(
        None, description="with model=imported: a CSV or Parquet file, a column for each label"
    )
    warm_start: str | None = Field(
        None,
        description="a finished run whose weights this one starts from: its folder, hash or name;"
        " in a study's table TABLE.ROW, the row's run of the same seed",
    )
    data: Target
    optimizer: Optimizer
    scheduler: Scheduler
    logger: Target = Field(description="where metrics go, besides each run's metrics.csv")
    seed: Seed = Field(1, description="seed of weights, batches and dropout")
    epochs: int = Field(3, ge=1, description="passes over the training split")
    gradient_clip: float = Field(1.0, ge=0, description="largest gradient norm; 0: no clipping")
    eval_batch_size: int = Field(64, ge=1, description="utterances per batch when scoring")
    monitor: str = Field("val/weighted_f1", description="the val/ metric that chooses the epoch")
    keep_last: bool = Field(
        False, description="keep last.ckpt, the weights of the last epoch, of a finished run"
    )


class Fuse(Common):
    """One fusion of finished runs."""

    unused = ("media", "checkpoints", "machine")

    fusion: Target
    runs: dict[str, str | None] = Field(
        {"text": None, "audio": None, "video": None},
        description="for each modality the folder of its finished run; any name will do",
    )
    alternatives: dict[str, list[str]] = Field(
        {},
        description="where a run was chosen on val: the folders of the runs it was chosen over, by"
        " modality; the choice is then repeated without each fold of val",
    )
    modalities: list[str] | None = Field(
        None, description="those of `runs` to fuse, such as [text, audio]; null: all"
    )
    folds: int = Field(
        5,
        ge=2,
        description="cross-validation folds over val, each of whole dialogues; the time of a choice"
        " grows with their square",
    )
    monitor: str = Field("val/weighted_f1", description="the val/ metric that chooses the fusion")
    seed: Seed = Field(1, description="seed of the fusions that are fitted")


class Prepare(Common):
    """Corpus, clips and checkpoints made ready."""

    unused = ("target", "rerun", "numerics", "machine", "paths.runs", "paths.experiments")

    only: Literal["checkpoints"] | None = Field(
        None, description="checkpoints: get these alone, where there is a network but no corpus"
    )
    shard: int = Field(
        0, ge=0, le=1023, description="--multirun shard=0,1,2 shares decoding among 3 processes"
    )


class Tables(Common):
    """Tables and figures of a study."""

    tables: list[str] = Field(description="the tables and figures to make")
    table: dict[str, Any] = Field(
        description="the declaration of each table; see conf/table/ and conf/study/tables/"
    )
    reports: str = Field(
        "reports", description="folder in which the page is written, as STUDY/index.html"
    )
    logger: Target = Field(description="where metrics go, besides each run's metrics.csv")


class Report(Tables):
    """Tables, figures and page of a study, from runs that exist."""

    unused = ("rerun", "machine", "logger", "hydra/launcher")

    serve: bool = Field(
        False, description="serve the page on 127.0.0.1, and write it again when runs finish"
    )
    port: int = Field(7861, ge=1, le=65535, description="of the page that is served")


class Doctor(Tables):
    """Whether this machine can run a study."""

    unused = ("rerun",)

    measure_s: float = Field(
        60, ge=0, description="seconds to measure how long the study takes; 0: not at all"
    )


class Dashboards(Common):
    """Views and reports in W&B."""

    unused = (
        *("target", "rerun", "corpus", "media", "checkpoints", "numerics", "machine"),
        *(
            "study.title",
            "study.note",
            "study.compare_to_paper",
            "study.show_paper",
            "study.show_clips",
            "study.seeds",
            "study.tables",
            "study.split_by",
        ),
        *("paths.cache", "hydra/launcher"),
    )

    logger: Target = Field(description="where metrics go, besides each run's metrics.csv")
    monitor: str = Field("val/weighted_f1", description="the val/ metric that the curves show")


class Export(Common):
    """A run or a fusion as one folder."""

    unused = (
        *("target", "rerun", "corpus", "media", "checkpoints", "numerics", "machine", "study"),
        *("paths.runs", "paths.experiments", "hydra/launcher"),
    )

    from_: str | None = Field(None, alias="from", description="folder of a finished run or fusion")
    to: str | None = Field(None, description="the folder to write; null only pushes an export")
    overwrite: bool = Field(False, description="replace the export that lies in `to`")
    license: str | None = Field(None, description="the licence you give it, such as apache-2.0")
    push: str | None = Field(None, description="upload it to the Hugging Face hub as OWNER/NAME")
    private: bool = Field(True, description="whether a repository that push makes is private")


class Runs(Node):
    """The run folders that are there; see docs/runs.md."""

    unused = ("paths.cache", "hydra/launcher")
    actions: ClassVar[dict[str, str]] = {
        "list": "the runs here, with their val scores; KEY=VALUE of their settings selects some",
        "show": "HASH: all about one run, and the command that makes it again",
        "compare": "HASH HASH: differences in settings and provenance, and a paired test on val",
        "best": "key=KEY: the best val score for each value of a setting, such as key=model",
        "failed": "what failed, the last line of why, and the log",
        "clean": "what could be deleted, and its size; yes=true deletes it",
    }

    sort: str = Field(
        "when", description="list: when, score, size, name, or a setting such as optimizer.lr"
    )
    key: str = Field("model", description="best: the setting whose values are the groups")
    what: list[Literal["unfinished", "leftovers", "last", "damaged", "weights"]] = Field(
        ["unfinished", "leftovers", "last"],
        description="clean: unfinished runs; temporary files of killed processes; last.ckpt of"
        " finished runs; damaged runs; weights of all runs but the best of each model",
    )
    yes: bool = Field(False, description="clean: delete what is listed")
    json_: bool = Field(False, alias="json", description="print JSON, for programs")
    sweeps: str = Field("multirun", description="failed: the folder of the sweeps' logs")
    paths: Paths


COMMANDS: dict[str, type[Node]] = {
    "fetch": Fetch,
    "doctor": Doctor,
    "prepare": Prepare,
    "train": Train,
    "fuse": Fuse,
    "reproduce": Tables,
    "report": Report,
    "dashboards": Dashboards,
    "export": Export,
    "predict": Predict,
    "demo": Demo,
    "runs": Runs,
}
