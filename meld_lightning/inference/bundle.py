"""bundle.json: the description of an exported folder, with the digest of each of its files.

    README.md                   the model card; free to edit, so it has no digest
    bundle.json                 written last
    val_scores.safetensors      calibrated probabilities and labels of val, without keys or texts
    fusion/ or calibration/     the fitted fusion, or the temperature of a single run
    members/<modality>/         config.yaml, result.json, member.json, model.safetensors and, for a
                                model with pretrained weights, checkpoint/

Written by export/folder.py; read by loaded.py, source.py and export/push.py.
"""

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path, PurePosixPath

from pydantic import ConfigDict, TypeAdapter, with_config

from meld_lightning.errors import UserError, first_line
from meld_lightning.storage.atomic import json_text
from meld_lightning.storage.fingerprint import file_digest
from meld_lightning.storage.json_files import read_json

VERSION = version("meld-lightning")
FORMAT = 1  # raised when the folder's layout or the meaning of its files changes
FILE, CARD = "bundle.json", "README.md"
MEMBERS, FUSION, CALIBRATION = "members", "fusion", "calibration"
AGAIN = "export it again, or copy the whole folder again"


@dataclass(frozen=True)
class Estimate:
    """A metric with its 95 % interval; None where there is only one unit to resample."""

    value: float
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True)
class Scores:
    """The scores of an exported run or fusion on one split.

    n: number of utterances, including those without a modality.
    metrics: by name, such as weighted_f1.
    """

    n: int
    metrics: dict[str, Estimate]


@with_config(ConfigDict(extra="forbid"))
@dataclass(frozen=True)
class Bundle:
    """An exported folder.

    Attributes:
        name: modality and model of the exported run, such as fusion-chosen.
        fused: True for a fusion, False for a single run.
        labels: names of the classes, in the order of every stored vector.
        modalities: in the order of the fusion's axis.
        target: what is predicted: emotion or sentiment.
        corpus: the name of the corpus that it was trained on.
        mini: whether that is the mini corpus, or a checkpoint was made from the mini corpus.
        scores: split -> scores, for val and test.
        package: the version of meld_lightning that wrote the export.
        sha256: path in the folder -> digest, for every file except bundle.json and the card.
    """

    folder: Path
    name: str
    fused: bool
    labels: tuple[str, ...]
    modalities: tuple[str, ...]
    target: str
    corpus: str
    mini: bool
    scores: dict[str, Scores]
    package: str = VERSION
    format: int = FORMAT
    sha256: dict[str, str] = field(default_factory=dict)

    @property
    def fusion_folder(self) -> Path:
        """Where load_fusion finds the fitted fusion, or a single run's temperature."""
        return self.folder / (FUSION if self.fused else CALIBRATION)

    def member_folder(self, modality: str) -> Path:
        """The folder of one modality's model."""
        return self.folder / MEMBERS / modality

    def check_files(self, below: str = "") -> None:
        """UserError if a file whose path starts with `below` is missing or altered."""
        for name, sha256 in self.sha256.items():
            if not name.startswith(below):
                continue
            if not (self.folder / name).is_file():
                raise UserError(f"{self.folder / name}: missing from the export; {AGAIN}")
            if file_digest(self.folder / name) != sha256:
                raise UserError(f"{self.folder / name}: not the file that was exported; {AGAIN}")


def is_export(folder: Path) -> bool:
    """Whether an export's bundle.json lies in `folder`."""
    return (folder / FILE).is_file()


def read_bundle(folder: Path) -> Bundle:
    """The export in `folder`; its files are not checked yet, see Bundle.check_files.

    Raises UserError if there is none, if bundle.json is damaged, or if its format is another one.
    """
    path = folder / FILE
    if not path.is_file():
        raise UserError(f"{folder}: no export there: it has no {FILE}")
    try:
        stored = read_json(path)
        if stored["format"] != FORMAT:
            raise UserError(
                f"{path}: format {stored['format']}, written by meld-lightning"
                f" {stored.get('package')}; {VERSION} reads format {FORMAT}: export it again with"
                " this version, or install that one"
            )
        bundle = TypeAdapter(Bundle).validate_python({**stored, "folder": folder})
        _check_names(bundle)
        return bundle
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        said = first_line(error)
        raise UserError(f"{path}: damaged ({said}); {AGAIN}") from error


def _check_names(bundle: Bundle) -> None:
    """ValueError for a file or modality whose name leads out of the export."""
    for name in (*bundle.sha256, *(f"{MEMBERS}/{one}" for one in bundle.modalities)):
        parts = PurePosixPath(name).parts
        if name.startswith("/") or ".." in parts or "\0" in name:
            raise ValueError(f"{name!r} leads out of the folder")
    if not bundle.modalities or any("/" in one or not one for one in bundle.modalities):
        raise ValueError(f"modalities {bundle.modalities}, expected names")


def write_bundle(bundle: Bundle, folder: Path) -> None:
    """Writes bundle.json into `folder`, with the digests of the files in it."""
    digests = {name: file_digest(folder / name) for name in _files(folder)}
    stored = dataclasses.asdict(dataclasses.replace(bundle, sha256=digests))
    del stored["folder"]
    (folder / FILE).write_text(json_text(stored), encoding="utf-8")


def _files(folder: Path) -> Iterator[str]:
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if path.is_file() and name not in (FILE, CARD):
            yield name
