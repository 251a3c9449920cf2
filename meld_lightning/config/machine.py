"""The nodes of the commands that set up a machine; see nodes.py for the others."""

from pydantic import Field

from meld_lightning.config.parts import Node


class Fetch(Node):
    """MELD, got from its official address, from a mirror, or from an archive at hand."""

    unused = ("hydra/launcher",)

    to: str = Field("data/MELD", min_length=1, description="the folder that is to hold MELD")
    clips: bool = Field(True, description="get the clips, too; false: the CSV files alone, 1.5 MB")
    archive: str | None = Field(None, description="MELD.Raw.tar.gz at hand, instead of a download")
    url: str | None = Field(None, description="another address of MELD.Raw.tar.gz")
    accept: bool = Field(False, description="accept MELD's terms, where no terminal can ask")
    keep_archive: bool = Field(False, description="keep the downloaded archive once it is unpacked")
