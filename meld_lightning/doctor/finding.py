"""One line of what `doctor` prints. Every file of this room returns findings."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal

from meld_lightning.errors import UserError

State = Literal["ok", "note", "stop"]


@dataclass(frozen=True)
class Finding:
    """What was found about one subject.

    state: ok; note, which says what would make the study better or faster; stop, which says what to
        do about something that will stop it.
    """

    state: State
    subject: str
    text: str

    def __str__(self) -> str:
        return f"{self.state:<5} {self.subject}: {self.text}"


def of_this_machine(found: Finding) -> Finding:
    """The finding about this machine where runs are made on others: it stops nothing."""
    if found.state != "stop":
        return found
    return replace(found, state="note", text=f"{found.text} (here: Slurm's machines may differ)")


def stop_if_refused(subject: str, look: Callable[[], Finding]) -> Finding:
    """What `look` finds; what it refuses would stop the study in the same words."""
    try:
        return look()
    except UserError as error:
        return Finding("stop", subject, str(error).removeprefix(f"{subject}: "))
