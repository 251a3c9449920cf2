"""The processes of one run: this one alone, or under DDP one per device, on one machine or several.

Used by training. On one machine they are started here. On a cluster Slurm has started them, and
`launching.slurm_task` has set the variables that torchrun uses. The parent passes signals to stop
on to every rank, and raises a rank's error as its own.
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

START = "spawn"  # how multiprocessing starts the ranks: CUDA does not survive a fork
LEAVE_S = 20  # how long the other ranks may take to end after one has ended
WAIT_FOR_OTHERS_S = 10  # how long rank 0 waits for the others to notice that it has ended
WAIT_FOR_RANK_ZERO = timedelta(days=30)  # rank 0 may wait for another process with the same run
RUN, READ, FAILED = "run", "read", "failed"  # messages of rank 0
_PR_SET_PDEATHSIG = 1  # linux/prctl.h


def started_outside(world_size: int) -> bool:
    """Whether this process is one of `world_size` ranks that a cluster has started."""
    return (
        world_size > 1
        and os.environ.get("WORLD_SIZE") == str(world_size)
        and "LOCAL_WORLD_SIZE" in os.environ
    )


def run_ranks(run: Callable[[Path], None], folder: Path, world_size: int, accelerator: str) -> None:
    """Calls `run(folder)` here or in `world_size` processes on this machine; raises what a rank
    raised."""
    if world_size == 1 or started_outside(world_size):
        run(folder)
        return
    gpus = torch.cuda.device_count() if accelerator in ("auto", "cuda") else 0
    if 0 < gpus < world_size:
        raise UserError(
            f"numerics.world_size={world_size}: expected at most {gpus}, the number of this"
            " machine's GPUs; set machine.accelerator=cpu, or use hydra/launcher=slurm, with which"
            " a run spans several machines"
        )
    ranks = torch.multiprocessing.start_processes(
        _rank,
        args=(run, folder, world_size, _free_port()),
        nprocs=world_size,
        join=False,
        start_method=START,
    )
    forward = functools.partial(_forward, [process.pid for process in ranks.processes])
    before = {number: signal.signal(number, forward) for number in SIGNALS}
    try:
        while not ranks.join(grace_period=LEAVE_S):
            pass
    except (ProcessRaisedException, ProcessExitedException) as error:
        kind, _, message = str(error).strip().splitlines()[-1].partition(": ")
        own = getattr(errors, kind.removeprefix("meld_lightning.errors."), None)
        raise (
            own(message) if own else UserError(f"{folder}: a rank failed: {kind} {message}")
        ) from error
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


class RankZeroChannel:
    """Carries one message, RUN, READ or FAILED, from rank 0 to the other ranks of a run that a
    cluster has started.

    The other ranks end after rank 0, not before: Slurm kills what is left of a job when its first
    task ends.
    """

    def __init__(self, world_size: int) -> None:
        self.is_rank_zero, self.others = int(os.environ["RANK"]) == 0, world_size - 1
        # one port serves this store and, later, torch's own
        self._store = torch.distributed.TCPStore(
            os.environ["MASTER_ADDR"],
            int(os.environ["MASTER_PORT"]),
            world_size,
            is_master=self.is_rank_zero,
            timeout=WAIT_FOR_RANK_ZERO,
            wait_for_workers=False,
            multi_tenant=True,
        )

    @contextmanager
    def sending(self) -> Iterator[Callable[[str], None]]:
        """On rank 0: gives the function that sends the message; sends FAILED if the block
        raises."""
        send = functools.partial(self._store.set, "message")
        try:
            yield send
        except BaseException:
            send(FAILED)
            raise
        finally:
            self._store.set("ended", "")
            # a late rank would otherwise look for a store that is gone
            deadline = time.monotonic() + WAIT_FOR_OTHERS_S
            while self._store.add("left", 0) < self.others and time.monotonic() < deadline:
                time.sleep(0.05)

    @contextmanager
    def receiving(self) -> Iterator[str]:
        """On the other ranks: gives the message to a block that acts on it, and waits for rank 0 to
        end. UserError if rank 0 failed."""
        try:
            message = self._store.get("message").decode()
            if message == FAILED:
                raise UserError("rank 0 failed: its log says why")
            yield message
            with contextlib.suppress(
                torch.distributed.DistNetworkError
            ):  # rank 0 has ended, and the store with it
                self._store.get("ended")
        finally:
            with contextlib.suppress(torch.distributed.DistNetworkError):
                self._store.add("left", 1)


def _rank(
    index: int, run: Callable[[Path], None], folder: Path, world_size: int, port: int
) -> None:
    """Runs as rank `index` of `world_size`, with the variables set that torchrun uses."""
    if sys.platform == "linux":
        # kills this rank if the parent dies: torch would send SIGINT, and the same command could
        # start the run again while this rank is still saving
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    # the platform's default, as in a run of one process: with "spawn", locks such as tqdm's would
    # be reported as leaked when the rank ends
    torch.multiprocessing.set_start_method(None, force=True)
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
    # the work is done; a regular exit sometimes aborts, because a thread of torch still uses the
    # interpreter
    os._exit(0)


def _forward(processes: Sequence[int], number: int, frame: FrameType | None) -> None:
    for process in processes:
        with contextlib.suppress(ProcessLookupError):
            os.kill(process, number)


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])
