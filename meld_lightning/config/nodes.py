"""The nodes of the config that no `_target_` describes: the keys of every command, with type,
choices, range, default and a line on what each does.

Defaults are stated here and nowhere else; files under conf/ state what differs from them. Used to
complete, check and document configs (see complete, check and help).
"""

from typing import Annotated, Any, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field

OPEN = ("corpus.labels",)  # nodes below which a command line may add any key
Seed = Annotated[int, Field(ge=0, le=2**32 - 1)]
Target = dict[str, Any]  # a node whose keys are the parameters of the class that _target_ names


class Node(BaseModel):
    """Base of the nodes."""

    model_config = ConfigDict(extra="forbid")


class Paths(Node):
    """Folders, relative to the one the command runs in; not part of a run's identity."""

    cache: str = Field("cache", description="prepared corpora, decoded clips and features")
    runs: str = Field("runs", description="finished and running runs")
    experiments: str = Field("experiments", description="tables, figures and kept evidence")


class Columns(Node):
    """The manifest's own names of columns, where they differ."""

    id: str | None = Field(None, description="the column that names each utterance")
    text: str | None = Field(None, description="the utterances")
    emotion: str | None = Field(None, description="the emotion labels")
    sentiment: str | None = Field(None, description="the sentiment labels")
    split: str | None = Field(None, description="train, val or test")
    speaker: str | None = Field(None, description="the speakers")
    dialogue: str | None = Field(None, description="the dialogues")
    utterance: str | None = Field(None, description="the place of an utterance in its dialogue")
    clip: str | None = Field(None, description="video files")
    audio: str | None = Field(None, description="sound files, if they are not the clips")
    start: str | None = Field(None, description="start times")
    end: str | None = Field(None, description="end times")


class Corpus(Node):
    """The utterances: where they lie and how they are split."""

    name: str = Field(description="what reports call the corpus")
    layout: str = Field(
        "meld", description="the reader: meld for MELD's own files, manifest for a table"
    )
    root: str = Field(description="the corpus's folder, or the manifest's file")
    split: Literal["speaker", "dialogue", "row"] | None = Field(
        None, description="for a manifest without a split column: what is kept whole in one fold"
    )
    folds: int = Field(5, ge=2, description="number of folds that corpus.split makes")
    fold: int = Field(0, ge=0, description="the fold that is test; the next one is val")
    test: str | None = Field(
        None,
        description="a second manifest, all of it test; rows of the first whose unit (corpus.split)"
        " it contains are left out",
    )
    columns: Columns
    labels: dict[str, str | int] = Field(
        {},
        description="the manifest's labels that have another name here: corpus.labels.happy=joy",
    )
    allow_missing: bool = Field(
        False, description="go on where more than a tenth of the files named are missing"
    )


class Media(Node):
    """How clips are decoded; done once, into the cache."""

    keep: list[Literal["frames", "audio"]] = Field(
        ["frames", "audio"], description="what is decoded; [] for a study of text alone"
    )
    every: int = Field(10, ge=1, description="keep the first frame and every Nth after it")
    size: int = Field(224, ge=8, description="pixels per side, resized and cropped as CLIP does")
    rate: int = Field(16000, ge=1000, description="samples per second, mono")
    channels: Literal["center", "mean"] = Field(
        "center", description="5.1 sound: the center channel, which holds dialogue, or the mean"
    )
    decoder: Literal["pyav", "decord"] = Field("pyav", description="the decoder of frames")
    keep_cut: bool = Field(
        False,
        description="of a file that ends before its header says, keep what is left; else it is"
        " reported as missing",
    )
    timeout_s: float = Field(
        60, ge=0.01, description="seconds after which a clip counts as unreadable"
    )
    processes: int = Field(0, ge=0, description="decoding processes; 0: one per core")


class Numerics(Node):
    """What changes the last digits of a result, and is therefore part of a run's identity."""

    precision: Literal["32-true", "bf16-mixed"] = Field(
        "32-true", description="floating-point precision of training and scoring"
    )
    world_size: int = Field(
        1, ge=1, description="processes, one per device; 2 or more train with DDP"
    )
    threads: int = Field(1, ge=1, le=1024, description="CPU threads per process")
    deterministic: bool = Field(True, description="use deterministic algorithms only")


class Machine(Node):
    """The machine a run is computed on; not part of a run's identity."""

    accelerator: Literal["auto", "cpu", "cuda", "mps"] = Field(
        "auto", description="the kind of device"
    )
    workers: int = Field(0, ge=0, description="data-loading processes")
    checkpoint_every_s: float = Field(
        60, ge=0, description="seconds between the checkpoints that a stopped run resumes from"
    )


class Optimizer(Node):
    """An optimizer of torch.optim; further keys are the arguments of its class."""

    model_config = ConfigDict(extra="allow")

    lr: float = Field(2e-5, ge=0, description="peak learning rate")
    weight_decay: float = Field(
        0.01, ge=0, description="weight decay; biases and norms are not decayed"
    )


class Scheduler(Node):
    """The learning rate over the steps of a run."""

    name: Literal[
        "linear", "cosine", "constant", "constant_with_warmup", "polynomial", "inverse_sqrt"
    ] = Field("linear", description="a schedule of transformers.get_scheduler")
    warmup: float = Field(0.0, ge=0, le=1, description="share of all steps that warm up")


class Study(Node):
    """A corpus, checkpoints and the tables that one report is about."""

    name: str = Field(description="name of its folder under paths.experiments")
    title: str = Field(description="heading of the report")
    note: str = Field("", description="what a reader of the report should know first")
    compare_to_paper: bool = Field(
        False, description="whether figures may be called better or worse than the paper's"
    )
    show_paper: bool = Field(
        True, description="whether the tables print the paper's figures beside the study's"
    )
    seeds: list[Seed] = Field(
        [1, 2, 3], description="every row of a table is run with each of these"
    )
    tables: list[str] = Field(description="the tables and figures of the report, in order")


class Common(Node):
    """Keys that every command shares.

    unused: keys and groups that a command takes, so that all commands can be given the same ones,
        and does not use. --help leaves them out.
    """

    unused: ClassVar[tuple[str, ...]] = ()

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

    model: Target
    data: Target
    optimizer: Optimizer
    scheduler: Scheduler
    logger: Target
    seed: Seed = Field(1, description="seed of weights, batches and dropout")
    epochs: int = Field(3, ge=1, description="passes over the training split")
    gradient_clip: float = Field(1.0, ge=0, description="largest gradient norm; 0: no clipping")
    eval_batch_size: int = Field(64, ge=1, description="utterances per batch when scoring")
    monitor: str = Field("val/weighted_f1", description="the val/ metric that chooses the epoch")


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

    shard: int = Field(
        0, ge=0, le=1023, description="--multirun shard=0,1,2 shares decoding among 3 processes"
    )


class Tables(Common):
    """Tables and figures of a study."""

    tables: list[str] = Field(description="the tables and figures to make")
    table: dict[str, Any] = Field(
        description="the declaration of each table; see conf/table/ and conf/study/tables/"
    )
    logger: Target


class Report(Tables):
    """Tables and figures of a study, from runs that exist."""

    unused = ("rerun", "machine", "logger", "hydra/launcher")


class Dashboards(Common):
    """Views and reports in W&B."""

    unused = (
        *("target", "rerun", "corpus", "media", "checkpoints", "numerics", "machine"),
        *(
            "study.title",
            "study.note",
            "study.compare_to_paper",
            "study.show_paper",
            "study.seeds",
            "study.tables",
        ),
        *("paths.cache", "hydra/launcher"),
    )

    logger: Target
    monitor: str = Field("val/weighted_f1", description="the val/ metric that the curves show")


class Export(Common):
    """A run or a fusion as one folder that loads anywhere."""

    unused = (
        *("target", "rerun", "corpus", "media", "checkpoints", "numerics", "machine", "study"),
        *("paths.runs", "paths.experiments", "hydra/launcher"),
    )

    from_: str | None = Field(
        None, alias="from", description="the folder of a finished run or fusion; or of an export"
    )
    to: str | None = Field(None, description="the folder to write; null only pushes an export")
    overwrite: bool = Field(False, description="replace the export that lies in `to`")
    license: str | None = Field(
        None, description="the licence you give the export, as the hub spells it, such as mit"
    )
    push: str | None = Field(
        None, description="upload it to the Hugging Face hub under this name, such as me/emotions"
    )
    private: bool = Field(True, description="whether a repository that push makes is private")


COMMANDS: dict[str, type[Common]] = {
    "prepare": Prepare,
    "train": Train,
    "fuse": Fuse,
    "reproduce": Tables,
    "report": Report,
    "dashboards": Dashboards,
    "export": Export,
}
