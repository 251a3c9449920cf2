"""Python and the libraries: installed versions, devices, sound, decoders.

Imports the libraries and computes a little with each; writes nothing.
"""

import sys
from collections.abc import Callable, Collection, Iterator, Mapping
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement

from meld_lightning.config.words import counted
from meld_lightning.doctor.finding import Finding, of_this_machine, stop_if_refused
from meld_lightning.errors import UserError, first_line
from meld_lightning.runs.provenance import DRIVERS

INSTALL = "run: make setup, or pip install -c constraints.txt -e ."
PYTHON = (3, 11)


def examine_software(cfg: Mapping[str, Any], elsewhere: bool = False) -> Iterator[Finding]:
    """One finding each about Python, the libraries, the device, sound and decoders, as they come:
    what a library that is missing breaks stands below the finding that says so.

    cfg: the nodes numerics, machine and media. elsewhere: whether runs are made on other machines,
        whose devices are not looked at.
    """
    yield _python()
    yield _libraries()
    device = _if_imported("device", lambda: _device(cfg["machine"], cfg["numerics"]))
    yield of_this_machine(device) if elsewhere else device
    yield _torchaudio()
    yield _if_imported("decoders", lambda: _decoders(cfg["media"]))


def _if_imported(subject: str, look: Callable[[], Finding]) -> Finding:
    """What `look` finds; a library that it cannot import stops the study."""
    try:
        return stop_if_refused(subject, look)
    except ImportError as error:
        return Finding("stop", subject, f"cannot be looked at ({first_line(error)}); {INSTALL}")


def _python() -> Finding:
    found = ".".join(map(str, sys.version_info[:3]))
    if sys.version_info < PYTHON:
        return Finding("stop", "Python", f"{found}; install {'.'.join(map(str, PYTHON))} or newer")
    return Finding("ok", "Python", f"{found} in {sys.prefix}")


def _libraries() -> Finding:
    """Holds the installed versions against the floors that pyproject.toml states."""
    try:
        stated = requires("meld-lightning") or []
    except PackageNotFoundError:
        return Finding("note", "libraries", f"meld-lightning itself is not installed; {INSTALL}")
    wrong, count = [], 0
    for requirement in map(Requirement, stated):
        if requirement.marker is not None and not requirement.marker.evaluate({"extra": ""}):
            continue
        count += 1
        try:
            found = version(requirement.name)
        except PackageNotFoundError:
            wrong.append(f"{requirement.name} is not installed")
            continue
        if not requirement.specifier.contains(found, prereleases=True):
            wrong.append(f"{requirement.name} {found} is not {requirement.specifier}")
    if wrong:
        return Finding("stop", "libraries", f"{', '.join(wrong)}; {INSTALL}")
    return Finding("ok", "libraries", f"all {count} have the versions that are needed")


def _device(machine: Mapping[str, Any], numerics: Mapping[str, Any]) -> Finding:
    """Computes on the device that runs would use."""
    import torch

    built = f"torch {torch.__version__}, built for CUDA {torch.version.cuda or '(none)'}"
    wants_gpu = machine["accelerator"] in ("auto", "cuda")
    if wants_gpu and torch.cuda.is_available():
        count, name = torch.cuda.device_count(), torch.cuda.get_device_name(0)
        try:
            torch.ones(8, 8, device="cuda").mm(torch.ones(8, 8, device="cuda")).cpu()
        except RuntimeError as error:
            reason = first_line(error)
            return Finding("stop", "device", f"{built}, cannot compute on {name}: {reason}")
        if count < numerics["world_size"]:
            wanted = f"numerics.world_size={numerics['world_size']}"
            raise UserError(f"{counted(count, 'GPU')} here, {wanted}: give a smaller one")
        return Finding("ok", "device", f"{count} x {name}; {built}")
    if machine["accelerator"] == "cuda":
        raise UserError(f"machine.accelerator=cuda, but {built} finds no GPU; check nvidia-smi")
    if wants_gpu and any(Path(driver).exists() for driver in DRIVERS):
        return Finding(
            "note",
            "device",
            f"the CPU, although there is a GPU driver: {built} cannot use it; check nvidia-smi for"
            " the driver's CUDA version",
        )
    return Finding("ok", "device", f"the CPU, {torch.get_num_threads()} threads; {built}")


def examine_precision(accelerator: str, precisions: Collection[str]) -> Finding:
    """Whether the faster precision is used. precisions: Lightning's names, of the runs."""
    import torch

    from meld_lightning.training.process import is_bf16_fast

    on_gpu = accelerator in ("auto", "cuda") and torch.cuda.is_available()
    fast = is_bf16_fast("cuda" if on_gpu else "cpu")
    what = "bf16 is fast here" if fast else "bf16 is emulated here, and slower than fp32"
    used = f"{what}; the runs use {' and '.join(sorted(set(precisions)))}"
    if all(fast == (one == "bf16-mixed") for one in precisions):
        return Finding("ok", "precision", used)
    better = "bf16" if fast else "fp32"
    return Finding(
        "note",
        "precision",
        f"{used}; numerics={better} makes other runs, whose results differ a little, and faster",
    )


def _torchaudio() -> Finding:
    import torch

    try:
        import torchaudio

        torchaudio.functional.resample(torch.zeros(480), 48000, 16000)
    except (ImportError, OSError, RuntimeError) as error:
        reason = first_line(error)
        return Finding(
            "stop",
            "torchaudio",
            f"does not load ({reason}); install the version in constraints.txt from where torch"
            " came: PyPI's x86-64 wheel needs the CUDA build of torch",
        )
    return Finding("ok", "torchaudio", f"{torchaudio.__version__} loads and resamples")


def _decoders(media: Mapping[str, Any]) -> Finding:
    import av

    ffmpeg = ".".join(map(str, av.library_versions["libavcodec"]))
    text = f"PyAV {av.__version__} with FFmpeg's libavcodec {ffmpeg}"
    for codec in ("h264", "aac"):
        try:
            av.codec.Codec(codec, "r")
        except (av.error.FFmpegError, ValueError):  # ValueError: PyAV's own, of an unknown codec
            raise UserError(f"{text} cannot decode {codec}; install the wheel from PyPI") from None
    if media["decoder"] == "decord":
        try:
            import decord
        except ImportError:
            raise UserError(
                'media.decoder=decord: not installed; run: pip install "meld-lightning[decord]"'
            ) from None
        text += f"; decord {decord.__version__}"
    return Finding("ok", "decoders", text)
