"""The processes of one run: this one, or under DDP one a device, each told its rank as torchrun would tell it.

Used by training. A stop asked of the parent is asked of every rank; a rank's own words come back as one error.
"""

import contextlib
import functools
import os
import signal
import socket
from collections.abc import Callable, Sequence
from pathlib import Path
from types import FrameType

import torch
from torch.multiprocessing import ProcessExitedException, ProcessRaisedException

from meld_lightning.errors import Stopped, UserError

LEAVE_S = 60  # how long the other ranks may take when one leaves


def start_ranks(run: Callable[[Path], None], folder: Path, world_size: int, accelerator: str) -> None:
    """Calls `run(folder)` here, or in `world_size` processes on this machine; raises what a rank raised."""
    if world_size == 1:
        run(folder)
        return
    gpus = torch.cuda.device_count() if accelerator in ("auto", "cuda") else 0
    if 0 < gpus < world_size:
        raise UserError(f"numerics.world_size={world_size}: this machine has {gpus} GPUs")
    ranks = torch.multiprocessing.start_processes(
        _rank, args=(run, folder, world_size, _free_port()), nprocs=world_size, join=False, start_method="spawn"
    )
    forward = functools.partial(_forward, [process.pid for process in ranks.processes])
    before = {number: signal.signal(number, forward) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        while not ranks.join(grace_period=LEAVE_S):
            pass
    except (ProcessRaisedException, ProcessExitedException) as error:
        kind, _, said = str(error).strip().splitlines()[-1].partition(": ")
        if kind.endswith(".Stopped"):
            raise Stopped(said) from None
        raise UserError(said if kind.endswith("UserError") else f"{folder}: a rank failed: {kind} {said}") from error
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _rank(index: int, run: Callable[[Path], None], folder: Path, world_size: int, port: int) -> None:
    """Lightning and the datamodule read these."""
    os.environ.update(
        {
            "RANK": str(index), "LOCAL_RANK": str(index), "WORLD_SIZE": str(world_size),
            "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port),
        }
    )  # fmt: skip
    run(folder)


def _forward(processes: Sequence[int], number: int, frame: FrameType | None) -> None:
    for process in processes:
        with contextlib.suppress(ProcessLookupError):
            os.kill(process, number)


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])
