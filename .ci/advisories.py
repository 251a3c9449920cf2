"""Known vulnerabilities in the dependencies: of the installed versions and of pyproject's floors.

Reads pyproject.toml and the installed packages; prints one line for each finding and a last line on
what could be checked. The exit status is 1 if there is a finding. Run by .ci/run.

pip-audit asks PyPI about the installed versions. Behind a mirror it may learn nothing, and then it
reports no vulnerability either, so that the packages it could check are counted. The floors are
compared with KNOWN, which whoever raises a floor for such a reason extends.
"""

import json
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator, Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from packaging.requirements import Requirement
from packaging.version import Version

ROOT = Path(__file__).parents[1]
# package -> the first version without the vulnerability, and its name
KNOWN: dict[str, tuple[tuple[str, str], ...]] = {
    "filelock": (("3.20.1", "CVE-2025-68146"), ("3.20.3", "CVE-2026-22701")),
    "fonttools": (("4.60.2", "CVE-2025-66034"),),
    "gradio": (("5.6.0", "CVE-2025-23042"),),
    "hydra-core": (("1.3.4", "dangerous _target_ is not refused"),),
    "opencv-python-headless": (("4.8.1.78", "CVE-2023-4863"),),
    "pillow": (("10.3.0", "CVE-2024-28219"), ("11.3.0", "CVE-2025-48379")),
    "protobuf": (("6.31.1", "CVE-2025-4565"),),
    "pyarrow": (("14.0.1", "CVE-2023-47248"),),
    "pytorch-lightning": (("2.6.4", "GHSA-w37p-236h-pfx3"),),
    "pyyaml": (("5.4", "CVE-2020-14343"),),
    "scikit-learn": (("1.5.0", "CVE-2024-5206"),),
    "torch": (("2.6.0", "CVE-2025-32434"),),
    "tqdm": (("4.66.3", "CVE-2024-34062"),),
    "transformers": (("4.48.0", "CVE-2024-11392"), ("4.53.0", "CVE-2025-6921")),
}


def main() -> int:
    """Prints the findings; 1 if there are any."""
    checked, found = audited()
    floors = floors_of(tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8")))
    found += [f"pyproject.toml: {one}" for one in below(floors)]
    found += [f"installed: {one}" for one in below(installed())]
    print("\n".join(found), end="\n" if found else "")
    said = f"{checked} installed versions" if checked else "PyPI's advisories cannot be reached"
    print(f"advisories: {said}; {len(floors)} floors compared; {len(found)} findings")
    return bool(found)


def audited() -> tuple[int, list[str]]:
    """The number of installed packages that pip-audit could check, and what it found."""
    command = [sys.executable, "-m", "pip_audit", "--format=json", "--progress-spinner=off"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=600)
    try:
        packages = json.loads(done.stdout)["dependencies"]
    except (ValueError, KeyError):  # not installed, or no network
        return 0, []
    return read_audit(packages)


def read_audit(packages: list[dict]) -> tuple[int, list[str]]:
    """The same, of pip-audit's list of dependencies."""
    checked = [one for one in packages if "skip_reason" not in one]
    found = [
        f"installed: {one['name']} {one['version']}: {flaw['id']}"
        f" (fixed in {', '.join(flaw['fix_versions']) or 'no version'})"
        for one in checked
        for flaw in one["vulns"]
    ]
    return len(checked), found


def floors_of(project: Mapping) -> dict[str, str]:
    """Package -> the oldest version that pyproject.toml admits."""
    extras = project["project"]["optional-dependencies"].values()
    found: dict[str, str] = {}
    for line in [*project["project"]["dependencies"], *(one for extra in extras for one in extra)]:
        requirement = Requirement(line)
        oldest = [one.version for one in requirement.specifier if one.operator in (">=", "==")]
        found[re.sub("[-_.]+", "-", requirement.name).lower()] = oldest[0]
    return found


def installed() -> dict[str, str]:
    """Package of KNOWN -> its installed version."""
    found = {}
    for name in KNOWN:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def below(versions: Mapping[str, str]) -> Iterator[str]:
    """One line for each version that is older than a fix in KNOWN."""
    for name, given in versions.items():
        for fixed, flaw in KNOWN.get(name, ()):
            if Version(given) < Version(fixed):
                yield f"{name} {given}: {flaw} (fixed in {fixed})"


if __name__ == "__main__":
    sys.exit(main())
