"""The nodes that several commands' configs share: paths, corpus, media, numerics and others, each
key with type, choices, range, default and a line on what it does.

Used by `nodes`, which has a node for each command.
"""

from typing import Annotated, Any, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field

Seed = Annotated[int, Field(ge=0, le=2**32 - 1)]
# ways to divide utterances into groups that are scored apart (report/groupings.py)
GroupingName = Literal[
    "speaker", "each_speaker", "seen", "length", "position", "shift", "agreement"
]
Target = dict[str, Any]  # a node whose keys are the parameters of the class that _target_ names


class Node(BaseModel):
    """Base of the nodes.

    unused: keys and groups that a command takes, so that all commands can be given the same ones,
        and does not use. --help leaves them out.
    actions: the words that a command takes first, each with what it does.
    named: the words without a key that a command takes, as its usage shows them.
    """

    # a node's validator is built when it first checks something, which --help never does
    model_config = ConfigDict(extra="forbid", defer_build=True)
    unused: ClassVar[tuple[str, ...]] = ()
    actions: ClassVar[dict[str, str]] = {}
    named: ClassVar[str] = ""


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
    test_by: Literal["speaker", "dialogue", "text", "row"] | None = Field(
        None,
        description="what corpus.test is divided by: fold corpus.fold of corpus.folds is test, the"
        " next one val, and the others are train beside the first manifest; null: all is test",
    )
    votes: str | None = Field(
        None,
        description="EmotionLines' own file (friends.json), whose readers' votes are joined to the"
        " rows; only counts and scores may be passed on",
    )
    realignment: str | None = Field(
        None,
        description="MELD-FAIR's MELD_video_realignment_timestamps.csv: each row of MELD gets the"
        " clip that holds most of its speech",
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

    keep: list[Literal["frames", "audio", "faces"]] = Field(
        ["frames", "audio"], description="what is decoded; [] for a study of text alone"
    )
    every: int = Field(10, ge=1, description="keep the first frame and every Nth after it")
    size: int = Field(224, ge=8, description="pixels per side, resized and cropped as CLIP does")
    faces: Literal["largest", "all"] = Field(
        "largest", description="the faces that are kept of a clip that shows several"
    )
    face_size: int = Field(224, ge=8, description="pixels per side of a face")
    face_margin: float = Field(
        0.1, ge=0, le=2, description="added around a face, as a share of the longer side of its box"
    )
    face_detector: str | None = Field(
        "${oc.select:checkpoints.face_detector,null}",
        description="folder of TinyFaceDetector's weights, which finds the faces",
    )
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
    show_clips: bool = Field(
        False, description="whether the page shows frames and waveforms of test clips"
    )
    seeds: list[Seed] = Field(
        [1, 2, 3], min_length=1, description="every row of a table is run with each of these"
    )
    tables: list[str] = Field(description="the tables and figures of the report, in order")
    split_by: list[GroupingName] = Field(
        [],
        description="groups of utterances that every table of runs is also scored in, each by"
        " itself; agreement needs corpus.votes",
    )
