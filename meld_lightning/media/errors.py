"""The error of a clip that cannot be decoded; raised in this room, recorded by worker.py."""

from meld_lightning.errors import UserError


class MediaError(UserError):
    """A clip that cannot be decoded; `reason`, without the file's name, goes to the corpus
    report."""

    def __init__(self, path: object, reason: str) -> None:
        super().__init__(f"{path}: {reason}")
        self.reason = reason
