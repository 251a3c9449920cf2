"""Where MELD is published, under which terms, and what a complete copy of it holds.

Data alone. Used by meld.py.

The archive's size and digest are on no official page. Several public projects have recorded this
size and this sha256 after downloading it, and they are those of the copy on the Hugging Face hub.
The CSV files are those of one commit of MELD's own repository.
"""

from dataclasses import dataclass

from meld_lightning.corpus.readers.meld import OFFICIAL
from meld_lightning.corpus.readers.meld_files import CSV_NAMES

HUB_REPOSITORY = "declare-lab/MELD"
ARCHIVE = "MELD.Raw.tar.gz"
OFFICIAL_URL = f"https://web.eecs.umich.edu/~mihalcea/downloads/{ARCHIVE}"
COMMIT = "e8cedf27b5d2877e198332c957127e16eb214afe"
REPOSITORY_URL = f"https://raw.githubusercontent.com/{HUB_REPOSITORY}/{COMMIT}/data/MELD"

TERMS = (
    "MELD (Poria et al., ACL 2019; https://affective-meld.github.io) is published under GPL-3. Its"
    " clips are copyrighted footage of the series Friends: use them for research, and never pass"
    " them on."
)


@dataclass(frozen=True)
class Known:
    """A published file: its addresses in the order in which they are tried, and its size in bytes
    and sha256 (hex) where they are known."""

    name: str
    urls: tuple[str, ...]
    size: int | None = None
    sha256: str | None = None


@dataclass(frozen=True)
class Contents:
    """What a complete copy holds by split: rows of its CSV files, and clips that a row can use.

    recuts: test clips that have a corrected version beside the wrong one.
    """

    records: dict[str, int]
    clips: dict[str, int]
    recuts: int


@dataclass(frozen=True)
class Published:
    """All of MELD: its archive of clips, its CSV files, and what they hold."""

    archive: Known
    csvs: tuple[Known, ...]
    contents: Contents


def meld() -> Published:
    """MELD as it is published."""
    from huggingface_hub import hf_hub_url  # honours HF_ENDPOINT

    mirror = hf_hub_url(HUB_REPOSITORY, ARCHIVE, repo_type="dataset")
    archive = Known(
        ARCHIVE,
        (OFFICIAL_URL, mirror),
        10_878_146_150,
        "a56b4407d574195cbce470d86f9c9d72fcfea59b0e34502ecd4babee4a5c613e",
    )
    sizes = {
        "train": (1_119_290, "d2fa2d6529cf03cac2989efec05c9b27d8fd2f4c8fc5974c7ae88aa537fa02db"),
        "val": (121_640, "2e89c6f8aa182d6f62f8c6331aece905ac7273ca4999660bfb5213e1d0370c1c"),
        "test": (294_526, "8d37103938f7067600839fe29d5a114a6cd1bcdafb75bec101e06464c5006888"),
    }
    csvs = tuple(
        Known(CSV_NAMES[split], (f"{REPOSITORY_URL}/{CSV_NAMES[split]}",), size, sha256)
        for split, (size, sha256) in sizes.items()
    )
    # 2747 files of test: 2615 clips, of which 132 have a corrected version beside them
    contents = Contents(OFFICIAL, {"train": 9989, "val": 1112, "test": 2615}, 132)
    return Published(archive, csvs, contents)
