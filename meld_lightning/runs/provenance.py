"""Provenance: with which code, libraries and device a result was computed, and how results differ
in that.

Reads the package's own source, git and the installed versions; writes nothing. Used by training and
fusion, which record it in result.json, and by whoever reads finished runs.
"""

import functools
import os
import platform
import subprocess
import sys
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any, Protocol

from meld_lightning.storage.fingerprint import bytes_digest

# Distributions whose versions every result records. Their classes enter identities by name.
VERSIONS = ("torch", "pytorch-lightning", "transformers", "tokenizers", "numpy", "av")
# one of these exists where torch may find a GPU: NVIDIA's driver, WSL's, AMD's
DRIVERS = ("/proc/driver/nvidia", "/dev/dxg", "/dev/kfd")
LIBRARIES = ("torch", "torchaudio", "pytorch_lightning", "transformers", "tokenizers", "numpy")

# Rooms whose code computes results.
RESULT_ROOMS = (
    "metrics.py",
    "corpus",
    "media",
    "pretrained",
    "mini",
    "data",
    "models",
    "training",
    "fusion",
    "runs",
)


class Recorded(Protocol):
    """What a result records of how it was computed."""

    @property
    def source(self) -> str | None: ...
    @property
    def commit(self) -> str | None: ...
    @property
    def versions(self) -> Mapping[str, str]: ...
    @property
    def device(self) -> str: ...
    @property
    def accumulation(self) -> Sequence[Mapping[str, Any]]: ...


@functools.cache
def source_digest() -> str:
    """Twelve hex digits over the source files of RESULT_ROOMS, by path and content."""
    package, parts = Path(__file__).resolve().parents[1], list[bytes]()
    for room in RESULT_ROOMS:
        files = [package / room] if room.endswith(".py") else (package / room).rglob("*.py")
        for file in sorted(files):
            parts.append(file.relative_to(package).as_posix().encode() + b"\0")
            parts.append(file.read_bytes() + b"\0")
    return bytes_digest(parts)[:12]


@functools.cache
def installed_versions() -> dict[str, str]:
    """Python's version and those of VERSIONS."""
    return {"python": platform.python_version(), **{name: version(name) for name in VERSIONS}}


@functools.cache
def git_commit() -> tuple[str | None, bool]:
    """The commit that the package's code stands at and whether files differ from it; (None, False)
    outside git."""
    here = Path(__file__).resolve().parents[1]
    ask = functools.partial(subprocess.run, cwd=here, capture_output=True, text=True, check=False)
    try:
        tracked = ask(["git", "ls-files", "--error-unmatch", "__init__.py"])
        if tracked.returncode != 0:  # no repository, or one that this package merely lies in
            return None, False
        head = ask(["git", "rev-parse", "HEAD"])
        changed = ask(["git", "status", "--porcelain", "--", ".", "../conf", "../hydra_plugins"])
    except OSError:  # git is not installed
        return None, False
    return head.stdout.strip(), bool(changed.stdout.strip())


def differences(results: Sequence[Recorded]) -> list[str]:
    """How the results of one table differ apart from their configs, one phrase per difference.

    For example "torch 2.13.0 and 2.14.1" or "commits 276e6e6 and 70cd8b5". Commits are
    compared only if the package's source differs or was not recorded.
    """
    found = []
    sources = {result.source for result in results}
    if len(sources) > 1 or None in sources:
        commits = [(result.commit or "outside git")[:7] for result in results]
        found += _phrase("commits", commits) or _phrase(
            "package source", [result.source or "not recorded" for result in results]
        )
    for name in dict.fromkeys(name for result in results for name in result.versions):
        found += _phrase(name, [result.versions.get(name, "not recorded") for result in results])
    found += _phrase("devices", [result.device for result in results])
    found += _phrase("gradient accumulation", [_accumulation(result) for result in results])
    return found


def device_here(accelerator: str) -> str:
    """The name of the device that this process computes on, as results record it.

    accelerator: auto, cpu, cuda or mps (machine.accelerator).
    """
    has_gpu = sys.platform == "darwin" or any(Path(file).exists() for file in DRIVERS)
    if accelerator == "cpu" or not has_gpu:
        return f"cpu {platform.machine()}"  # without the seconds that importing torch takes
    import torch

    if accelerator in ("auto", "cuda") and torch.cuda.is_available():
        return torch.cuda.get_device_name(int(os.environ.get("LOCAL_RANK", 0)))
    kind = "mps" if torch.backends.mps.is_available() else "cpu"
    return f"{kind} {platform.machine()}"


def differences_from_here(results: Sequence[Recorded], device: str | None = None) -> str:
    """How finished runs differ from what would run here now, as one phrase; empty if they do not.

    device: the device that would be used here; None where that is not known, as on the login node
        of a cluster.
    """
    now, counts = installed_versions(), dict[str, int]()
    for result in results:
        if device is not None and result.device != device:
            phrase = f"{result.device} (here {device})"
            counts[phrase] = counts.get(phrase, 0) + 1
        if result.source not in (None, source_digest()):
            counts["other package source"] = counts.get("other package source", 0) + 1
        for name, was in result.versions.items():
            if name in now and was != now[name]:
                phrase = f"{name} {was} (here {now[name]})"
                counts[phrase] = counts.get(phrase, 0) + 1
    every = len(results)
    return ", ".join(
        phrase if count == every else f"{phrase} for {count} of them"
        for phrase, count in counts.items()
    )


def _phrase(what: str, values: Sequence[str]) -> list[str]:
    distinct = list(dict.fromkeys(values))
    if len(distinct) < 2:
        return []
    return [f"{what} {', '.join(distinct[:-1])} and {distinct[-1]}"]


def _accumulation(result: Recorded) -> str:
    most = max((one["microbatches"] for one in result.accumulation), default=1)
    return "none" if most == 1 else f"up to {most} microbatches"
