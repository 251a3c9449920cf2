"""Whether a study's largest run fits into memory, with the arithmetic.

Reads what Linux says of its memory and of this process's control groups; writes nothing.
"""

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from meld_lightning.doctor.finding import Finding
from meld_lightning.doctor.weights import FLOAT, GB, not_counted, state_of

MEMINFO, OWN_GROUPS = Path("/proc/meminfo"), Path("/proc/self/cgroup")
CGROUPS = Path("/sys/fs/cgroup")
# A process with torch, Lightning and transformers; a training of MiniLM on the CPU holds about it.
PROCESS_BYTES = 1.5e9
TRAINED = 4  # while it trains, a model is there with its gradients and AdamW's two averages


def examine_memory(runs: Sequence[int | None], at_once: int, accelerator: str) -> Finding:
    """Whether the largest run fits into memory, as often as runs are made side by side."""
    import torch

    weights = TRAINED * FLOAT * max((one for one in runs if one is not None), default=0)
    text = (
        f"{weights / GB:.1f} GB for weights, gradients and AdamW of the largest run, and its"
        " activations"
    )
    if accelerator in ("auto", "cuda") and torch.cuda.is_available():
        free, _ = torch.cuda.mem_get_info()
        text += f"; {free / GB:.1f} GB free on the GPU{not_counted(runs)}"
        if weights > free:
            return Finding("stop", "memory", f"{text}: choose a smaller checkpoint")
        return Finding(state_of(runs), "memory", text)
    needed, free = at_once * (PROCESS_BYTES + weights), memory_free()
    text = (
        f"{needed / GB:.1f} GB needed: {f'{at_once} at a time, each ' if at_once > 1 else ''}"
        f"{PROCESS_BYTES / GB:.1f} GB and {text}; {free / GB:.1f} GB free{not_counted(runs)}"
    )
    if PROCESS_BYTES + weights > free:
        return Finding("stop", "memory", f"{text}: choose a smaller checkpoint")
    if needed > free:
        return Finding("note", "memory", f"{text}: give hydra.launcher.jobs=1")
    return Finding(state_of(runs), "memory", text)


def memory_free() -> int:
    """Bytes that this process may still take: of the machine, or of its control groups, such as
    those of a container or of a job of Slurm."""
    pages = os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    lines = MEMINFO.read_text().splitlines() if MEMINFO.exists() else []
    known = {line.split(":")[0]: int(line.split()[1]) * 1024 for line in lines}
    return min([known.get("MemAvailable", pages), *_left_in_groups()])


def _left_in_groups() -> Iterator[int]:
    """What each control group that limits this process leaves: files in the page cache, which Linux
    drops where memory runs out, are not in use."""
    for line in OWN_GROUPS.read_text().splitlines() if OWN_GROUPS.exists() else []:
        _, kinds, path = line.split(":", 2)
        if kinds == "":  # version 2
            root, most, used, cached = CGROUPS, "max", "current", "inactive_file"
        elif "memory" in kinds.split(","):
            root, cached = CGROUPS / "memory", "total_inactive_file"
            most, used = "limit_in_bytes", "usage_in_bytes"
        else:
            continue
        group = root / path.lstrip("/")
        # in a container the path may be the one outside, and its own group is the root
        for folder in (group, *group.parents):
            if not folder.is_relative_to(root):
                break
            limit = folder / f"memory.{most}"
            if limit.is_file() and (allowed := limit.read_text().strip()).isdecimal():
                stat = dict(map(str.split, (folder / "memory.stat").read_text().splitlines()))
                in_use = int((folder / f"memory.{used}").read_text()) - int(stat.get(cached, 0))
                yield int(allowed) - in_use
