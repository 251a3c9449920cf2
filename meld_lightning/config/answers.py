"""The nodes of predict and demo, which answer about clips; see nodes.py for the others."""

from typing import Literal

from pydantic import Field

from meld_lightning.config.parts import Node


class Decoding(Node):
    """How clips are decoded, where it differs from the run's own settings."""

    timeout_s: float = Field(
        3600, ge=0.01, description="seconds after which a clip counts as unreadable"
    )
    processes: int = Field(0, ge=0, description="decoding processes; 0: one per core")
    keep_cut: bool | None = Field(
        None, description="if a file is shorter than its header says, keep what is there"
    )


class PredictPaths(Node):
    """Folders, relative to the one the command runs in."""

    cache: str | None = Field(
        None,
        description="where `prepare` recorded the checkpoints of a run or a fusion; null: where"
        " each run was made",
    )


class Predict(Node):
    """Emotions of clips and texts that no corpus holds."""

    unused = ("hydra/launcher",)
    named = "[CLIP | FOLDER | TABLE ...]"

    clips: list[str] = Field(
        [], description="clips, folders and tables; on a command line they need no key"
    )
    text: str | list[str] | None = Field(
        None, description="the utterance of the clip, or a text alone; several for several clips"
    )
    from_: str | None = Field(
        None, alias="from", description="the folder of a finished run, a fusion or an export"
    )
    out: str | None = Field(
        None, description="the file to write: a name that ends in .csv, .json or .jsonl"
    )
    format: Literal["table", "json", "jsonl", "csv"] = Field(
        "table", description="what is printed: a table for people, or the text of such a file"
    )
    windows: Literal["silence"] | float | None = Field(
        None, description="divide long clips into windows: at silences, or of this many seconds"
    )
    timeline: str | None = Field(
        None, description="the .png file to draw the windows of one clip into"
    )
    asr: str | None = Field(
        None,
        description="the Whisper model that transcribes clips without a text: a folder, or a name"
        " that faster-whisper knows, such as small.en",
    )
    asr_language: str | None = Field(
        None, description="the language of their speech, such as en; null: recognised in each clip"
    )
    risk: float | None = Field(
        None, gt=0, lt=1, description="accepted share of wrong answers; abstains otherwise"
    )
    conformal: float | None = Field(
        None,
        gt=0,
        lt=1,
        description="adds a set of labels that contains the true one with this probability",
    )
    allow_mini: bool = Field(
        False, description="let models made from the mini corpus answer about anything else"
    )
    device: Literal["auto", "cpu", "cuda", "mps"] = Field(
        "auto", description="where the models compute"
    )
    media: Decoding
    paths: PredictPaths


class Demo(Node):
    """A page on this machine that answers about a clip."""

    unused = ("hydra/launcher",)

    from_: str | None = Field(
        None, alias="from", description="the folder of a finished run, a fusion or an export"
    )
    port: int = Field(7860, ge=1, le=65535, description="of the page, on 127.0.0.1 alone")
    risk: float | None = Field(
        None, gt=0, lt=1, description="accepted share of wrong answers; abstains otherwise"
    )
    asr: str | None = Field(
        None, description="the Whisper model that transcribes: a folder, or a name such as small.en"
    )
    asr_language: str | None = Field(
        None, description="the language of the speech, such as en; null: recognised in each clip"
    )
    allow_mini: bool = Field(
        False, description="let models made from the mini corpus answer about anything else"
    )
    device: Literal["auto", "cpu", "cuda", "mps"] = Field(
        "auto", description="where the models compute"
    )
    paths: PredictPaths
