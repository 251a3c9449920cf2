"""The error of a clip that cannot be decoded; raised in this room, recorded by worker.py."""

from meld_lightning.errors import UserError


class MediaError(UserError):
    """A clip that cannot be decoded.

    reason: without the file's name; the corpus report groups clips by it.
    detail: what concerns this clip alone; part of the message, and not of the reason.
    """

    def __init__(self, path: object, reason: str, detail: str | None = None) -> None:
        super().__init__(f"{path}: {reason}" + (f" ({detail})" if detail else ""))
        self.reason = reason
