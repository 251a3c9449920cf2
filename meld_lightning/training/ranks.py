"""The processes of one run: this one alone, or under DDP one a device, on this machine or on
several.

Used by training. On one machine they are started here; on a cluster Slurm has started them and
`launching.slurm_task` has told each its rank, in the variables that torchrun uses. A stop asked of
the parent is asked of every rank; a rank's own words come back as one error.
"""

import contextlib
import ctypes
import functools
import os
import signal
import socket
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from types import FrameType

import torch
from torch.multiprocessing import ProcessExitedException, ProcessRaisedException

from meld_lightning import errors
from meld_lightning.errors import UserError
from meld_lightning.tracking.console import show_messages
from meld_lightning.training.signals import SIGNALS

LEAVE_S = 60  # how long the other ranks may take when one leaves
HEAR_S = 10  # how long the first rank waits for the others to have heard that it ended
PATIENCE = timedelta(
    days=30
)  # of the other ranks while the first waits for another process that has the same run
RUN, READ, FAILED = "run", "read", "failed"  # what the first rank tells the others
_PR_SET_PDEATHSIG = 1  # linux/prctl.h


def started_outside(world_size: int) -> bool:
    """Whether this process is one of `world_size` ranks that a cluster has started."""
    return (
        world_size > 1
        and os.environ.get("WORLD_SIZE") == str(world_size)
        and "LOCAL_WORLD_SIZE" in os.environ
    )


def run_ranks(run: Callable[[Path], None], folder: Path, world_size: int, accelerator: str) -> None:
    """Calls `run(folder)` here, or in `world_size` processes on this machine; raises what a rank
    raised."""
    if world_size == 1 or started_outside(world_size):
        run(folder)
        return
    gpus = torch.cuda.device_count() if accelerator in ("auto", "cuda") else 0
    if 0 < gpus < world_size:
        raise UserError(
            f"numerics.world_size={world_size}: this machine has {gpus} GPUs; with"
            " hydra/launcher=slurm a run spans several"
        )
    ranks = torch.multiprocessing.start_processes(
        _rank,
        args=(run, folder, world_size, _free_port()),
        nprocs=world_size,
        join=False,
        start_method="spawn",
    )
    forward = functools.partial(_forward, [process.pid for process in ranks.processes])
    before = {number: signal.signal(number, forward) for number in SIGNALS}
    try:
        while not ranks.join(grace_period=LEAVE_S):
            pass
    except (ProcessRaisedException, ProcessExitedException) as error:
        kind, _, said = str(error).strip().splitlines()[-1].partition(": ")
        own = getattr(errors, kind.removeprefix("meld_lightning.errors."), None)
        raise (
            own(said) if own else UserError(f"{folder}: a rank failed: {kind} {said}")
        ) from error
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


class Followers:
    """The first rank's word to the others, when a cluster has started them: to run, or that there
    is nothing to run.

    The others leave when the first has ended, and not before: Slurm ends what is left of a job
    whose tasks leave.
    """

    def __init__(self, world_size: int) -> None:
        self.first, self.others = int(os.environ["RANK"]) == 0, world_size - 1
        # one port serves this store and, later, torch's own
        self._store = torch.distributed.TCPStore(
            os.environ["MASTER_ADDR"],
            int(os.environ["MASTER_PORT"]),
            world_size,
            is_master=self.first,
            timeout=PATIENCE,
            wait_for_workers=False,
            multi_tenant=True,
        )

    @contextmanager
    def told(self) -> Iterator[Callable[[str], None]]:
        """Gives the first rank the function that tells the others; a failure in the block is told
        too."""
        tell = functools.partial(self._store.set, "word")
        try:
            yield tell
        except BaseException:
            tell(FAILED)
            raise
        finally:
            self._store.set("ended", "")
            deadline = (
                time.monotonic() + HEAR_S
            )  # whoever is late would look for a store that is gone
            while self._store.add("left", 0) < self.others and time.monotonic() < deadline:
                time.sleep(0.05)

    @contextmanager
    def word(self) -> Iterator[str]:
        """The first rank's word, for a block that does as it says; UserError where the first
        failed."""
        try:
            word = self._store.get("word").decode()
            if word == FAILED:
                raise UserError("the first rank failed: its log says why")
            yield word
            with contextlib.suppress(
                torch.distributed.DistNetworkError
            ):  # it has ended, and the store with it
                self._store.get("ended")
        finally:
            with contextlib.suppress(torch.distributed.DistNetworkError):
                self._store.add("left", 1)


def _rank(
    index: int, run: Callable[[Path], None], folder: Path, world_size: int, port: int
) -> None:
    """Runs as rank `index` of `world_size`, told in the variables that torchrun uses."""
    if sys.platform == "linux":
        # torch would send SIGINT, which asks to save: meanwhile the same command may have started
        # the run again
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    show_messages()
    os.environ.update(
        {
            "RANK": str(index),
            "LOCAL_RANK": str(index),
            "WORLD_SIZE": str(world_size),
            "LOCAL_WORLD_SIZE": str(world_size),
            "MASTER_ADDR": "127.0.0.1",
            "MASTER_PORT": str(port),
        }
    )
    run(folder)
    if torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()
    sys.stdout.flush()
    sys.stderr.flush()
    # its work is done: winding the interpreter down while a thread of torch's still asks for it
    # aborts now and then
    os._exit(0)


def _forward(processes: Sequence[int], number: int, frame: FrameType | None) -> None:
    for process in processes:
        with contextlib.suppress(ProcessLookupError):
            os.kill(process, number)


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])
