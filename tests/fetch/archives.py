"""Small archives in the form of MELD's, whole or hostile."""

import gzip
import io
import tarfile
from collections.abc import Sequence
from pathlib import Path

from meld_lightning.corpus.labels import SPLITS
from meld_lightning.corpus.readers.meld import COLUMNS
from meld_lightning.corpus.readers.meld_files import CSV_NAMES
from meld_lightning.fetch.sources import Contents, Known, Published
from meld_lightning.storage.fingerprint import bytes_digest

Member = tuple[tarfile.TarInfo, bytes]
FOLDERS = {"train": "train_splits", "val": "dev_splits_complete", "test": "output_repeated_splits"}
INNER = {"train": "train", "val": "dev", "test": "test"}
CLIPS = 3  # of each split
RECUT = "final_videos_testdia0_utt1.mp4"


def file(name: str, content: bytes = b"content") -> Member:
    info = tarfile.TarInfo(name)
    info.size = len(content)
    return info, content


def other(name: str, kind: bytes, target: str = "") -> Member:
    """A member that is no file: a link, a device, a folder."""
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, target
    return info, b""


def packed(members: Sequence[Member]) -> bytes:
    """The members as a .tar.gz file."""
    plain = io.BytesIO()
    with tarfile.open(fileobj=plain, mode="w") as tar:
        for info, content in members:
            tar.addfile(info, io.BytesIO(content))
    return gzip.compress(plain.getvalue(), 1)


def csv_of(split: str) -> bytes:
    rows = [
        f"Hello {split} {n},Ross,joy,positive,0,{n},1,1,00:00:0{n}.0,00:00:0{n + 1}.0"
        for n in range(CLIPS)
    ]
    return "\n".join([",".join(COLUMNS), *rows, ""]).encode()


def meld_archive(csvs: bool = False) -> bytes:
    """MELD.Raw.tar.gz with a few clips; with `csvs` it holds train's CSV file, too."""
    outer = []
    for split, name in INNER.items():
        clips = [f"{FOLDERS[split]}/dia0_utt{number}.mp4" for number in range(CLIPS)]
        if split == "test":
            clips += [f"{FOLDERS[split]}/{RECUT}", f"{FOLDERS[split]}/._dia0_utt0.mp4"]
        inner = [file(clip, clip.encode() * 50) for clip in clips]
        if csvs and split == "train":
            inner.append(file(CSV_NAMES["train"], csv_of("train")))
        outer.append(file(f"MELD.Raw/{name}.tar.gz", packed(inner)))
    return packed([*outer, file("MELD.Raw/README.txt")])


def published(archive: bytes, urls: tuple[str, ...], csv_url: str) -> Published:
    """What is known of the small MELD. csv_url: the folder of its CSV files."""
    return Published(
        Known("MELD.Raw.tar.gz", urls, len(archive), bytes_digest([archive])),
        tuple(
            Known(
                CSV_NAMES[split],
                (f"{csv_url}/{CSV_NAMES[split]}",),
                len(csv_of(split)),
                bytes_digest([csv_of(split)]),
            )
            for split in SPLITS
        ),
        Contents(dict.fromkeys(SPLITS, CLIPS), dict.fromkeys(SPLITS, CLIPS), 1),
    )


def written(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path
