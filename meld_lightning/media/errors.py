"""Why a clip gives no frames or no sound."""

from meld_lightning.errors import UserError


class MediaError(UserError):
    """A clip that cannot be read; `reason` is what the corpus report says of it, without the file's
    name."""

    def __init__(self, path: object, reason: str) -> None:
        super().__init__(f"{path}: {reason}")
        self.reason = reason
