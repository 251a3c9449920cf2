"""Ways of doing one thing, measured in turn: each in a process of its own, results compared before
times.

Used by the benchmarks of this folder. A way is a function of a setting that gives a Timing;
whatever it loads or warms up, it does before `timed`.
"""

import multiprocessing
import os
import resource
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from typing import Any

START = "spawn"  # how multiprocessing starts a measurement's process


@dataclass(frozen=True)
class Timing:
    """wall_s, cpu_s: of the work alone, child processes included. peak_mb: of the largest process.
    units: what was worked on, in frames or utterances. output: what came out, for the
        comparison."""

    wall_s: float
    cpu_s: float
    peak_mb: float
    units: int
    output: Any


def timed(work: Callable[[], Any], units: Callable[[Any], int]) -> Timing:
    """Does the work once. units: from its output to how much it was."""
    wall, cpu = time.perf_counter(), _cpu_s()
    output = work()
    wall, cpu = time.perf_counter() - wall, _cpu_s() - cpu
    peak_mb = max(used.ru_maxrss for used in _usage()) / 1024
    return Timing(wall, cpu, peak_mb, units(output), output)


def in_a_process(function: Callable[..., Any], *arguments: Any) -> Any:
    """Threads, allocator and torch's global switches of one measurement stay out of the next."""
    with ProcessPoolExecutor(1, multiprocessing.get_context(START)) as pool:
        return pool.submit(function, *arguments).result()


def one_thread(threads: int = 1) -> None:
    """To be called before the rounds: what the processes started later will use."""
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        os.environ[name] = str(threads)
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")


def in_turn(
    ways: Sequence[Callable[..., Timing]], rounds: int, *arguments: Any
) -> dict[str, list[Timing]]:
    """Way -> a timing a round; the ways take turns, so that a slow minute counts for all alike."""
    found: dict[str, list[Timing]] = {way.__name__: [] for way in ways}
    for _ in range(rounds):
        for way in ways:
            found[way.__name__].append(in_a_process(way, *arguments))
    return found


def summary(
    rounds: Mapping[str, list[Timing]], unit: str, goals: Mapping[str, float], ours: str
) -> dict[str, Any]:
    """Medians of every way, printed and as JSON-able values.

    `times_ours` compares CPU seconds a unit, round by round: 2 is twice what `ours` takes. goals:
    way -> the times_ours aimed for.
    """
    told: dict[str, Any] = {}
    width = max(map(len, rounds))
    print(f"{'':{width}}  wall ms/{unit}   CPU ms/{unit}   peak MB   times ours (CPU)   goal")
    for name, measured in rounds.items():
        pairs = zip(measured, rounds[ours], strict=True)
        times = [(one.cpu_s / one.units) / (our.cpu_s / our.units) for one, our in pairs]
        wall_ms = [1000 * one.wall_s / one.units for one in measured]
        cpu_ms = [1000 * one.cpu_s / one.units for one in measured]
        told[name] = {
            "wall_ms": statistics.median(wall_ms),
            "cpu_ms": statistics.median(cpu_ms),
            "cpu_ms_rounds": cpu_ms,
            "peak_mb": statistics.median(one.peak_mb for one in measured),
            "times_ours": statistics.median(times),
            "times_ours_rounds": times,
            "units": measured[0].units,
            **({"goal": goals[name]} if name in goals else {}),
        }
        one = told[name]
        goal = f"{goals[name]:g}x" if name in goals else ""
        print(
            f"{name:{width}}{one['wall_ms']:13.3f}{one['cpu_ms']:12.3f}{one['peak_mb']:13.0f}"
            f"{one['times_ours']:16.2f}x{goal:>10}",
            flush=True,
        )
    return told


def _usage() -> list[resource.struct_rusage]:
    """Of this process, and of its children that have ended."""
    return [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]


def _cpu_s() -> float:
    return sum(one.ru_utime + one.ru_stime for one in _usage())
